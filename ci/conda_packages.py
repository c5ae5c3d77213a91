"""Builds the recipes in ``recipes/`` and tests what comes out, with the engine that PyPI ships.

    python -m ci.conda_packages OUTPUT [--channel URL ...] [--variants FILE] [--only NAME ...]
                                [--no-tests]

``OUTPUT`` becomes a channel with the packages. Without ``--channel`` it builds against conda-forge.
``--variants`` narrows what ``recipes/conda_build_config.yaml`` says. Whoever has the program does
the same with ``rattler-build build --recipe-dir recipes -m recipes/conda_build_config.yaml``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

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

from torchml_installer.deps.conda_conflicts import explain

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
#: In the order in which they need each other.
NAMES = ("torchml-installer", "torchml-driver", "torchml-libdescriptor", "torchml-example-models")


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
    """Every variant of one recipe that is not to be skipped."""
    recipe = Stage0Recipe.from_file(RECIPES / name / "recipe.yaml")
    render_config = RenderConfig(platform=PlatformConfig(target_platform=platform))
    variants = recipe.render(variant_config(narrowed, platform), render_config)
    conditions: Sequence[str] = recipe.to_dict()["build"]["skip"]
    return [variant for variant in variants if not any_true(conditions, variant, render_config)]


def any_true(
    conditions: Sequence[str], variant: RenderedVariant, render_config: RenderConfig
) -> bool:
    """Whether one of the recipe's conditions holds for a variant.

    py-rattler-build renders, and builds, what is to be skipped. A recipe whose version is the
    condition has it evaluated by the same engine.
    """
    values = VariantConfig({key: [value] for key, value in variant.variant.items()})
    with tempfile.TemporaryDirectory() as folder:  # one of its own it would leave behind
        for condition in conditions:
            version = f"${{{{ 1 if ({condition}) else 0 }}}}"
            contents = {"package": {"name": "probe", "version": version}}
            probe = Stage0Recipe.from_dict(contents, recipe_dir=folder)
            (rendered_probe,) = probe.render(values, render_config)
            if rendered_probe.recipe.to_dict()["package"]["version"] == "1":
                return True
    return False


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
    name: str,
    output: Path,
    channels: Sequence[str],
    narrowed: Mapping[str, Sequence[str]],
    tests: bool = True,
) -> Iterator[Path]:
    """Builds and tests every variant of one recipe. Raises RattlerBuildError."""
    forget_built_before(name)
    strategy = "native" if tests else "skip"
    tool = ToolConfiguration(test_strategy=strategy, channel_priority="disabled")
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


def forget_built_before(name: str) -> None:
    """rattler-build would test the package of an earlier build instead: to its cache, two packages
    of one version and build are one.
    """
    own = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("RATTLER_CACHE_DIR") or Path(own) / "rattler/cache") / "pkgs"
    for folder in cache.glob(f"{name}-[0-9]*"):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def log_file(output: Path, name: str) -> Path:
    return output / f"{name}.log"


def not_channels(channels: Sequence[str]) -> list[str]:
    """Of the channels on disk, those that are none: rattler-build takes them for empty ones."""
    places = {url: urllib.parse.unquote(url.removeprefix("file://")) for url in channels}
    return [
        url
        for url, place in places.items()
        if url.startswith("file://") and not any(Path(place).glob("*/repodata.json"))
    ]


def why_unsolved(said: str, channels: Sequence[str]) -> str:
    """rattler-build does not hand on why it could not solve: its last request, solved again."""
    requests = re.findall(r"^ *Specs:\n((?: +- .+\n?)+)", said, re.MULTILINE)
    if not requests or "Failed to resolve dependencies" not in said:
        return ""
    try:
        import rattler
    except ImportError:
        return "pip install py-rattler, and why is said here."
    specs = re.findall(r"^ +- (.+)$", requests[-1], re.MULTILINE)
    request = rattler.solve(
        list(channels),
        specs,
        # What CONDA_OVERRIDE_CUDA says counts for the build, and so here.
        virtual_packages=rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env()),
        channel_priority=rattler.ChannelPriority.Disabled,
    )
    try:
        asyncio.run(request)
    except Exception as error:  # py-rattler's classes have no common one
        return str(error)
    return ""


def complain(name: str, log: Path, error: RattlerBuildError, channels: Sequence[str]) -> None:
    """Says what went wrong, and what to do about it if that is known."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    reason = why_unsolved("\n".join([*lines, str(error)]), channels)
    print(*lines[-40:], f"error: {name} could not be built: {error}", sep="\n", file=sys.stderr)
    if reason:
        print(reason.rstrip(), file=sys.stderr)
    print(f"All of it: {log}", file=sys.stderr)
    if conflict := explain("\n".join([*lines[-40:], reason])):
        print(f"{conflict.message}\n{conflict.remedy}", file=sys.stderr)


def read_variants(parser: argparse.ArgumentParser, path: Path) -> dict[str, list[str]]:
    """Ends the program with a message where the file is not what it should be."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"--variants {path}: {error}")
    if not isinstance(found, dict) or not all(isinstance(found[key], list) for key in found):
        parser.error(f'--variants {path}: wanted is an object of lists, {{"mpi": ["nompi"]}}')
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.conda_packages", description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--channel", action="append", default=[], metavar="URL")
    parser.add_argument("--variants", type=Path, metavar="FILE", help="JSON: lists of values")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME")
    parser.add_argument("--no-tests", action="store_true", help="where what tests need is not")
    options = parser.parse_args(arguments)
    narrowed = read_variants(parser, options.variants) if options.variants else {}
    channels = options.channel or ["conda-forge"]
    output: Path = options.output.absolute()
    if re.search(r"\s", str(output)):
        print(
            f"error: {output}: packages are built below it, and some of what builds them takes no "
            "spaces. Name another folder: python -m ci.conda_packages /tmp/packages; what is built "
            "there can be installed into any folder.",
            file=sys.stderr,
        )
        return 1
    if missing := not_channels(channels):
        print(
            f"error: {', '.join(missing)}: no channel is there (one has folders such as noarch, "
            "with a repodata.json).\nName another with --channel; without any it is conda-forge. "
            "`python -m tests.conda.channel FOLDER` makes one in FOLDER/channel.",
            file=sys.stderr,
        )
        return 1
    try:
        (output / "noarch").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(
            f"error: {output}: no folder for packages can be made there: {error.strerror}. Name "
            "another: python -m ci.conda_packages /tmp/packages",
            file=sys.stderr,
        )
        return 1
    for name in options.only or NAMES:
        log = log_file(output, name)
        log.unlink(missing_ok=True)
        if not rendered(name, narrowed):
            print(f"skipped: {name}, which its recipe builds on other platforms alone", flush=True)
            continue
        try:
            for package in build(name, output, channels, narrowed, not options.no_tests):
                done = "built" if options.no_tests else "built and tested"
                print(f"{done}: {package}", flush=True)
        except RattlerBuildError as error:
            complain(name, log, error, [output.as_uri(), *channels])
            return 1
    return 0


def leave(code: int) -> NoReturn:
    """Ends the process at once: rattler's threads may still be at work, on a channel that cannot be
    reached or on a package, and crash an interpreter that is taken down under them."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
