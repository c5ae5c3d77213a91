"""What the module was built for; CMake writes it (built_for.py.in)."""

VERSION: str
FOLDER: str
