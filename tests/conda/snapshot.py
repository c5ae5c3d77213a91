"""A channel of metadata only: a snapshot of conda-forge's packages, and ours from the recipes.

It can be solved, but not installed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rattler

from ci.conda_packages import NAMES, rendered
from tests.support import ROOT

SNAPSHOT = ROOT / "tests" / "data" / "conda_forge_snapshot.json"
PLATFORMS = ("linux-64", "noarch")


def virtual_packages(cuda: str | None = None) -> list[rattler.GenericVirtualPackage]:
    """The virtual packages of a Linux machine, with the given CUDA or without a GPU."""
    versions = {"__unix": "0", "__linux": "6.1", "__glibc": "2.28"}
    if cuda is not None:
        versions["__cuda"] = cuda
    build = rattler.BuildString("0")
    return [
        rattler.GenericVirtualPackage(rattler.PackageName(name), rattler.Version(version), build)
        for name, version in versions.items()
    ]


class MetadataChannel:
    """A channel in a folder: repodata.json for two platforms, without packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[dict[str, Any]] = json.loads(SNAPSHOT.read_text())["packages"]
        self._write()

    def add_our_recipes(self) -> None:
        """Adds every variant of every recipe, with the dependencies that a build would give it."""
        for name in NAMES:
            for variant in rendered(name, {}, "linux-64"):
                self.records.append(self._as_built(variant.recipe.to_dict(), variant.variant))
            self._write()

    def leave_out(self, *names: str) -> None:
        """Removes packages."""
        self.records = [record for record in self.records if record["name"] not in names]
        self._write()

    def solve(
        self, specs: Iterable[str], cuda: str | None = None
    ) -> dict[str, rattler.RepoDataRecord]:
        """Name → record. Raises SolverError."""
        found = asyncio.run(
            rattler.solve(
                [self.folder.as_uri()],
                list(specs),
                platforms=list(PLATFORMS),
                virtual_packages=virtual_packages(cuda),
                gateway=rattler.Gateway(),
            )
        )
        return {record.name.normalized: record for record in found}

    def _as_built(self, recipe: Mapping[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
        """A recipe's record, with pins resolved and run exports added, as rattler-build does."""
        wanted = recipe["requirements"]
        in_host = [
            f"{spec} {_any_of(chosen[spec])}" if spec in chosen else spec
            for spec in _plain(wanted.get("host", ()))
        ]
        host = self.solve(in_host, cuda="12.9")
        build = self.solve(_plain(wanted.get("build", ())))
        noarch = recipe["build"].get("noarch") is not None
        depends = [
            self._pinned(spec["pin_compatible"], host) if isinstance(spec, dict) else spec
            for spec in wanted["run"]
        ]
        ignored = wanted.get("ignore_run_exports", {}).get("from_package", ())
        for environment, spec_list, strengths in (
            (host, wanted.get("host", ()), ("noarch",) if noarch else ("weak", "strong")),
            (build, wanted.get("build", ()), () if noarch else ("strong",)),
        ):
            for spec in _plain(spec_list):
                name = spec.split()[0]
                if name not in ignored:
                    exports = self._exports(environment[name])
                    for strength in strengths:
                        depends += exports.get(strength, [])
        return {
            "name": recipe["package"]["name"],
            "version": recipe["package"]["version"],
            "build": recipe["build"]["string"],
            "build_number": recipe["build"].get("number", 0),
            "depends": depends,
            "subdir": "noarch" if noarch else "linux-64",
        }

    def _exports(self, record: rattler.RepoDataRecord) -> Mapping[str, list[str]]:
        (found,) = (
            entry
            for entry in self.records
            if entry["name"] == record.name.normalized
            and entry["version"] == str(record.version)
            and entry["build"] == str(record.build)
        )
        exports: Mapping[str, list[str]] = found.get("run_exports", {})
        return exports

    @staticmethod
    def _pinned(pin: Mapping[str, str], host: Mapping[str, rattler.RepoDataRecord]) -> str:
        version = str(host[pin["name"]].version).split(".")
        lower = version[: pin["lower_bound"].count("x")]
        upper = version[: pin["upper_bound"].count("x")]
        upper[-1] = str(int(upper[-1]) + 1)
        return f"{pin['name']} >={'.'.join(lower)},<{'.'.join(upper)}.0a0"

    def _write(self) -> None:
        for platform in PLATFORMS:
            packages = {}
            for record in self.records:
                if record.get("subdir", "linux-64") != platform:
                    continue
                name = f"{record['name']}-{record['version']}-{record['build']}.conda"
                last = record["build"].rpartition("_")[2]
                packages[name] = {
                    "build_number": int(last) if last.isdigit() else 0,
                    "subdir": platform,
                    "size": 0,
                    "md5": "0" * 32,
                    "sha256": "0" * 64,
                    **{key: value for key, value in record.items() if key != "run_exports"},
                }
            target = self.folder / platform / "repodata.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            contents = {
                "info": {"subdir": platform},
                "packages": {},
                "packages.conda": packages,
                "repodata_version": 1,
            }
            target.write_text(json.dumps(contents))


def _any_of(version: str) -> str:
    """A variant's version as rattler-build interprets it: "5" is any 5.x."""
    return version if "*" in version else f"{version}.*"


def _plain(specs: Sequence[Any]) -> list[str]:
    return [spec for spec in specs if isinstance(spec, str)]
