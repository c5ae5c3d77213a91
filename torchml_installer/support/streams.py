"""Standard input, output and error, in whatever state the caller leaves them."""

from __future__ import annotations

import codecs
import json
import os
import sys

from torchml_installer.errors import BROKEN_PIPE, OutputNotWrittenError

_FAITHFUL = "torchml-faithful"


def prepare() -> None:
    """Makes the three streams usable.

    Replaces a closed one (``<&-``) by the null device: otherwise the next open file would get its
    number. Escapes characters that the terminal's encoding lacks, and writes bytes of a path that
    are not valid text unchanged.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    codecs.register_error(_FAITHFUL, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_FAITHFUL)


def finish(code: int) -> int:
    """Flushes the output; returns the exit code, or another one if that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe (`| head`) has ended: nobody can see a message.
        discard()
        return code or BROKEN_PIPE
    except OSError as error:
        discard()
        print(f"error: Cannot write the output: {error.strerror}.", file=sys.stderr)
        return code or OutputNotWrittenError.exit_code
    return code


def discard() -> None:
    """Discards pending output, so that Python does not try again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def as_json(value: object) -> str:
    """JSON for every reader, with escapes only where the output needs them."""
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    text = json.dumps(value, indent=2, ensure_ascii=plain)
    # Bytes of a path that are not valid text: Python's escape for them is also JSON's.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _escaped(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = b""
    for character in error.object[error.start : error.end]:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            written += bytes([code - 0xDC00])
        else:
            written += character.encode("ascii", "backslashreplace")
    return written, error.end
