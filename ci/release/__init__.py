"""Makes what a release consists of, from a commit, into ``dist/``.

    python -m ci.release [--output FOLDER] [--draft] [--without KIND ...]
    python -m ci.release --set-version 0.2.0

The same commit gives the same bytes, wherever, whenever and by whomever it is built with the same
tools: sources come from git and not from the working tree, with fixed modes and times, programs are
told to leave out paths, and archives that still say when they were made are packed anew.
"""
