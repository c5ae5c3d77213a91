"""Writes the file that sets a shell up, or a job, or an editor."""
