"""torchml-installer's conda package, for real: built, tested, solved, installed, used and removed.

It needs neither a compiler nor torch, so this runs for every change; test_conda_packages.py tests
the other packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ci.release.version import version_of
from tests.conda.conftest import LONG_NAME, Channels, CondaEnvironment
from tests.conda.offline import installer_folder
from tests.support import ROOT, run


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Channels:
    """Builds the recipe and runs its tests."""
    folder = installer_folder()
    output = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "ci.conda_packages", output, "--only", "torchml-installer"]
    channel = folder / "channel"
    options = ["--channel", channel.as_uri(), "--variants", folder / "variants.yaml"]
    said = run([*command, *options], cwd=ROOT)
    assert "built and tested: " in said
    return Channels(output, channel)


def test_everybody_may_read_the_package_and_it_does_not_name_the_build_s_folder(
    channels: Channels, make_environment: Callable[[str], CondaEnvironment]
) -> None:
    (package,) = channels.ours.glob("noarch/torchml-installer-*.conda")
    assert package.stat().st_mode & 0o777 == 0o644
    made = make_environment("environment")
    made.install(channels.solve("torchml-installer"))
    names = {path.name for path in made.contents() if "torchml_installer-" in str(path)}
    assert "RECORD" in names
    assert "direct_url.json" not in names


def test_the_installer_is_installed_used_and_removed_without_a_trace(
    channels: Channels, make_environment: Callable[[str], CondaEnvironment]
) -> None:
    made = make_environment(LONG_NAME)
    everything = channels.solve("torchml-installer")
    others = [record for record in everything if record.name.normalized != "torchml-installer"]
    assert len(others) == len(everything) - 1
    made.install(others)
    before = made.contents()
    made.install(everything)

    assert made.run("torchml-install", "--version").split()[-1] == version_of(ROOT)
    doctor = subprocess.run(
        [made.prefix / "bin/torchml-install", "doctor", "--json"],
        env={},
        cwd=made.work,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(doctor.stdout)
    assert doctor.stderr == ""
    assert (doctor.returncode == 0) == report["ok"]
    assert {"torch", "kim-api", "compiler"} <= {finding["name"] for finding in report["findings"]}
    package = Path("lib", f"python3.{sys.version_info.minor}", "site-packages/torchml_installer")
    assert package / "__pycache__" in made.contents(), "it was used"

    made.install(others)
    assert made.left_over(before) == set()
    assert before <= made.contents()
