"""The error that stops a release."""

from __future__ import annotations


class ReleaseError(Exception):
    """A failure to report to the maintainer; the text says what to do."""
