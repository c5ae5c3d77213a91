"""The CPU features that a compiler may use, as the compiler and as the Linux kernel name them."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .failure import ModelError, sentence

#: Levels of x86-64 (System V ABI, "Micro-architecture levels"), each with the widest registers, in
#: bits, that inductor may use.
LEVELS = {"x86-64": 1, "x86-64-v2": 1, "x86-64-v3": 256, "x86-64-v4": 512}

#: The levels worth compiling for, each with the flags that /proc/cpuinfo must list.
_V3 = frozenset({"avx2", "fma", "bmi2", "abm"})
_V4 = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})
_HIGH_LEVELS = (("x86-64-v4", _V3 | _V4), ("x86-64-v3", _V3))

#: The flags of /proc/cpuinfo whose names differ from the compiler's macros.
_KERNEL_NAMES = {
    "sse3": "pni",
    "bmi": "bmi1",
    "lzcnt": "abm",
    "sha": "sha_ni",
    "pclmul": "pclmulqdq",
    "rdrnd": "rdrand",
    "avx512vnni": "avx512_vnni",
    "avx512bf16": "avx512_bf16",
    "avx512fp16": "avx512_fp16",
    "avx512vbmi2": "avx512_vbmi2",
    "avx512bitalg": "avx512_bitalg",
    "avx512vpopcntdq": "avx512_vpopcntdq",
    "avxvnni": "avx_vnni",
}
#: The macros of instructions that numerical code may contain; those for operating systems do not
#: matter.
_X86 = re.compile(
    r"#define __((?:SSE|SSSE|AVX|FMA|F16C|BMI|LZCNT|POPCNT|MOVBE|AMX|GFNI|VAES|VPCLMUL)\w*?)__ 1"
)
_ARM = {"__ARM_FEATURE_SVE": "sve", "__ARM_FEATURE_SVE2": "sve2", "__ARM_FEATURE_BF16": "bf16"}
#: Macros that do not name instructions, but ways to use them.
_NO_INSTRUCTIONS = {"sse_math", "sse2_math"}


def default_level() -> str:
    """The default to compile for: the highest level of this machine, if torch can compile for
    levels; else this exact CPU.

    A level, because other machines have it, too. The highest, because the same model in TorchScript
    uses everything that a CPU has: with registers half as wide, compiled code is hardly faster.
    """
    from torch._inductor import config

    if not hasattr(config.cpp, "march") or platform.machine() != "x86_64":
        return "native"
    present = present_instructions()
    return next((level for level, needed in _HIGH_LEVELS if present >= needed), "native")


def inductor_settings(level: str) -> dict[str, Any]:
    """The settings of torch._inductor.config to compile for a level."""
    from torch._inductor import config

    if level == "native":
        return {}
    if not hasattr(config.cpp, "march"):
        raise ModelError(
            "torch_too_old",
            "This torch can compile only for the CPU that it runs on.",
            "Leave out --cpu, or use a newer torch, such as 2.13.",
        )
    return {"cpp.march": level, "cpp.simdlen": LEVELS[level]}


def needed_instructions(compiler: str, level: str) -> list[str]:
    """The flags of /proc/cpuinfo that the code needs, including the extensions that torch's own
    vector code requires."""
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    words = [f"-march={level}", *shlex.split(pick_vec_isa().build_arch_flags())]
    done = subprocess.run(
        [*shlex.split(compiler), *words, "-dM", "-E", "-x", "c++", "-"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ModelError(
            "compiler",
            f"{compiler} cannot compile for {level}: {sentence(done.stderr.strip()[:200])}",
        )
    found = set(_flags(done.stdout.splitlines()))
    present = present_instructions()
    if level == "native" and present:
        found &= present  # features that the kernel does not list cannot be checked later
    missing = sorted(found - present) if present else []
    if missing:
        raise ModelError(
            "option",
            f"This machine's CPU lacks instructions of {level} ({', '.join(missing)}), so the "
            "compiled model could not be checked here.",
            "Compile on a machine that has them, or choose a lower --cpu.",
        )
    return sorted(found)


def _flags(macros: Sequence[str]) -> list[str]:
    flags = []
    for line in macros:
        if match := _X86.fullmatch(line):
            name = match[1].lower()
            if name not in _NO_INSTRUCTIONS:
                flags.append(_KERNEL_NAMES.get(name, name))
        elif line.startswith("#define __ARM_FEATURE_") and line.split()[1] in _ARM:
            flags.append(_ARM[line.split()[1]])
    return flags


def present_instructions() -> set[str]:
    """The flags of this CPU, as the kernel names them; empty if it lists none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    match = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return set(match[1].split()) if match else set()
