"""How a model's files get into its library: by the assembler, or by KIM's own functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.detect import xxd
from torchml_installer.detect.record import version_tuple

#: CMake code that lets the assembler embed files. ``model install`` has every project include it;
#: ``model pack`` copies it beside a model, for KIM's own command.
CMAKE_FILE = Path(__file__).with_name("embed.cmake")


@dataclass(frozen=True)
class Costs:
    """What embedding takes per MB of files: seconds, and MB of memory.

    large: the size in bytes that deserves a note. by: what embeds the files.
    """

    seconds: float
    memory: float
    large: float
    by: str = "KIM's build"
    needs_xxd: bool = False

    @classmethod
    def of(cls, build: Path, kim_version: str) -> Costs:
        """For a build folder that CMake has configured, as measured with KIM-API 2.3.0 and 2.4.2.

        Before 2.4, KIM's own functions make lists of numbers in C of files, which compilers read
        one by one; since then, one string.
        """
        if assembler_embeds(build):
            return cls(0.02, 4.0, float("inf"), by="The assembler")
        if kim_version and version_tuple(kim_version) < (2, 4):
            return cls(3.0, 140.0, 10e6, needs_xxd=True)
        return cls(0.2, 10.0, 100e6)

    def note(self, size: int) -> str:
        """What to tell the user beforehand, "" if nothing."""
        if size <= self.large:
            return ""
        takes = "GCC or Clang" if self.needs_xxd else "GCC or Clang, and the program base64"
        text = (
            f"The model has {size / 1e6:.0f} MB, and the assembler cannot embed files here, which "
            f"takes {takes}. For each MB, KIM's build needs about {self.seconds:g} s and "
            f"{self.memory:.0f} MB of memory"
        )
        if self.needs_xxd and not xxd.detect().usable:
            text += "; xxd makes it much faster (`sudo apt install xxd`)"
        return f"{text}."

    def without_memory(self, size: int) -> str:
        """The remedy if memory runs out."""
        text = (
            f"{self.by} needs about {size / 1e6 * self.memory / 1e3 + 0.1:.1f} GB of memory for "
            f"the {size / 1e6:.0f} MB of this model. Install it where there is more memory (under "
            "a batch system, request more), or save the model in float32"
        )
        if self.needs_xxd:
            text += ". GCC and Clang need only about 4 MB for each MB of a model"
        return f"{text}."


def assembler_embeds(build: Path) -> bool:
    """Whether the configured project leaves the embedding of files to the assembler."""
    try:
        cache = (build / "CMakeCache.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"^TORCHML_EMBEDS:INTERNAL=TRUE$", cache, re.MULTILINE) is not None
