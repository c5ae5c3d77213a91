"""The smallest Debian, fetched by debootstrap, with this machine's network settings."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support import run

_MIRROR = "http://deb.debian.org/debian"
_SYSTEM = ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt")

_NETWORK = re.compile(r"(?i)(pip_|ssl_cert|curl_ca|requests_ca|https?_proxy|no_proxy)")


def network_settings() -> dict[str, str]:
    """The environment variables for the network that a user would set there."""
    return {name: value for name, value in os.environ.items() if _NETWORK.match(name)}


@contextlib.contextmanager
def smallest_debian(root: Path, *packages: str) -> Iterator[Path]:
    """Debian 12 in a new folder ``root``, with these packages; removed at the end."""
    options = ["--variant=minbase", f"--include={','.join(packages)}"]
    try:
        # In a separate mount namespace, since debootstrap leaves /proc mounted.
        run(["unshare", "--mount", "debootstrap", *options, "bookworm", root, _MIRROR])
        for name in _SYSTEM:
            if Path("/", name).is_file():
                shutil.copy(Path("/", name), root / name)
        # This machine's own certificates, from which tools there may write others again.
        folders = (
            "etc/apt/apt.conf.d",
            "etc/apt/sources.list.d",
            "usr/local/share/ca-certificates",
        )
        for name in folders:
            if Path("/", name).is_dir():
                shutil.copytree(Path("/", name), root / name, dirs_exist_ok=True)
        if (root / "etc/apt/sources.list.d/debian.sources").exists():
            (root / "etc/apt/sources.list").unlink()
        settings, _ = pip_settings()
        (root / "etc/pip.conf").write_text(settings)
        # Such as constraints, which are in a separate file.
        for file in (Path(word) for word in re.findall(r"(?<=\s)/\S+", settings)):
            if file.is_file() and not (root / file.relative_to("/")).exists():
                (root / file.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, root / file.relative_to("/"))
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def pip_settings() -> tuple[str, list[Path]]:
    """The contents of a pip.conf for this machine's index, and the folders that it names."""
    lines = ["[global]"]
    folders = set()
    for line in run([sys.executable, "-m", "pip", "config", "list"]).splitlines():
        name, _, value = line.partition("=")
        if name.startswith("global."):
            # Several values are shown with the ends of lines as \n.
            words = value.strip("'\"").replace("\\n", " ").split()
            lines.append(f"{name.removeprefix('global.')} = {' '.join(words)}")
            places = (Path(word.removeprefix("file://")) for word in words)
            folders |= {place for place in places if place.is_dir() and place.is_absolute()}
    tops = {place.parent if place.name == "simple" else place for place in folders}
    return "\n".join(lines) + "\n", sorted(tops)
