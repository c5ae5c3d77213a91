"""The libtorch that the module was built for; CMake writes this module from built_for.py.in."""

VERSION: str
FOLDER: str
