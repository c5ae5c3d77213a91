"""A package of the channel: files laid out in a folder, and metadata for conda."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from rattler_build import Stage0Recipe, ToolConfiguration

#: The placeholder for the environment's prefix in laid-out text files.
PREFIX_MARK = "@CONDA_CHANNEL_PREFIX@"

_SCRIPT = f"""\
set -e
cp -a "$STAGE"/. "$PREFIX"/
grep -rlI --null -e '{PREFIX_MARK}' "$PREFIX" | xargs -0 -r sed -i "s|{PREFIX_MARK}|$PREFIX|g"
"""


class ChannelError(Exception):
    """The channel cannot be made; the text says why and what to do."""


@dataclass(frozen=True)
class Package:
    """One package. ``stage``: its files, laid out as below a prefix; None for a metapackage.

    run_exports: the requirements of packages built with this one, by strength ("weak", "strong").
    number: the build number; among builds of a version, solvers prefer the highest.
    """

    name: str
    version: str
    build: str
    stage: Path | None = None
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    run_exports: dict[str, list[str]] = field(default_factory=dict)
    noarch: bool = False
    number: int = 0
    summary: str = ""

    def recipe(self) -> str:
        """The recipe that packs the files (JSON, which is YAML)."""
        build: dict[str, object] = {
            "string": self.build,
            "number": self.number,
            # Laying out the files has made them relocatable.
            "dynamic_linking": {"binary_relocation": False},
            "prefix_detection": {"ignore_binary_files": True},
            "python": {"skip_pyc_compilation": ["**/*.py"]},
        }
        if self.noarch:
            build["noarch"] = "generic"
        if self.stage is not None:
            build["script"] = {"env": {"STAGE": str(self.stage)}, "content": _SCRIPT}
        requirements: dict[str, object] = {
            "run": list(self.depends),
            "run_constraints": list(self.constrains),
        }
        if self.run_exports:
            requirements["run_exports"] = self.run_exports
        recipe = {
            "schema_version": 1,
            "package": {"name": self.name, "version": self.version},
            "build": build,
            "requirements": requirements,
            "about": {"summary": self.summary or f"{self.name}, for tests without a network"},
        }
        return json.dumps(recipe, indent=1)

    def pack(self, channel: Path, work: Path) -> None:
        """Writes the package into the channel; this consumes the laid-out files."""
        folder = work / "recipes" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "recipe.yaml"
        path.write_text(self.recipe(), encoding="utf-8")
        output = work / "output"
        Stage0Recipe.from_file(path).run_build(
            tool_config=ToolConfiguration(test_strategy="skip"),
            output_dir=output,
            channels=[],
            package_format="conda:1",
        )
        for built in output.glob("*/*.conda"):
            target = channel / built.parent.name / built.name
            target.parent.mkdir(parents=True, exist_ok=True)
            built.chmod(0o644)  # the engine leaves its temporary file's: only the owner may read
            shutil.move(built, target)
        shutil.rmtree(output, ignore_errors=True)
        if self.stage is not None:
            shutil.rmtree(self.stage, ignore_errors=True)
