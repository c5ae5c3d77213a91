"""The command ``torchml-install``: parses options, calls one function, prints the result.

Each verb has its own module, imported when the verb is used; that module imports the code that does
the work when the verb runs. So ``--help`` is fast.
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
Exit codes: {exit_code_ranges()}. `torchml-install exit-codes` lists all of them.

Environment: TORCH_ROOT, KIM_API_CMAKE_PREFIX_DIR, CXX, CXXFLAGS and LDFLAGS select what to build
with; TorchScatter_ROOT, TorchSparse_ROOT and LIBDESCRIPTOR_ROOT locate optional libraries;
KIM_MODEL_MPI_AWARE and KIM_MODEL_DISABLE_GRAPH set --mpi and --no-graph; XDG_CACHE_HOME,
XDG_DATA_HOME and TMPDIR set the folders for builds, receipts and temporary files; NO_COLOR turns
colours off.
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
    """Run machine-learned potentials (TorchScript or compiled PyTorch models) in LAMMPS, ASE and
    every other simulator that supports the KIM-API.

    \b
    Example: see what is installed and what is missing
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
            return failed  # writing the output failed
        from torchml_installer.support.system_errors import known

        return fail(known(error) or unexpected(error))
    return code if isinstance(code, int) else 0


def _narrow_width() -> int | None:
    """The width of a terminal that is narrower than click's narrowest help, else None."""
    from torchml_installer.support.console import columns

    width = columns(sys.stdout)
    return width if 0 < width < 52 else None


def _end_in_order() -> None:
    """Makes SIGTERM and SIGHUP clean up like Ctrl-C, and only once.

    Batch systems and `timeout` send SIGTERM; a terminal or connection that closes sends SIGHUP. A
    signal that is ignored already (`nohup`) stays ignored.
    """

    def end(_signal: int, _frame: object) -> NoReturn:
        # A second Ctrl-C would interrupt the clean-up and leave programs running.
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    candidates = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    signals = [number for number in candidates if signal.getsignal(number) != signal.SIG_IGN]
    for number in signals:
        signal.signal(number, end)
