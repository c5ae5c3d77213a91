"""Runs a program on a kernel that refuses file locks, as a file server without them does.

``python no_locks.py PROGRAM ARGUMENT ...``: a filter of system calls answers flock with ENOLCK.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

#: Machine → numbers of the architecture (linux/audit.h) and of the call.
ARCHITECTURES = {"x86_64": (0xC000003E, 73), "aarch64": (0xC00000B7, 32)}
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL_WITH = 0x7FFF0000, 0x00050000


def refuse_locks() -> None:
    architecture, call = ARCHITECTURES[platform.machine()]
    # struct sock_filter: code, jump if true, jump if false, operand.
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, 4),
            (_JUMP_IF_EQUAL, 0, 3, architecture),
            (_LOAD, 0, 0, 0),
            (_JUMP_IF_EQUAL, 0, 1, call),
            (_RETURN, 0, 0, _FAIL_WITH | errno.ENOLCK),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(program)
    filter_program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.create_string_buffer(filter_program), 0, 0),
    ):
        if libc.prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    refuse_locks()
    os.execv(sys.argv[1], sys.argv[1:])
