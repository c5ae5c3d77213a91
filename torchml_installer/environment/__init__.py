"""Writes the file that sets up a shell, a job or an editor."""
