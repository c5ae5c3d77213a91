"""torch with the old C++ ABI: PyPI's wheels up to torch 2.6."""

from __future__ import annotations

from torchml_installer.building.plan import BuildPlan
from torchml_installer.deps import pip
from torchml_installer.errors import OldAbiTorchError, PackageInstallError
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom
from torchml_installer.support.process import run_logged


class OldCxxAbi(Remedy):
    name = "old-cxx-abi"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        torch = plan.tools.torch
        if not isinstance(torch.problem, OldAbiTorchError):
            return None
        ours = torch.how == "the active Python" and pip.obstacle() is None
        return Symptom(
            f"torch {torch.version} in {torch.where} was built with the C++ ABI from before 2011 "
            "(_GLIBCXX_USE_CXX11_ABI=0). The KIM-API passes std::string objects, whose layout "
            "differs between the two ABIs: a driver linked with both would crash. torch from PyPI "
            "has had the new ABI since 2.7, torch from conda-forge always.",
            # We may not replace a torch from elsewhere, nor one whose Python forbids it.
            repair="upgrade the active Python's torch" if ours else "",
            command=_command() if ours else (),
            error=torch.problem,
        )

    def fix(self, plan: BuildPlan) -> Repair:
        with pip.locked() as held, pip.recorded(["torch"]):
            run_logged(
                _command(),
                title="upgrading torch",
                log=plan.fix_log,
                environment={**plan.environment, **pip.environment()},
                failure=PackageInstallError,
                keep_open=(held.number,),
            )
        return Repair("torch was upgraded.", plan.with_places())


def _command() -> tuple[str, ...]:
    return (*pip.install_command("--upgrade", "torch>=2.7"),)
