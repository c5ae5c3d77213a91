"""LD_PRELOAD replaces libraries of torch."""

from __future__ import annotations

from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import elf, loader
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom

#: The effect on torch of a library that defines one of these symbols.
_MEANING = {
    ("dgemm_", "sgemm_"): "replaces torch's matrix multiplication",
    ("GOMP_parallel", "omp_get_thread_num"): "replaces torch's OpenMP",
}


class PreloadedLibraries(Remedy):
    name = "preloaded-libraries"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        if not plan.others:
            return None
        found = [f"{path} {what}" for path in loader.preloaded() if (what := _effect(path))]
        if not found:
            return None
        return Symptom(
            f"LD_PRELOAD loads libraries into every program: {'; '.join(found)}. This can change "
            "results and speed. Unset LD_PRELOAD unless you want that."
        )

    def fix(self, plan: BuildPlan) -> Repair:
        raise AssertionError("there is no repair")


def _effect(path: Path) -> str:
    if path.name.startswith(("libtorch", "libc10")):
        return "is a torch, which the driver would use instead of its own"
    effects = [
        meaning
        for symbols, meaning in _MEANING.items()
        if any(elf.defines(path, symbol) for symbol in symbols)
    ]
    return " and ".join(effects)
