"""LD_PRELOAD: libraries that take the place of what torch brings."""

from __future__ import annotations

from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import elf, loader
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom

#: What a library that defines one of these does to torch.
_MEANING = {
    ("dgemm_", "sgemm_"): "multiplies torch's matrices in place of torch's own library",
    ("GOMP_parallel", "omp_get_thread_num"): "runs torch's threads in place of its OpenMP",
}


class PreloadedLibraries(Remedy):
    name = "preloaded-libraries"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        if not plan.others:
            return None
        told = [f"{path} {what}" for path in loader.preloaded() if (what := _effect(path))]
        if not told:
            return None
        return Symptom(
            f"LD_PRELOAD puts libraries into every program: {'; '.join(told)}. Results and speed "
            "are then theirs. Unless you want that, unset LD_PRELOAD."
        )

    def fix(self, plan: BuildPlan) -> Repair:
        raise AssertionError("nothing was offered")


def _effect(path: Path) -> str:
    if path.name.startswith(("libtorch", "libc10")):
        return "is a torch, which the driver gets instead of its own"
    effects = [
        meaning
        for symbols, meaning in _MEANING.items()
        if any(elf.defines(path, symbol) for symbol in symbols)
    ]
    return " and ".join(effects)
