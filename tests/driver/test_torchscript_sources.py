"""`model compile` also takes TorchScript, whose operations it traces one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from torchml_installer.models.compile import compiled_name

pytestmark = pytest.mark.usefixtures("driver_environment")


@pytest.fixture(autouse=True)
def _default_type_of_the_other_tests() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


class Everything(torch.nn.Module):
    """Whatever TorchScript has besides tensors: loops, branches, texts, lists, assertions."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList([torch.tensor([0.5]), torch.tensor([0.25])]).double()
        self.mode = "sum"

    def forward(self, descriptor: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        assert bool((descriptor > -100.0).all()), "far out"
        sizes = [descriptor.size(0), 1]
        found: dict[str, torch.Tensor] = {}
        total = torch.zeros(sizes, dtype=descriptor.dtype)
        for turn, weight in enumerate(self.weights):
            found[f"term {turn}"] = weight * descriptor.pow(turn + 1).sum(1, keepdim=True)
        for turn in range(3):
            key = "term {}".format(turn)  # noqa: UP032
            if key in found:
                total = total + found[key]
        if self.mode != "sum" or len(sizes) > 2:
            total = 0.0 * total
        if bias is not None:
            total = total + bias
        return torch.cat([total, torch.full_like(total, float(len(found)))], 1).sum(1)


@pytest.mark.parametrize("frozen", [False, True])
def test_torchscript_is_traced_for_all_sizes(frozen: bool, tmp_path: Path) -> None:
    from torchml_driver.compile import source, systems, trace

    model = Everything()
    made = torch.jit.script(model.eval())
    torch.jit.save(torch.jit.freeze(made) if frozen else made, str(tmp_path / "model.pt"))
    read = source.make_model(str(tmp_path / "model.pt"), {}, None, "cpu")
    assert source.scalar_type(read) == torch.float64
    called = systems.convention("descriptor", 1, 4, torch.float64)
    source.check_forward(read, called.arguments)
    maker = systems.SystemMaker("descriptor", 1, 4, 4.0, [0], torch.float64, "cpu")
    program = trace.export(
        trace.functions(read, called, False)["energies_and_gradient"], called, maker.example()
    )
    for words, (rows,) in maker.systems():
        energies, _ = trace.module_of(program)(rows)
        torch.testing.assert_close(energies, model(rows).detach(), msg=words)


def test_a_value_that_a_model_asserts_is_not_asked_for(tmp_path: Path) -> None:
    """Compiled code has no branches; the driver checks its inputs by itself."""
    from torchml_driver.compile import scripted

    torch.jit.script(Everything()).save(str(tmp_path / "model.pt"))
    scripted.load(tmp_path / "model.pt")(torch.full((2, 4), -200.0, dtype=torch.float64))


def test_what_is_not_torchscript_is_told(tmp_path: Path) -> None:
    from torchml_driver.compile import source
    from torchml_driver.compile.failure import ModelError

    (tmp_path / "model.pt").write_bytes(b"weights")
    with pytest.raises(ModelError, match="cannot be read as TorchScript"):
        source.make_model(str(tmp_path / "model.pt"), {}, None, "cpu")
    with pytest.raises(ModelError, match="There is no file"):
        source.make_model(str(tmp_path / "other.pt"), {}, None, "cpu")
    with pytest.raises(ModelError, match="takes neither --arguments nor --weights"):
        source.make_model(str(tmp_path / "model.pt"), {"features": 3}, None, "cpu")


def test_a_package_is_named_after_the_file() -> None:
    assert compiled_name("folder/model.pt") == Path("model.pt2")
