"""The command ``torchml-install``: parses options, calls one function, prints the result.

Each verb has a module of its own, which is imported when the verb is used, and which imports what
does the work when it is called: so ``--help`` is quick.
"""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import click

from torchml_installer import __version__
from torchml_installer.cli.failures import fail, unexpected
from torchml_installer.cli.verbs import LazyVerbs
from torchml_installer.errors import (
    BROKEN_PIPE,
    InterruptedByUserError,
    TorchMLError,
    exit_code_ranges,
)
from torchml_installer.support import streams

_EPILOG = f"""\
Exit codes: {exit_code_ranges()}. `torchml-install exit-codes` lists them one by one.

Environment: TORCH_ROOT, KIM_API_CMAKE_PREFIX_DIR, CXX, CXXFLAGS and LDFLAGS choose what to build
with; TorchScatter_ROOT, TorchSparse_ROOT and LIBDESCRIPTOR_ROOT locate optional libraries;
KIM_MODEL_MPI_AWARE and KIM_MODEL_DISABLE_GRAPH set --mpi and --no-graph; XDG_CACHE_HOME,
XDG_DATA_HOME and TMPDIR choose where builds, receipts and temporary files go.
"""

#: In the order of use.
_VERBS = (
    "doctor",
    "deps",
    "driver",
    "model",
    "quickstart",
    "env",
    "uninstall",
    "completion",
    "exit-codes",
)


@click.group(
    cls=LazyVerbs,
    verbs=_VERBS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(__version__, prog_name="torchml-install")
def cli() -> None:
    """Runs machine-learned potentials (TorchScript files and compiled PyTorch models) in LAMMPS,
    ASE and every other simulator that supports the KIM-API.

    \b
    Example: see what is missing here
      torchml-install doctor
    """


def main() -> NoReturn:
    """Runs the command; every failure becomes a message, a remedy and an exit code."""
    streams.prepare()
    _end_in_order()
    sys.exit(streams.finish(_run()))


def _run() -> int:
    try:
        width = _narrow_width()
        code = cli.main(prog_name="torchml-install", standalone_mode=False, terminal_width=width)
    except (click.Abort, KeyboardInterrupt):
        return fail(InterruptedByUserError("Interrupted."))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        return BROKEN_PIPE
    except TorchMLError as error:
        return fail(error)
    except Exception as error:
        if isinstance(error, OSError) and (failed := streams.finish(0)):
            return failed  # it was the output that could not be written
        from torchml_installer.support.system_errors import known

        return fail(known(error) or unexpected(error))
    return code if isinstance(code, int) else 0


def _narrow_width() -> int | None:
    """Of a terminal with fewer columns than click's help takes at least; None for others."""
    from torchml_installer.support.console import columns

    width = columns(sys.stdout)
    return width if 0 < width < 52 else None


def _end_in_order() -> None:
    """Lets what asks this program to end have it clean up as after Ctrl-C, and only once.

    SIGTERM comes from batch systems and `timeout`, SIGHUP from a terminal or connection that is
    gone; whoever ignores one of them (`nohup`) wants that to stay so.
    """

    def end(_signal: int, _frame: object) -> NoReturn:
        # An impatient second Ctrl-C would stop the cleaning up, and leave programs running.
        for wish in wishes:
            signal.signal(wish, signal.SIG_IGN)
        raise KeyboardInterrupt

    candidates = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    wishes = [wish for wish in candidates if signal.getsignal(wish) != signal.SIG_IGN]
    for wish in wishes:
        signal.signal(wish, end)
