"""Shows what is installed on this machine, and its problems."""
