"""Two torches in one conda environment: conda's, which its packages link, and pip's."""

from __future__ import annotations

import shlex

from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect.programs import conda_environment
from torchml_installer.detect.torch import python_torch_folder
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom
from torchml_installer.support.user_python import user_python


class TwoTorches(Remedy):
    name = "two-torches"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        prefix = conda_environment()
        package = python_torch_folder()
        if prefix is None or package is None:
            return None
        records = sorted((prefix / "conda-meta").glob("libtorch-*.json"))
        own = package / "lib/libtorch_cpu.so"
        # conda's package has links to the library in the environment's own lib/.
        if not records or not own.is_file() or own.resolve().parent == (prefix / "lib").resolve():
            return None
        python = shlex.quote(user_python().executable)
        version = records[0].name.split("-")[1]
        installed = sorted(package.parent.glob("torch-*.dist-info"))
        other = installed[0].stem.partition("-")[2] if installed else "of another kind"
        return Symptom(
            f"This environment has two torches: conda's libtorch {version} in {prefix / 'lib'}, "
            "which conda's packages such as torchml-driver link, and pip's torch "
            f"{other} in {package}, which Python imports. A program that loads both uses the first "
            "one or crashes. To keep conda's, run "
            f"`{python} -m pip uninstall torch`, then `conda install -p {prefix} "
            "--force-reinstall -c conda-forge pytorch`. To keep pip's, run `conda remove -p "
            f"{prefix} torchml-driver libtorch`, then `torchml-install driver`."
        )

    def fix(self, plan: BuildPlan) -> Repair:
        raise AssertionError("there is no repair")
