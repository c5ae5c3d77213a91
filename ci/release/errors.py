"""What keeps a release from being made."""

from __future__ import annotations


class ReleaseError(Exception):
    """Something the maintainer has to know; the text says what to do."""
