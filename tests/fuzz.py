"""Builds the fuzzers of driver_src/fuzz and runs each for a while: ``python -m tests.fuzz``.

Ends with 1 if one of them finds something; what it found stays beside the build.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import KEPT, ROOT, build_driver_tree

FUZZERS = ("parameters", "descriptors")
#: A parameter file's longest value is a line; what is longer than this only makes fuzzing slow.
LONGEST_INPUT = 4096


class NoFuzzerError(Exception):
    """There is no clang with libFuzzer; the text says what to do."""


def compiler() -> str:
    """The clang++ that builds the fuzzers.

    Raises NoFuzzerError where it is missing or has no libFuzzer.
    """
    clang = shutil.which("clang++")
    advice = "On Debian: apt-get install clang libclang-rt-14-dev (the number is clang's version)."
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


def build_fuzzers() -> Path:
    """Builds them and nothing else of the driver; returns the build folder."""
    return build_driver_tree(
        KEPT / "fuzzers",
        targets=[f"fuzz_{name}" for name in FUZZERS],
        TORCHML_FUZZ="ON",
        TORCHML_KIM="OFF",
        CMAKE_CXX_COMPILER=compiler(),
    )


def run_fuzzer(name: str, build: Path, seconds: int) -> int:
    """Returns the fuzzer's exit code. New inputs of interest go beside the build.

    With 0 seconds it runs the inputs that there are and makes up no others.
    """
    found = build / "corpus" / name
    found.mkdir(parents=True, exist_ok=True)
    command = [
        build / "fuzz" / f"fuzz_{name}",
        f"-max_total_time={seconds}" if seconds > 0 else "-runs=0",
        f"-max_len={LONGEST_INPUT}",
        "-print_final_stats=1",
        f"-artifact_prefix={build}/{name}-",
        found,
        ROOT / "driver_src" / "fuzz" / "corpus" / name,
    ]
    return subprocess.run([str(word) for word in command], check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="how long each runs (600)")
    parser.add_argument("fuzzers", nargs="*", choices=[*FUZZERS, []], help="which (all)")
    options = parser.parse_args()
    try:
        build = build_fuzzers()
    except NoFuzzerError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    chosen = options.fuzzers or FUZZERS
    failed = [name for name in chosen if run_fuzzer(name, build, options.seconds) != 0]
    print("findings: " + ", ".join(failed) if failed else "no findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
