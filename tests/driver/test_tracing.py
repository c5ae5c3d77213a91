"""Tracing in `model compile`: models that work for all sizes, and messages for others."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.support import DriverEnvironment

pytestmark = pytest.mark.usefixtures("driver_environment")


class Compiling:
    """The compiling part of the driver's Python module, which its fixture installs; and the
    convention and systems of these models."""

    def __init__(self) -> None:
        from torchml_driver.compile import source, systems, trace
        from torchml_driver.compile.failure import ModelError

        self.source, self.trace, self.ModelError = source, trace, ModelError
        self.graph = systems.convention("graph", 1, 1, torch.float64)
        self.systems = systems.SystemMaker("graph", 1, 1, 4.0, [0], torch.float64, "cpu")


@pytest.fixture
def compiling(driver_environment: DriverEnvironment) -> Compiling:
    return Compiling()


@pytest.fixture(autouse=True)
def _default_type_of_the_other_tests() -> Iterator[None]:
    """Compiling runs in a separate process, and makes the model's type the default there."""
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


#: Ways in which a library converts a size to an integer; each on the line after its name.
LIBRARY = """
import torch
def by_len(species, x):
    return torch.zeros(len(species), dtype=x.dtype)
def by_int(species, x):
    return torch.zeros(int(species.shape[0]), dtype=x.dtype)
def by_loop(species, x):
    return torch.stack([0 * x.sum() for _ in range(species.shape[0])])
def by_list(species, x):
    return torch.tensor([0.0] * species.shape[0], dtype=x.dtype)
def by_tensor(species, x):
    return 0.0 * torch.tensor([species.shape[0]]) + torch.zeros_like(x[:, 0])
def by_comparison(species, x):
    return torch.zeros(species.size(0) if species.size(0) == 72 else 7, dtype=x.dtype)
"""

#: As in e3nn's models: parts that are scripted when their module is imported.
SCRIPTED = """
import torch
@torch.jit.script
def harmonics(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return torch.stack([x * y * 1.7, z * z - (x * x + y * y) * 0.5, x * z, y * z], dim=-1)

@torch.jit.script
def envelope(r: torch.Tensor, n: int) -> torch.Tensor:
    return (1.0 - r * r * float(n) + r.pow(3)) * (r < 1.0).to(r.dtype)

class Net(torch.nn.Module):
    def forward(self, species, coords, graph_layer1, contributing):
        i, j = graph_layer1[0], graph_layer1[1]
        d = coords.index_select(0, j) - coords.index_select(0, i)
        h = torch.zeros(species.size(0), 4, dtype=coords.dtype)
        h = h.index_add(0, i, harmonics(d[:, 0], d[:, 1], d[:, 2]))
        again = harmonics(h[:, 0], h[:, 1], h[:, 2]) * envelope(h[:, :1], 3)
        return (h * again).sum(1) * (1 - contributing)
"""


def module_of(path: Path, text: str) -> ModuleType:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


class Calls(torch.nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, species, coords, graph_layer1, contributing):  # type: ignore[no-untyped-def]
        return coords.square().sum(1) + self.function(species, coords)


@pytest.mark.parametrize(
    "name", ["by_len", "by_int", "by_loop", "by_list", "by_tensor", "by_comparison"]
)
def test_the_line_of_a_library_that_fixes_a_size_is_named(
    compiling: Compiling, name: str, tmp_path: Path
) -> None:
    place = tmp_path / "site-packages" / "library_of_models.py"
    library = module_of(place, LIBRARY)
    functions = compiling.trace.functions(Calls(getattr(library, name)), compiling.graph, False)
    with pytest.raises(compiling.ModelError) as raised:
        compiling.trace.export(functions["energies"], compiling.graph, compiling.systems.example())
    lines = LIBRARY.splitlines()
    number = lines.index(f"def {name}(species, x):") + 2
    assert "species.size(0) was fixed to 72 in" in raised.value.message
    assert f"{place}, line {number}: `{lines[number - 1].strip()}`" in raised.value.message


@pytest.mark.parametrize("evaluations", [0, 1, 2, 3])
def test_scripted_parts_fix_no_size_however_often_they_have_run(
    compiling: Compiling, evaluations: int, tmp_path: Path
) -> None:
    module = module_of(tmp_path / f"scripted_{evaluations}.py", SCRIPTED)
    functions = compiling.trace.functions(module.Net().eval(), compiling.graph, False)
    for _ in range(evaluations):
        for _, inputs in list(compiling.systems.systems())[:2]:
            functions["energies_and_gradient"](*inputs)
    for name, function in functions.items():
        program = compiling.trace.module_of(
            compiling.trace.export(function, compiling.graph, compiling.systems.example())
        )
        for _, inputs in list(compiling.systems.systems())[:4]:
            for found, expected in zip(program(*inputs), function(*inputs), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, msg=name)


