"""Makes the files of a release from a commit, in ``dist/``.

    python -m ci.release [--output FOLDER] [--draft] [--without KIND ...]
    python -m ci.release --set-version 0.2.0

The same commit gives the same bytes, wherever and whenever it is built with the same tools: sources
come from git, not from the working tree, with fixed modes and times; compilers leave out paths; and
archives that record their time of creation are repacked.
"""
