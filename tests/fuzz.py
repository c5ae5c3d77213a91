"""Builds the fuzzers of driver_src/fuzz and runs each for a while: ``python -m tests.fuzz``.

Ends with 1 if one of them finds something; what it found stays beside the build.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support import KEPT, ROOT, build_driver_tree
from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.edge_models import Directional, WithEdgeGradient, WithForces, write_edge_model
from tests.support.graph_models import Messages, MessagesWithForces
from tests.support.keeping import locked
from tests.support.torch_models import (
    Springs,
    SpringsAllParticles,
    SpringsSingle,
    SpringsWithForces,
    write_model,
)

FUZZERS_OF_FILES = ("parameters", "descriptors")
FUZZERS = (*FUZZERS_OF_FILES, "packages", "arrays")
#: A file's longest value is a line, and a few particles meet all code: what is longer than this
#: only makes fuzzing slow. Of files the shortest are tried first; few bytes make no system.
OPTIONS = {
    "parameters": ("-max_len=4096",),
    "descriptors": ("-max_len=4096",),
    "packages": ("-max_len=4096",),
    "arrays": ("-max_len=1024", "-len_control=0"),
}


class NoFuzzerError(Exception):
    """There is no clang with libFuzzer; the text says what to do."""


def compiler() -> str:
    """The clang++ that builds the fuzzers.

    Raises NoFuzzerError where it is missing or has no libFuzzer.
    """
    clang = shutil.which("clang++")
    advice = "On Debian: apt-get install clang libclang-rt-dev."
    if clang is None:
        raise NoFuzzerError(f"The fuzzers are built with clang, and there is no clang++. {advice}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.cpp")
        source.write_text(
            'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long)\n'
            "{ return 0; }\n"
        )
        options = ["-fsanitize=fuzzer,address,undefined", "-o", str(source.with_suffix(""))]
        done = subprocess.run(
            [clang, *options, str(source)], capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise NoFuzzerError(
            f"{clang} cannot link a fuzzer; its runtime libraries may be missing. {advice}\n"
            f"{done.stderr.strip()}"
        )
    return clang


@contextlib.contextmanager
def built_fuzzers(names: Sequence[str] = FUZZERS) -> Iterator[Path]:
    """Builds them and writes their models; gives the build folder, which is this process's alone.

    Those of files take seconds, the others minutes, for they need all of the engine.
    """
    build = build_driver_tree(
        KEPT / "fuzzers",
        targets=[f"fuzz_{name}" for name in names],
        TORCHML_FUZZ="ON",
        TORCHML_KIM="OFF",
        CMAKE_CXX_COMPILER=compiler(),
    )
    with locked(build / "models"):
        if "arrays" in names:
            write_models(build / "models")
        yield build


def write_models(folder: Path) -> None:
    """The models that the fuzzer of arrays evaluates: small ones of all calling conventions."""
    shutil.rmtree(folder, ignore_errors=True)
    write_model(folder / "springs", Springs())
    write_model(folder / "springs_all", SpringsAllParticles())
    write_model(folder / "springs_forces", SpringsWithForces(), returns_forces=True)
    write_model(folder / "springs_single", SpringsSingle())
    graph = {"preprocessing": "Graph", "cutoff": "3.0\n3"}  # three layers
    two = {"elements": "2\nSi C", **graph}
    write_model(folder / "messages", Messages(2), **two)
    write_model(folder / "messages_forces", MessagesWithForces(), returns_forces=True, **graph)
    less = write_model(folder / "messages_less", Messages(2), **two) / "model.param"
    write_edge_model(folder / "edges", Directional())
    returned: dict[str, Any] = {"returns_forces": True}
    write_edge_model(folder / "edges_forces", WithForces(), **returned)
    gradient = {"settings": "returns_edge_gradient True", **returned}
    write_edge_model(folder / "edges_gradient", WithEdgeGradient(), **gradient)
    write_descriptor_model(folder / "symmetry_functions", TanhNetwork(15), "every_kind")
    write_descriptor_model(
        folder / "bispectrum", TanhNetwork(14), "bispectrum4", descriptor="Bispectrum"
    )
    write_descriptor_model(folder / "soap", TanhNetwork(50), "soap", descriptor="SOAP")
    less.write_text(less.read_text() + "edge_receiver_row 0\ndrop_unused_particles True\n")


def run_fuzzer(name: str, build: Path, seconds: int) -> int:
    """Returns the fuzzer's exit code. New inputs of interest go beside the build.

    With 0 seconds it runs the inputs that there are and makes up no others.
    """
    found = build / "corpus" / name
    found.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "TORCHML_FUZZ_MODELS": str(build / "models"), "OMP_NUM_THREADS": "1"}
    command = [
        build / "fuzz" / f"fuzz_{name}",
        f"-max_total_time={seconds}" if seconds > 0 else "-runs=0",
        *OPTIONS[name],
        "-rss_limit_mb=8192",  # torch alone takes one
        "-print_final_stats=1",
        f"-artifact_prefix={build}/{name}-",
        found,
        ROOT / "driver_src" / "fuzz" / "corpus" / name,
    ]
    return subprocess.run([str(word) for word in command], env=env, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="how long each runs (600)")
    parser.add_argument("fuzzers", nargs="*", choices=[*FUZZERS, []], help="which (all)")
    options = parser.parse_args()
    chosen = options.fuzzers or FUZZERS
    try:
        with built_fuzzers(chosen) as build:
            failed = [name for name in chosen if run_fuzzer(name, build, options.seconds) != 0]
    except NoFuzzerError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print("findings: " + ", ".join(failed) if failed else "no findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