class Chain(torch.nn.Module):
    """Springs, whose number torch.export learns only while tracing."""

    def __init__(self) -> None:
        super().__init__()
        self.k = torch.nn.Parameter(torch.tensor([0.7], dtype=torch.float64))

    def forward(self, species, coords, graph_layer1, contributing):  # type: ignore[no-untyped-def]
        near = (graph_layer1[0] < graph_layer1[1]).nonzero().view(-1)
        i = graph_layer1[0].index_select(0, near)
        j = graph_layer1[1].index_select(0, near)
        d = coords.index_select(0, j) - coords.index_select(0, i)
        return torch.zeros_like(coords[:, 0]).index_add(0, i, self.k * d.square().sum(1))


def saved_program(compiling: Compiling, path: Path, dynamic: bool) -> Path:
    free = torch.export.Dim.DYNAMIC
    shapes = ({0: free}, {0: free}, {1: free}, {0: free}) if dynamic else None
    program = torch.export.export(Chain(), compiling.systems.example(), dynamic_shapes=shapes)
    torch.export.save(program, str(path))
    return path


def test_weights_that_a_class_draws_are_named_unless_they_are_given(
    compiling: Compiling, tmp_path: Path
) -> None:
    file = tmp_path / "drawn.py"
    file.write_text(
        "import torch\n\nclass Drawn(torch.nn.Linear):\n    def __init__(self):\n"
        "        super().__init__(2, 3)\n        self.known = torch.nn.Parameter(torch.ones(2))\n"
    )

    def random(weights: Path | None) -> list[str]:
        model = compiling.source.make_model(f"{file}:Drawn", {}, weights, "cpu")
        torch.save(model.state_dict(), tmp_path / "weights.pt")
        return model.torchml_random_weights

    assert random(None) == ["weight", "bias"]
    assert random(tmp_path / "weights.pt") == []


def test_a_program_of_torch_export_gives_what_the_model_gives_for_all_sizes(
    compiling: Compiling,
    tmp_path: Path,
) -> None:
    saved = saved_program(compiling, tmp_path / "chain.pt2", dynamic=True)
    model = compiling.source.make_model(str(saved), {}, None, "cpu")
    compiling.source.check_forward(model, compiling.graph.arguments)
    compiling.source.require_free_sizes(model, compiling.graph)
    found = compiling.trace.functions(model, compiling.graph, False)["energies_and_gradient"]
    expected = compiling.trace.functions(Chain(), compiling.graph, False)["energies_and_gradient"]
    compiled = compiling.trace.module_of(
        compiling.trace.export(found, compiling.graph, compiling.systems.example())
    )
    for words, inputs in compiling.systems.systems():
        for one, two, three in zip(
            found(*inputs), expected(*inputs), compiled(*inputs), strict=True
        ):
            torch.testing.assert_close(one, two, msg=words)
            torch.testing.assert_close(three, two, msg=words)


def test_weights_can_be_given_to_a_program_of_torch_export(
    compiling: Compiling, tmp_path: Path
) -> None:
    saved = saved_program(compiling, tmp_path / "chain.pt2", dynamic=True)
    torch.save({"k": torch.tensor([1.4], dtype=torch.float64)}, tmp_path / "weights.pt")
    inputs = compiling.systems.example()
    once, twice = (
        compiling.source.make_model(str(saved), {}, weights, "cpu")(*inputs)
        for weights in (None, tmp_path / "weights.pt")
    )
    torch.testing.assert_close(twice, 2.0 * once)


def test_a_program_for_one_size_is_refused_with_how_to_export_it(
    compiling: Compiling, tmp_path: Path
) -> None:
    saved = saved_program(compiling, tmp_path / "chain.pt2", dynamic=False)
    model = compiling.source.make_model(str(saved), {}, None, "cpu")
    with pytest.raises(compiling.ModelError) as raised:
        compiling.source.require_free_sizes(model, compiling.graph)
    assert "exported for one size only: species.size(0) is 72" in raised.value.message
    assert "dynamic_shapes=({0: D}, {0: D}, {1: D}, {0: D})" in str(raised.value.remedy)


def test_a_program_that_this_torch_cannot_read_is_told_with_both_versions(
    compiling: Compiling, tmp_path: Path
) -> None:
    saved = saved_program(compiling, tmp_path / "chain.pt2", dynamic=True)
    newer = tmp_path / "newer.pt2"
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(newer, "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith("model.json"):
                data = data.replace(
                    b'"schema_version": {"major": ', b'"schema_version": {"major": 9'
                )
                data = data.replace(torch.__version__.encode(), b"99.1.0")
            copy.writestr(name, data)
    with pytest.raises(compiling.ModelError) as raised:
        compiling.source.make_model(str(newer), {}, None, "cpu")
    assert "which torch 99.1.0 wrote, cannot be read by torch" in raised.value.message
    assert torch.__version__ in raised.value.message


def test_a_compiled_package_is_not_compiled_again(compiling: Compiling, tmp_path: Path) -> None:
    file = tmp_path / "other.pt2"
    file.write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(compiling.ModelError, match=r"was not written by torch\.export"):
        compiling.source.make_model(str(file), {}, None, "cpu")
