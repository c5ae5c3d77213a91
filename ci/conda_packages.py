"""Builds the recipes in ``recipes/`` and tests what comes out, with the engine that PyPI ships.

    python -m ci.conda_packages OUTPUT [--channel URL ...] [--variants FILE] [--only NAME ...]

``OUTPUT`` becomes a channel with the packages. Without ``--channel`` it builds against conda-forge.
``--variants`` narrows what ``recipes/conda_build_config.yaml`` says. Whoever has the program does
the same with ``rattler-build build --recipe-dir recipes -m recipes/conda_build_config.yaml``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from rattler_build import (
    JinjaConfig,
    PlatformConfig,
    RattlerBuildError,
    RenderConfig,
    RenderedVariant,
    Stage0Recipe,
    ToolConfiguration,
    VariantConfig,
)
from rattler_build.progress import LogEvent

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
#: In the order in which they need each other.
NAMES = ("torchml-installer", "torchml-libdescriptor", "torchml-driver", "torchml-example-models")


def variant_config(
    narrowed: Mapping[str, Sequence[str]], platform: str | None = None
) -> VariantConfig:
    """The variants of ``recipes/conda_build_config.yaml``, with other values for some keys."""
    jinja = JinjaConfig(platform=PlatformConfig(target_platform=platform))
    config = VariantConfig.from_conda_build_config(RECIPES / "conda_build_config.yaml", jinja)
    return VariantConfig({**dict(config.items()), **{key: list(narrowed[key]) for key in narrowed}})


def rendered(
    name: str, narrowed: Mapping[str, Sequence[str]], platform: str | None = None
) -> list[RenderedVariant]:
    """Every variant of one recipe."""
    recipe = Stage0Recipe.from_file(RECIPES / name / "recipe.yaml")
    render_config = RenderConfig(platform=PlatformConfig(target_platform=platform))
    return recipe.render(variant_config(narrowed, platform), render_config)


class Log:
    """Keeps in a file what rattler-build says."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def on_download_start(self, event: object) -> None:
        pass

    def on_download_progress(self, event: object) -> None:
        pass

    def on_download_complete(self, event: object) -> None:
        pass

    def on_build_step(self, event: object) -> None:
        pass

    def on_log(self, event: LogEvent) -> None:
        self.file.write(f"{event.message}\n")


def build(
    name: str, output: Path, channels: Sequence[str], narrowed: Mapping[str, Sequence[str]]
) -> Iterator[Path]:
    """Builds and tests every variant of one recipe. Raises RattlerBuildError."""
    tool = ToolConfiguration(test_strategy="native", channel_priority="disabled")
    for variant in rendered(name, narrowed):
        with log_file(output, name).open("a", encoding="utf-8") as file:
            result = variant.run_build(
                tool_config=tool,
                output_dir=output,
                channels=[output.as_uri(), *channels],
                package_format="conda:6",
                progress_callback=Log(file),
            )
        yield from (Path(package) for package in result.packages)


def log_file(output: Path, name: str) -> Path:
    return output / f"{name}.log"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.conda_packages", description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--channel", action="append", default=[], metavar="URL")
    parser.add_argument("--variants", type=Path, metavar="FILE", help="JSON: lists of values")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME")
    options = parser.parse_args(arguments)
    narrowed = json.loads(options.variants.read_text()) if options.variants else {}
    channels = options.channel or ["conda-forge"]
    output: Path = options.output.absolute()
    (output / "noarch").mkdir(parents=True, exist_ok=True)
    for name in options.only or NAMES:
        log = log_file(output, name)
        log.unlink(missing_ok=True)
        try:
            for package in build(name, output, channels, narrowed):
                print(f"built and tested: {package}", flush=True)
        except RattlerBuildError as error:
            tail = log.read_text(encoding="utf-8").splitlines()[-40:] if log.exists() else []
            print(*tail, f"error: {name} could not be built: {error}", sep="\n", file=sys.stderr)
            print(f"All of it: {log}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
