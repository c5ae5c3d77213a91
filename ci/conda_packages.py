"""Builds and tests the recipes in ``recipes/``, with rattler-build's engine from PyPI.

    python -m ci.conda_packages OUTPUT [--channel URL ...] [--variants FILE] [--only NAME ...]
                                [--no-tests]

``OUTPUT`` becomes a channel with the packages. Without ``--channel``, builds use conda-forge.
``--variants`` narrows the variants in ``recipes/conda_build_config.yaml``. The program
``rattler-build build --recipe-dir recipes -m recipes/conda_build_config.yaml`` does the same.
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
#: Each recipe needs only those before it.
NAMES = ("torchml-installer", "torchml-driver", "torchml-libdescriptor", "torchml-example-models")


def variant_config(
    narrowed: Mapping[str, Sequence[str]], platform: str | None = None
) -> VariantConfig:
    """The variants in ``recipes/conda_build_config.yaml``, with other values for some keys."""
    jinja = JinjaConfig(platform=PlatformConfig(target_platform=platform))
    config = VariantConfig.from_conda_build_config(RECIPES / "conda_build_config.yaml", jinja)
    return VariantConfig({**dict(config.items()), **{key: list(narrowed[key]) for key in narrowed}})


def rendered(
    name: str, narrowed: Mapping[str, Sequence[str]], platform: str | None = None
) -> list[RenderedVariant]:
    """Every variant of one recipe, without those that it skips."""
    recipe = Stage0Recipe.from_file(RECIPES / name / "recipe.yaml")
    render_config = RenderConfig(platform=PlatformConfig(target_platform=platform))
    variants = recipe.render(variant_config(narrowed, platform), render_config)
    conditions: Sequence[str] = recipe.to_dict()["build"]["skip"]
    return [variant for variant in variants if not any_true(conditions, variant, render_config)]


def any_true(
    conditions: Sequence[str], variant: RenderedVariant, render_config: RenderConfig
) -> bool:
    """Whether one of the recipe's conditions holds for a variant.

    py-rattler-build renders, and builds, even variants that the recipe skips. A recipe with the
    condition as its version makes the same engine evaluate it.
    """
    values = VariantConfig({key: [value] for key, value in variant.variant.items()})
    with tempfile.TemporaryDirectory() as folder:  # the engine would leave its own folder behind
        for condition in conditions:
            version = f"${{{{ 1 if ({condition}) else 0 }}}}"
            contents = {"package": {"name": "probe", "version": version}}
            probe = Stage0Recipe.from_dict(contents, recipe_dir=folder)
            (rendered_probe,) = probe.render(values, render_config)
            if rendered_probe.recipe.to_dict()["package"]["version"] == "1":
                return True
    return False


class Log:
    """Writes rattler-build's messages to a file."""

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
        for package in map(Path, result.packages):
            package.chmod(0o644)  # the engine leaves its temporary file's: only the owner may read
            yield package


def forget_built_before(name: str) -> None:
    """Removes a package from rattler-build's cache, which does not distinguish two packages of the
    same version and build: otherwise it would test the one from an earlier build.
    """
    own = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("RATTLER_CACHE_DIR") or Path(own) / "rattler/cache") / "pkgs"
    for folder in cache.glob(f"{name}-[0-9]*"):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def log_file(output: Path, name: str) -> Path:
    return output / f"{name}.log"


def not_channels(channels: Sequence[str]) -> list[str]:
    """The folders among the channels that are not channels; rattler-build treats them as empty."""
    places = {url: urllib.parse.unquote(url.removeprefix("file://")) for url in channels}
    return [
        url
        for url, place in places.items()
        if url.startswith("file://") and not any(Path(place).glob("*/repodata.json"))
    ]


def why_unsolved(said: str, channels: Sequence[str]) -> str:
    """Why dependencies could not be resolved. rattler-build does not say, so this solves its last
    request again."""
    requests = re.findall(r"^ *Specs:\n((?: +- .+\n?)+)", said, re.MULTILINE)
    if not requests or "Failed to resolve dependencies" not in said:
        return ""
    try:
        import rattler
    except ImportError:
        return "Install py-rattler (pip install py-rattler) to see the reason here."
    specs = re.findall(r"^ +- (.+)$", requests[-1], re.MULTILINE)
    request = rattler.solve(
        list(channels),
        specs,
        # CONDA_OVERRIDE_CUDA counts for the build, and therefore here.
        virtual_packages=rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env()),
        channel_priority=rattler.ChannelPriority.Disabled,
    )
    try:
        asyncio.run(request)
    except Exception as error:  # py-rattler's exceptions have no common class
        return str(error)
    return ""


def complain(name: str, log: Path, error: RattlerBuildError, channels: Sequence[str]) -> None:
    """Prints what went wrong, and what to do if that is known."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    reason = why_unsolved("\n".join([*lines, str(error)]), channels)
    print(*lines[-40:], f"error: {name} could not be built: {error}", sep="\n", file=sys.stderr)
    if reason:
        print(reason.rstrip(), file=sys.stderr)
    print(f"Full log: {log}", file=sys.stderr)
    if conflict := explain("\n".join([*lines[-40:], reason])):
        print(f"{conflict.message}\n{conflict.remedy}", file=sys.stderr)


def read_variants(parser: argparse.ArgumentParser, path: Path) -> dict[str, list[str]]:
    """Reads the variants. Ends the program with a message if the file is invalid."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"--variants {path}: {error}")
    if not isinstance(found, dict) or not all(isinstance(found[key], list) for key in found):
        parser.error(
            f'--variants {path}: expected an object of lists, such as {{"mpi": ["nompi"]}}'
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.conda_packages", description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--channel", action="append", default=[], metavar="URL")
    parser.add_argument(
        "--variants", type=Path, metavar="FILE", help="JSON: lists of values by key"
    )
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME")
    parser.add_argument("--no-tests", action="store_true", help="build without testing")
    options = parser.parse_args(arguments)
    narrowed = read_variants(parser, options.variants) if options.variants else {}
    channels = options.channel or ["conda-forge"]
    output: Path = options.output.absolute()
    if re.search(r"\s", str(output)):
        print(
            f"error: {output} has a space in its path, which some build tools do not support. "
            "Name another folder: python -m ci.conda_packages /tmp/packages. Packages built there "
            "can be installed into any folder.",
            file=sys.stderr,
        )
        return 1
    if missing := not_channels(channels):
        print(
            f"error: {', '.join(missing)}: not a channel (a channel has folders such as noarch, "
            "with a repodata.json).\nName another with --channel, or leave it out for conda-forge. "
            "`python -m tests.conda.channel FOLDER` makes one in FOLDER/channel.",
            file=sys.stderr,
        )
        return 1
    try:
        (output / "noarch").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(
            f"error: {output}: no folder for packages can be created there: {error.strerror}. Name "
            "another: python -m ci.conda_packages /tmp/packages",
            file=sys.stderr,
        )
        return 1
    for name in options.only or NAMES:
        log = log_file(output, name)
        log.unlink(missing_ok=True)
        if not rendered(name, narrowed):
            print(f"skipped: {name}, whose recipe is for other platforms only", flush=True)
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
    """Ends the process at once. rattler's threads may still be working, on an unreachable channel
    or on a package, and would crash an interpreter that shuts down meanwhile."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
