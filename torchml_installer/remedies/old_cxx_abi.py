"""torch with the old C++ ABI: the wheels that PyPI had up to torch 2.6."""

from __future__ import annotations

import sys

from torchml_installer.errors import OldAbiTorchError
from torchml_installer.process import run_logged
from torchml_installer.remedies.remedy import Change, Context, Remedy, Symptom

COMMAND = (sys.executable, "-m", "pip", "install", "--upgrade", "torch>=2.7")


class OldCxxAbi(Remedy):
    name = "old-cxx-abi"

    def before_build(self, context: Context) -> Symptom | None:
        torch = context.tools.torch
        if not isinstance(torch.problem, OldAbiTorchError):
            return None
        return Symptom(
            f"torch {torch.version} in {torch.where} was built with the C++ ABI of before 2011 "
            "(_GLIBCXX_USE_CXX11_ABI=0). The KIM-API hands std::string objects over, which differ "
            "between the two ABIs, so a driver linked with both would crash. torch from PyPI has "
            "the new ABI since 2.7, torch from conda-forge always had it.",
            repair="upgrade the active Python's torch",
            command=COMMAND,
            error=torch.problem,
        )

    def fix(self, context: Context) -> Change:
        """A torch from elsewhere than the active Python is not ours to replace."""
        torch = context.tools.torch
        if torch.problem is not None and torch.how != "the active Python":
            raise torch.problem
        run_logged(COMMAND, title="upgrading torch", log=context.log)
        return Change("torch was upgraded.")
