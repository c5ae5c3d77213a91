"""Fetches published archives with pip, to use its mirrors, proxies and certificates."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.deps import pip
from torchml_installer.errors import DownloadFailedError
from torchml_installer.support import offline
from torchml_installer.support.placing import partial_beside
from torchml_installer.support.process import run_logged
from torchml_installer.support.user_python import user_python


@dataclass(frozen=True)
class Archive:
    """A file of a release on PyPI.

    package, version: of the release. file: the file's name. sha256: its checksum.
    pip_options: make pip choose this file of the release.
    modules: what the user's Python needs for the download besides pip.
    """

    package: str
    version: str
    file: str
    sha256: str
    pip_options: Sequence[str]
    modules: Sequence[str] = ()

    def is_whole(self, path: Path) -> bool:
        """Whether the file exists and is the published one."""
        if not path.is_file():
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256

    def require_whole(self, path: Path) -> None:
        """Raises DownloadFailedError if the file is missing or is not the published one."""
        if not path.is_file():
            raise DownloadFailedError(
                f"{path} does not exist.",
                f"Put {self.file} into the folder that --sources names.",
            )
        if not self.is_whole(path):
            raise DownloadFailedError(
                f"{path} is not the published archive: its sha256 is not {self.sha256}.",
                "Delete it and download it again.",
            )

    def download_command(self, folder: Path) -> list[str]:
        return [
            *(user_python().executable, "-m", "pip", "download", "--disable-pip-version-check"),
            *("--no-input", "--no-deps", *self.pip_options),
            *("--dest", str(folder)),
            f"{self.package}=={self.version}",
        ]

    def download(self, path: Path, log: Path, *, verbose: bool) -> None:
        """Downloads the file to ``path``, or leaves nothing and raises DownloadFailedError."""
        by_hand = (
            f"Or download {self.file} from "
            f"https://pypi.org/project/{self.package}/{self.version}/#files "
            "and name its folder with --sources DIR."
        )
        python = user_python()
        for module in ("pip", *self.modules):
            if not python.has(module):
                raise DownloadFailedError(
                    f"{python.executable} has no {module}, which the download needs.",
                    f"Run `{shlex.join(_bringing(module))}`. {by_hand}",
                )
        with partial_beside(path) as partial:
            # Another run may have downloaded it while this one was waiting.
            if self.is_whole(path):
                return
            try:
                run_logged(
                    self.download_command(partial),
                    title=f"downloading {self.package}-{self.version}",
                    log=log,
                    environment=pip.environment(),
                    verbose=verbose,
                    failure=DownloadFailedError,
                )
            except DownloadFailedError as error:
                offline.explain(error, "pip", [f"{self.package}=={self.version}"])
                error.remedy = f"{error.remedy} {by_hand}"
                raise
            fetched = partial / self.file
            if fetched.is_file():
                fetched.replace(path)


def _bringing(module: str) -> list[str]:
    """The command that installs a module. uv installs packages, but cannot download archives."""
    if module == "pip":
        return [user_python().executable, "-m", "ensurepip"]
    return pip.install_command(module)
