"""The driver's own operators for torch_scatter's and torch_sparse's: values and gradients."""

from __future__ import annotations

import contextlib
import importlib
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.operator_cases import Case, cases, fresh
from tests.support.operator_loops import LOOPS
from tests.support.our_operators import namespaces


@pytest.fixture(scope="module")
def driver(request: pytest.FixtureRequest) -> ModuleType:
    """The Python module, built first if the suite builds it."""
    with contextlib.suppress(pytest.FixtureLookupError):
        request.getfixturevalue("driver_environment")
    return importlib.import_module("torchml_driver")


@pytest.fixture(scope="module")
def operators(driver: ModuleType) -> dict[str, Any]:
    """The driver's operators, as Python calls them."""
    return {library: getattr(torch.ops, name) for library, name in namespaces().items()}


def call(operators: dict[str, Any], case: Case, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    result = getattr(operators[case.library], case.operator)(*arguments)
    return result if isinstance(result, tuple) else (result,)


def differentiable(arguments: tuple[Any, ...]) -> list[int]:
    """The positions of the values among a call's arguments."""
    return [
        place
        for place, part in enumerate(arguments)
        if isinstance(part, torch.Tensor) and part.dtype == torch.float64
    ]


def tolerance_of(result: Any) -> float:
    """Sums of a few numbers in different orders."""
    known = {torch.float16: 2e-3, torch.float32: 1e-6, torch.float64: 1e-14}
    return known.get(result.dtype, 0.0) if isinstance(result, torch.Tensor) else 0.0


ALL = list(cases())
SMOOTH = [case for case in ALL if differentiable(case.arguments) and "ties" not in case.label]


@pytest.mark.parametrize("case", ALL, ids=str)
def test_an_operator_computes_what_loops_compute(case: Case, operators: dict[str, Any]) -> None:
    plain = [p.numpy() if isinstance(p, torch.Tensor) else p for p in fresh(case.arguments)]
    expected = LOOPS[case.operator](*plain)
    expected = expected if isinstance(expected, tuple) else (expected,)
    results = call(operators, case, fresh(case.arguments))
    assert len(results) == len(expected)
    tolerance = tolerance_of(results[0])
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(np.asarray(result), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_gradients_equal_finite_differences(case: Case, operators: dict[str, Any]) -> None:
    places = differentiable(case.arguments)

    def values(*inputs: torch.Tensor) -> torch.Tensor:
        arguments = list(case.arguments)
        for place, tensor in zip(places, inputs, strict=True):
            # The output argument of a call cannot also be an input.
            arguments[place] = tensor.clone() if "into" in case.label else tensor
        return call(operators, case, tuple(arguments))[0]

    inputs = [case.arguments[place].clone().requires_grad_() for place in places]
    assert torch.autograd.gradcheck(values, inputs)
    assert torch.autograd.gradgradcheck(values, inputs)


def test_a_script_sees_what_was_written_to_out(operators: dict[str, Any]) -> None:
    best = operators["scatter"].scatter_max

    def script(src: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(3, 2, dtype=src.dtype)
        before = out + 1
        best(src, index, 0, out, None)  # its result is not used
        return before + 10 * out

    compiled = torch.jit.script(script)
    src = torch.arange(8.0, dtype=torch.float64).view(4, 2)
    for _ in range(3):  # torch optimises after a few calls
        result = compiled(src, torch.tensor([0, 0, 2, 2]))
        assert result.tolist() == [[21.0, 31.0], [1.0, 1.0], [61.0, 71.0]]


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("scatter_sum", (torch.ones(2), torch.tensor([0, 5]), 0, None, 3)),
        ("scatter_max", (torch.ones(2), torch.tensor([-1, 0]), 0, None, 3)),
        ("segment_sum_csr", (torch.ones(2), torch.tensor([0, 5]), None)),
    ],
)
def test_indices_out_of_range_are_errors(
    operator: str, arguments: tuple[Any, ...], operators: dict[str, Any]
) -> None:
    with pytest.raises(RuntimeError, match=r"not in \[0, 3\)"):
        getattr(operators["scatter"], operator)(*arguments)
