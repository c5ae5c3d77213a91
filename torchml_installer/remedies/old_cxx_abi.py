"""torch with the old C++ ABI: the wheels that PyPI had up to torch 2.6."""

from __future__ import annotations

import sys
from pathlib import Path

from torchml_installer.detect import Survey
from torchml_installer.errors import OldAbiTorchError
from torchml_installer.process import run_logged

NAME = "old-cxx-abi"
COMMAND: tuple[str, ...] = (sys.executable, "-m", "pip", "install", "--upgrade", "torch>=2.7")


def recognise(survey: Survey) -> bool:
    return isinstance(survey.toolchain.torch.problem, OldAbiTorchError)


def explain(survey: Survey) -> str:
    torch = survey.toolchain.torch
    return (
        f"torch {torch.version} in {torch.where} was built with the C++ ABI of before 2011 "
        "(_GLIBCXX_USE_CXX11_ABI=0). The KIM-API hands std::string objects over, which differ "
        "between the two ABIs, so a driver linked with both would crash. torch from PyPI has the "
        "new ABI since 2.7, torch from conda-forge always had it."
    )


def apply(survey: Survey, log: Path) -> None:
    """Upgrades the active Python's torch. A torch from elsewhere is not ours to replace."""
    problem = survey.toolchain.torch.problem
    if problem is not None and survey.toolchain.torch.how != "the active Python":
        raise problem
    run_logged(COMMAND, title="upgrading torch", log=log)
