"""The libtorch that this module was built for; the build writes the module itself."""

VERSION: str
FOLDER: str
