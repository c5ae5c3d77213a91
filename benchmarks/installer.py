"""Measures torchml-install: its report, its help, and the driver's build.

It uses separate folders and no compiler cache. "Cold" means that the system has dropped its cache
of files, which needs root; other users get only the warm times.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import machine, print_table

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 5
#: Sources to change: one without torch, and the two that take longest to compile.
TOUCHED = (
    "src/engine/potential.cpp",
    "src/runtime/torchscript/torchscript.cpp",
    "src/torch_ops/scatter.cpp",
)


@dataclass(frozen=True)
class Command:
    """torchml-install from a copy of this checkout, with its own cache and collection."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    def seconds(self, *words: str) -> float:
        """The time that it takes, s. Shows its output only if it fails."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.checkout),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "KIM_API_MODEL_DRIVERS_DIR": str(self.folder / "drivers"),
            "KIM_API_PORTABLE_MODELS_DIR": str(self.folder / "models"),
            "CCACHE_DISABLE": "1",
        }
        environment.pop("CMAKE_CXX_COMPILER_LAUNCHER", None)
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "torchml_installer", *words],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        taken = time.perf_counter() - begin
        if done.returncode != 0:
            sys.exit(f"torchml-install {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
        return taken

    def best(self, *words: str) -> float:
        return min(self.seconds(*words) for _ in range(ROUNDS))


def forget_files() -> bool:
    """Drops the system's cache of files; False if this user may not."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


def cold(command: Command, words: Sequence[str]) -> str:
    taken = []
    for _ in range(2):
        if not forget_files():
            return ""
        taken.append(command.seconds(*words))
    return f"{min(taken):.2f}"


def lines(command: Command) -> Iterator[str]:
    yield "# torchml-install"
    yield ""
    yield "Seconds, the best of several runs; builds run once, without a compiler cache."
    yield "Written by `python benchmarks/installer.py --output benchmarks/INSTALLER.md`."
    yield ""
    yield machine("both used by builds")
    yield ""
    yield "| command | cold | warm |"
    yield "|---|---|---|"
    for words in (("--help",), ("driver", "--help"), ("doctor",), ("doctor", "--json")):
        warm = command.best(*words)
        yield f"| `torchml-install {' '.join(words)}` | {cold(command, words)} | {warm:.2f} |"
    yield ""
    yield "| building | s |"
    yield "|---|---|"
    # With the defaults; the module goes into the Python that runs this, as with `quickstart`.
    whole = ("driver", "--collection", "environment", "--python")
    yield f"| the driver and the Python module | {command.seconds(*whole):.1f} |"
    yield f"| again, nothing changed | {command.seconds(*whole):.1f} |"
    shutil.rmtree(command.folder / "cache")
    driver = ("driver", "--collection", "environment", "--no-python")
    yield f"| the driver alone | {command.seconds(*driver):.1f} |"
    yield f"| again, nothing changed | {command.seconds(*driver):.1f} |"
    yield f"| under a second name | {command.seconds(*driver, '--name', 'Another_Name'):.1f} |"
    for name in TOUCHED:
        path = command.checkout / "driver_src" / name
        path.write_text(path.read_text(encoding="utf-8") + "\n// changed\n", encoding="utf-8")
        yield f"| after a change of `{name}` | {command.seconds(*driver):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.md", help="also write the tables there"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torchml-bench-") as name:
        command = Command(Path(name))
        for part in ("torchml_installer", "driver_src", "env_templates", "examples"):
            ignored = shutil.ignore_patterns("__pycache__", "build")
            shutil.copytree(ROOT / part, command.checkout / part, ignore=ignored)
        print_table(lines(command), options.output)


if __name__ == "__main__":
    main()
