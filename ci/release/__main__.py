"""The command ``python -m ci.release``, which ``make release`` calls."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.prebuilt import wheel as prebuilt
from ci.release import python_packages, sbom
from ci.release.conda import conda_packages
from ci.release.errors import ReleaseError
from ci.release.sources import Commit, changes, export, refuse_what_is_no_release
from ci.release.version import set_version, version_of

ROOT = Path(__file__).resolve().parent.parent.parent
SUMS = "SHA256SUMS"
#: The kinds of files that can be left out, in the order of making.
KINDS = ("installer", "driver-sdist", "driver-wheel", "conda")

_NOTES = """\
# torchml-driver {version}

{changes}

## Files

Built from commit {commit}. To check your downloads, run in their folder:

```
sha256sum --check --ignore-missing {sums}
```

{kinds}
`{sbom}` lists the contents of the files and the tools that built them (CycloneDX).
"""
#: The notes on each kind of file.
_KINDS = {
    "installer": "`pip install torchml_installer-{version}-py3-none-any.whl` installs the command "
    "`torchml-install`.",
    "driver-wheel": "The wheel of torchml_driver contains the driver for KIM and its Python "
    "module, compiled for torch {torches}: `torchml-install driver --find-links FOLDER` installs "
    "them without a compiler. With any other torch, `torchml-install driver` compiles them.",
    "conda": "The folder `conda/` is a channel: "
    "`conda install -c file://$PWD/conda -c conda-forge torchml-driver`.",
}


def environment(epoch: int) -> dict[str, str]:
    """The environment of every build, with everything fixed that could make two builds differ."""
    fixed = {
        "SOURCE_DATE_EPOCH": str(epoch),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    kept = {name: os.environ[name] for name in os.environ if not name.startswith(("LC_", "LANG"))}
    return {**kept, **fixed}


def digests_of(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file, by its path below the folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def make(root: Path, stage: Path, options: argparse.Namespace) -> str:
    """Fills the folder ``stage`` with the release; returns its version. Raises ReleaseError."""
    version = version_of(root)
    if not options.draft:
        refuse_what_is_no_release(root, version)
    commit = Commit.head(root)
    env = environment(commit.epoch)
    kinds = [kind for kind in KINDS if kind not in options.without]
    with tempfile.TemporaryDirectory(prefix="torchml-release-") as name:
        work = Path(name).resolve()
        sources, made = work / "sources", work / "made"
        made.mkdir()
        export(root, sources, commit.epoch)
        packages = _python_packages(kinds, sources, made, env, options)
        if packages:
            python_packages.check_metadata(packages, env)
        if "conda" in kinds:
            _say("conda packages")
            wanted = [f"--channel={channel}" for channel in options.conda_channel]
            if options.conda_variants:
                wanted.append(f"--variants={options.conda_variants.absolute()}")
            conda_packages(sources, made / "conda", env, commit.epoch, wanted)
        bill = sbom.bill(sources, version, commit, digests_of(made))
        sbom.check(bill)
        sbom_name = f"torchml-driver-{version}.cdx.json"
        (made / sbom_name).write_text(bill, "utf-8")
        notes = _NOTES.format(
            version=version,
            changes=changes(sources, version) or "A draft. Do not publish it.",
            commit=commit.name,
            sums=SUMS,
            kinds="\n".join(
                _KINDS[kind].format(version=version, torches=_series(options.torch))
                for kind in kinds
                if kind in _KINDS
            ),
            sbom=sbom_name,
        )
        (made / "RELEASE_NOTES.md").write_text(notes, "utf-8")
        sums = "".join(f"{digest}  {name}\n" for name, digest in digests_of(made).items())
        (made / SUMS).write_text(sums, "utf-8")
        shutil.copytree(made, stage, dirs_exist_ok=True)
    return version


def _series(torches: Sequence[str]) -> str:
    """ "2.7, 2.8" of ["2.7.0", "2.8.0"]."""
    return ", ".join(".".join(torch.split(".")[:2]) for torch in torches)


def _python_packages(
    kinds: Sequence[str],
    sources: Path,
    made: Path,
    env: Mapping[str, str],
    options: argparse.Namespace,
) -> list[Path]:
    packages = []
    if "installer" in kinds:
        _say("torchml-installer: sdist and wheel")
        packages += python_packages.installer(sources, made, env)
    if "driver-sdist" in kinds:
        _say("torchml-driver: sdist")
        packages.append(python_packages.driver_sdist(sources, made, env))
    if "driver-wheel" in kinds:
        _say("torchml-driver: wheel (minutes for each torch)")
        packages.append(prebuilt.make(sources, made, env, options.torch, options.root))
    return packages


def _say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", flush=True)


def publish(stage: Path, output: Path) -> None:
    """Puts the finished folder in place of an earlier release, whole or not at all."""
    if output.exists() and any(output.iterdir()) and not (output / SUMS).is_file():
        raise ReleaseError(
            f"{output} contains files that no release wrote. Move them away, or name another "
            "folder with --output."
        )
    earlier = stage.with_name(f"{stage.name}.earlier")
    if output.exists():
        output.rename(earlier)
    stage.rename(output)
    shutil.rmtree(earlier, ignore_errors=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ci.release",
        description="Makes the files of a release: from the same commit, the same bytes.",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="%(default)s")
    parser.add_argument(
        "--draft", action="store_true", help="build the tree as it is, without checking it"
    )
    parser.add_argument("--without", action="append", default=[], choices=KINDS)
    parser.add_argument(
        "--torch",
        action="append",
        metavar="X.Y.Z",
        help=f"for the driver's wheel (default: {', '.join(prebuilt.TORCHES)})",
    )
    parser.add_argument(
        "--root", type=Path, help="keep the root that compiles the driver's wheel for the next time"
    )
    parser.add_argument("--conda-channel", action="append", default=[], metavar="URL")
    parser.add_argument("--conda-variants", type=Path, metavar="FILE")
    parser.add_argument("--set-version", metavar="X.Y.Z", help="only write a version everywhere")
    options = parser.parse_args(arguments)
    options.torch = options.torch or list(prebuilt.TORCHES)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    os.umask(0o022)
    output: Path = options.output.absolute()
    try:
        if options.set_version:
            set_version(ROOT, options.set_version)
            return 0
        output.parent.mkdir(parents=True, exist_ok=True)
        # Beside its destination, so that a rename can move it there.
        with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as name:
            stage = Path(name) / "stage"
            stage.mkdir()
            version = make(ROOT, stage, options)
            publish(stage, output)
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{output}: {version}. Check it: cd {output} && sha256sum --check {SUMS}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
