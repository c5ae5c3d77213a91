"""A TorchScript file may carry the C++ libraries that define its classes and operators."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from tests.support import DriverEnvironment

TORCH = torch.__version__.partition("+")[0]


class Squares(torch.nn.Module):
    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return edge_vectors.square().sum(1)


def carrying(folder: Path, text: str, **libraries: bytes) -> Path:
    """A portable model whose file carries libraries, by the names lib….so."""
    folder.mkdir()
    files: dict[str, str | bytes] = {"torchml/libraries.txt": text}
    files.update({f"torchml/lib{name}.so": data for name, data in libraries.items()})
    torch.jit.script(Squares().double()).save(str(folder / "Carrying.pt"), _extra_files=files)
    (folder / "Carrying.param").write_text(
        "1\nSi\nEdges\n3.0\n1\nCarrying.pt\nFalse\n4\nNone\nprecision float64\n"
    )
    return folder


def listed(*names: str, torch_version: str = TORCH, machine: str | None = None) -> str:
    lines = ["torchml-libraries 1", f"torch {torch_version}"]
    lines.append(f"machine {machine or platform.machine()}")
    return "\n".join([*lines, *(f"library lib{name}.so" for name in names)]) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (listed("odd", torch_version="1.0.0"), r"are for torch 1\.0\.0, but this is torch"),
        (listed("odd", machine="pdp11"), r"are for pdp11 CPUs, but this machine has"),
        (listed("odd"), r"the library libodd\.so in model file .* cannot be opened"),
    ],
)
def test_libraries_that_do_not_fit_are_named(
    driver_environment: DriverEnvironment, tmp_path: Path, text: str, said: str
) -> None:
    import torchml_driver

    model = carrying(tmp_path / "model", text, odd=b"no library")
    with pytest.raises(torchml_driver.Error, match=rf"{said}.*model pack --from"):
        torchml_driver.Potential(model)


def test_a_library_that_the_process_has_is_not_opened_again(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    """It would register everything twice. Nor does it have to fit: it is not used."""
    import torchml_driver

    text = listed("c10", torch_version="1.0.0")
    model = carrying(tmp_path / "model", text, c10=b"no library")
    result = torchml_driver.Potential(model).compute(["Si", "Si"], [[0, 0, 0], [0, 0, 2.0]])
    assert result.energy == pytest.approx(8.0)
