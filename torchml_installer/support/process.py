"""Runs programs without a shell and with a log, and shows the first real error on failure."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torchml_installer.errors import BuildFailedError, TorchMLError
from torchml_installer.support import console, disk

#: "[12/34] Building ..." of ninja.
_NINJA_PROGRESS = re.compile(r"^\[(\d+)/(\d+)\]")
#: "[ 45%] Building ..." of make.
_MAKE_PROGRESS = re.compile(r"^\[ *(\d+)%\]")
#: "Progress 1048576 of 9437184" of pip's raw progress bar, in bytes.
_PIP_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)$")
#: "torchml-step 3/12 rotation" of torchml_driver, see its _progress.py.
_STEP = re.compile(r"^torchml-step (\d+)/(\d+) (.*)$")
#: Messages of compilers, make, the shell and Python. If the kernel kills a process, its parent
#: reports it.
_NO_MEMORY = re.compile(
    r"\w: out of memory|virtual memory exhausted|: Cannot allocate memory|^MemoryError"
    r"|instance of 'std::bad_alloc'|DefaultCPUAllocator: .*memory|out of memory\. Tried"
    r"|Killed signal|\bKilled$|internal compiler error: Killed"
)
#: The remedy for most commands that run out of memory.
FEWER_JOBS = "Run it with --jobs 1, or on a machine with more memory."
_COMPILER_ERROR = re.compile(r"\berror: |undefined reference to ")
_SHOWN_LINES = 12
#: "frame #12: ..." of torch.
_FRAME = re.compile(r"\s*frame #\d+:")


def quick_output(command: Sequence[str | Path], timeout: float = 10.0) -> str | None:
    """The output of a small command (stdout, else stderr); None if it fails.

    For detection: the program cannot make it raise an error or wait long.
    """
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env=plain_language_environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    if done.returncode != 0:
        return None
    return (done.stdout or done.stderr).decode(errors="replace").strip()


def plain_language_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment that makes programs print English messages, and ninja its counter."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "NINJA_STATUS": "[%f/%t] "}
    environment.pop("LANGUAGE", None)
    if extra:
        environment.update(extra)
    return environment


def available_cores() -> int:
    """The cores this process may use (a batch system may allow fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_logged(
    command: Sequence[str | Path],
    *,
    title: str,
    log: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    verbose: bool = False,
    failure: type[TorchMLError] = BuildFailedError,
    watch: Callable[[str], None] | None = None,
    keep_open: Sequence[int] = (),
    without_memory: str = FEWER_JOBS,
    check: Callable[[], None] | None = None,
) -> str:
    """Runs a program, adds its output to ``log`` and returns it.

    watch: called with each line; if it raises an error, the program is ended. keep_open: files that
    the program inherits. without_memory: the remedy if memory runs out. check: called after the
    program has succeeded; may raise an error because of its results.

    If the program fails, raises ``failure`` with the first real error and the log's path, or
    DiskFullError if that is the reason. On KeyboardInterrupt, ends the program and its children
    before it passes the exception on.
    """
    words = [str(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with (
        log.open("a", encoding="utf-8", errors="surrogateescape") as record,
        console.step(title, verbose=verbose) as shown,
    ):
        record.write(f"\n$ {shlex.join(words)}\n")
        record.flush()
        try:
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=plain_language_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=keep_open,
            )
        except OSError as error:
            raise failure(f"{title} failed: cannot start {words[0]}: {error.strerror}.") from error
        try:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip("\n")
                if show_step(line, shown):
                    continue
                lines.append(line)
                record.write(line + "\n")
                if verbose:
                    console.quote(line)
                if watch is not None:
                    watch(line)
                _show_progress(line, shown)
            code = process.wait()
        except BaseException:
            end_process_group(process)
            raise
        if code != 0:
            record.write(f"(exit code {code})\n")
            raise _failure(title, code, lines, log, failure, without_memory)
        if check is not None:
            check()
    return "\n".join(lines)


def end_process_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a program that was started in its own session, and its children.

    First like Ctrl-C: pip then undoes an incomplete installation, and ninja ends its compilers,
    which are in other process groups.
    """
    # PermissionError: the program runs as root, through sudo. It ends when nobody reads its output.
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        if _has_ended(process, 5.0):
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5.0)


def _has_ended(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Waits for a program and its children, which keep the other end of its output open."""
    latest = time.monotonic() + timeout
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        return False
    if process.stdout is None:
        return True
    while (left := latest - time.monotonic()) > 0:
        ready = select.select([process.stdout], [], [], left)[0]
        if ready and not os.read(process.stdout.fileno(), 1 << 16):
            return True
    return False


def show_step(line: str, shown: console.Step) -> bool:
    """Shows the progress in a line that a program prints for this purpose; False for others."""
    if match := _STEP.match(line):
        shown.advance(int(match[1]), int(match[2]), label=match[3])
    elif match := _PIP_PROGRESS.match(line):
        shown.advance(int(match[1]) // 10**6, int(match[2]) // 10**6, unit="MB")
    else:
        return False
    return True


def _show_progress(line: str, shown: console.Step) -> None:
    if match := _NINJA_PROGRESS.match(line):
        shown.advance(int(match[1]), int(match[2]))
    elif match := _MAKE_PROGRESS.match(line):
        shown.advance(int(match[1]), 100)


def _failure(
    title: str,
    code: int,
    lines: Sequence[str],
    log: Path,
    failure: type[TorchMLError],
    without_memory: str,
) -> TorchMLError:
    if full := [line for line in lines if disk.says_full(line)]:
        return disk.full(f"{title} failed", said="\n".join(full), log=log)
    if disk.nothing_left(log.parent):  # not every program reports it
        return disk.full(f"{title} failed", place=log.parent, log=log)
    said = [line for line in lines if _NO_MEMORY.search(line)]
    if said or code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        shown = said[0].strip() if said else f"exit code {code}"
        return failure(f"{title} failed: memory ran out ({shown}).\n  log: {log}", without_memory)
    excerpt = first_error(lines)
    shown = "\n".join(f"    {line}" for line in excerpt) or "    (it printed nothing)"
    return failure(f"{title} failed (exit code {code}):\n{shown}\n  log: {log}")


def first_error(lines: Sequence[str]) -> list[str]:
    """The lines that explain why a build failed.

    The first of these: a message of the driver's own CMake code (it starts with ``torchml: ``), an
    error of the compiler or linker, an error of CMake, the last lines.
    """
    for index, line in enumerate(lines):
        if line.strip().startswith("torchml: "):
            return _paragraphs(lines[index:])
    for index, line in enumerate(lines):
        if _COMPILER_ERROR.search(line) and not line.startswith(("CMake Error", "FAILED:", "[")):
            if line.startswith(("ninja:", "make", "gmake")):
                continue
            return [text for text in lines[index : index + 4] if text.strip()]
    for index, line in enumerate(lines):
        if line.startswith("CMake Error"):
            return [line, *_paragraphs(lines[index + 1 :])]
    return without_frames(lines)[-_SHOWN_LINES:]


def without_frames(lines: Sequence[str]) -> list[str]:
    """A program's output without call stacks: Python's, and those that torch adds to C++ messages.

    The message itself is after Python's stack, and before torch's."""
    kept: list[str] = []
    in_traceback = False
    for line in lines:
        if line.startswith("Traceback (most recent call last):"):
            in_traceback = True
            continue
        in_traceback = in_traceback and line.startswith(" ")
        line, _, _ = line.partition("Exception raised from ")
        if not in_traceback and line.strip() and not _FRAME.match(line):
            kept.append(line.rstrip())
    return kept


def _paragraphs(lines: Sequence[str]) -> list[str]:
    """CMake's indented message: up to the first line without indent, or "Call Stack"."""
    kept: list[str] = []
    for line in lines:
        ends = line.startswith(("Call Stack", "--", "CMake ")) or (kept and line[:1] not in " ")
        if kept and line.strip() and ends:
            break
        if line.strip():
            kept.append(line.strip())
        if len(kept) == _SHOWN_LINES:
            break
    return kept
