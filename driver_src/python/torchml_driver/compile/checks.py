"""Checks that a compiled model gives the original's results, on various systems."""

from __future__ import annotations

import torch

from .failure import ModelError, one_line, place_in_model, sentence
from .systems import SystemMaker, Tensors
from .trace import Function

#: The largest difference, relative to the largest value, that counts as rounding.
_TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "float16": 5e-2, "bfloat16": 1e-1}
#: The number of systems on which the original must work.
_LEAST_SYSTEMS = 3

#: An entry's results, each with a description of its system.
Results = list[tuple[str, Tensors]]


def _require_repeatable(words: str, first: Tensors, second: Tensors, scalar: torch.dtype) -> None:
    """Raises ModelError if a model's results for the same system differ."""
    difference = max(_difference(one, other) for one, other in zip(first, second, strict=True))
    if not difference <= _tolerance(scalar):
        raise ModelError(
            "forward",
            "The model gives different results each time it is called: they differ by "
            f"{difference:.1e} of the largest value for {words}.",
            "Remove randomness from the model, for example dropout(..., training=True), and state "
            "that it keeps from call to call.",
        )


def _tolerance(scalar: torch.dtype) -> float:
    return _TOLERANCES[str(scalar).removeprefix("torch.")]


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, relative to the largest value of the first tensor."""
    if one.shape != other.shape:
        return float("inf")
    if one.numel() == 0:
        return 0.0
    scale = max(float(one.double().abs().max()), 1e-3)
    return float((one.double() - other.double()).abs().max()) / scale


def evaluate(function: Function, maker: SystemMaker) -> Results:
    """The original's results. Leaves out systems on which the original itself fails.

    Raises ModelError if it fails on most systems, or gives different results each time.
    """
    results: Results = []
    first: Exception | None = None
    for words, inputs in maker.systems():
        try:
            found = tuple(function(*inputs))
        except ModelError:
            raise
        except Exception as error:
            first = first or error
            continue
        if all(bool(tensor.isfinite().all()) for tensor in found):
            if not results:
                _require_repeatable(words, found, tuple(function(*inputs)), maker.scalar)
            results.append((words, found))
    if len(results) < _LEAST_SYSTEMS:
        reason = (
            f"{type(first).__name__}: {sentence(one_line(first))}\n    {place_in_model(first)}"
            if first is not None
            else "Its energies or forces are not finite on ordinary systems."
        )
        raise ModelError(
            "forward",
            f"The model itself fails when it is called as the driver calls it. {reason}",
            "Check --pattern, --layers, --elements and --cutoff.",
        )
    return results


def compare(entry: str, compiled: Function, maker: SystemMaker, expected: Results) -> float:
    """The largest relative difference between a compiled entry and the original.

    Raises ModelError if that is more than rounding, or if the compiled entry fails.
    """
    tolerance = _tolerance(maker.scalar)
    inputs = dict(maker.systems())
    largest = 0.0
    for words, results in expected:
        try:
            found = compiled(*inputs[words])
        except Exception as error:
            raise ModelError(
                "differ",
                f"The compiled model fails for {words} ({entry}): {sentence(one_line(error))}",
            ) from error
        for one, other in zip(results, found, strict=True):
            if one.shape != other.shape:
                raise ModelError(
                    "differ",
                    f"The compiled model returns the shape {list(other.shape)} for {words}, the "
                    f"original {list(one.shape)} ({entry}).",
                )
            largest = max(largest, _difference(one, other))
            if not largest <= tolerance:
                raise ModelError(
                    "differ",
                    f"The compiled model differs from the original by {largest:.1e} of the largest "
                    f"value for {words} ({entry}); up to {tolerance:.0e} counts as rounding.",
                )
    return largest
