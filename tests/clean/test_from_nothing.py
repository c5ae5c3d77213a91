"""From a Debian with Python and nothing else to a potential in LAMMPS and ASE, and back again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clean.machines import obstacle
from tests.clean.smallest_debian import network_settings, pip_settings, smallest_debian
from tests.support import ROOT, run

pytestmark = pytest.mark.slow

_PACKAGES = ("ca-certificates", "python3", "python3-venv")
_ENTER = """\
set -e
root=$1; shift
mount --bind /dev "$root/dev"
for folder in "$@"; do
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
done
mount -t proc proc "$root/proc"
exec chroot "$root" /bin/bash /root/go.sh
"""
_GO = """\
set -ex
cd /root
python3 -m venv "my environment"
. "my environment/bin/activate"
pip install -q wheel/*.whl
cd /srv
torchml-install --version
code=0; torchml-install doctor || code=$?
test "$code" = 3
torchml-install deps --dry-run
torchml-install deps < /dev/null
torchml-install driver
torchml-install doctor
torchml-install deps --with lammps,ase,kimpy,openkim-models,xxd
torchml-install quickstart
torchml-install uninstall
torchml-install uninstall --all
: nothing of ours is left
test ! -e ~/.cache/torchml-install
test ! -e ~/.local/share/torchml-install
test -z "$(ls -A /srv)"
test -z "$(find / -xdev -iname '*torchml*' -not -path '/root/my environment/*' \\
    -not -path '/root/wheel/*' -not -path '/proc/*')"
if pip show -q torchml-driver; then exit 1; fi
code=0; torchml-install uninstall --all || code=$?
test "$code" = 0
"""


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Path]:
    """The smallest Debian with Python's venv; removed at the end, as it grows to gigabytes."""
    if reason := obstacle():
        pytest.skip(reason)
    if shutil.which("debootstrap") is None:
        pytest.skip("there is no debootstrap (`apt install debootstrap`)")
    with smallest_debian(tmp_path / "debian", *_PACKAGES) as root:
        yield root


def test_every_step_from_nothing_to_silicon_and_back(debian: Path, tmp_path: Path) -> None:
    wheels = debian / "root/wheel"
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, ROOT])
    path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    (debian / "root/go.sh").write_text(_GO)
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", _ENTER, "sh"]
    _, folders = pip_settings()
    done = subprocess.run(
        [*enter, str(debian), *map(str, folders)],
        env={**network_settings(), "HOME": "/root", "PATH": path, "LANG": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "energy (eV)" in done.stdout
    assert "Traceback" not in done.stdout
