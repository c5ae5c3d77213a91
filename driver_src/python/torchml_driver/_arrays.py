"""Checks arrays from users: numpy silently converts values that may mean something else."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ._core import Error

_INT32 = np.iinfo(np.int32)


def floats(name: str, values: npt.ArrayLike, *, finite: bool = False) -> npt.NDArray[np.float64]:
    """A contiguous float64 array of whole or real numbers in any form.

    Raises:
        Error: for values of other kinds and masked values; with ``finite``, also for nan and inf.
    """
    array = as_array(name, values)
    if array.size and array.dtype.kind == "O":
        array = _converted(name, array)
    elif array.size and array.dtype.kind not in "fiu":
        raise Error(f"{name} has values of type {array.dtype}; expected real numbers.")
    with np.errstate(over="ignore"):  # values of longer types may overflow to inf
        array = np.ascontiguousarray(array, dtype=np.float64)
    if finite and not np.isfinite(array).all():
        raise Error(f"{name} has values that are not finite (nan or inf).")
    return array


def integers(name: str, values: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """An int32 array of whole numbers in any form.

    Raises:
        Error: for values of other kinds, masked values, and values beyond 32 bits.
    """
    array = as_array(name, values)
    if array.size and array.dtype.kind not in "iub":
        raise Error(f"{name} has values of type {array.dtype}; expected whole numbers.")
    if array.size and array.dtype.kind != "b" and not np.can_cast(array.dtype, np.int32):
        for extreme in (array.min(), array.max()):
            if not _INT32.min <= extreme <= _INT32.max:
                raise Error(f"{name} has the value {extreme}, which does not fit into 32 bits.")
    return array.astype(np.int32, copy=False)


def plain(value: object) -> str:
    """A value as Python prints it, without the name of a numpy type."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def as_array(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    """An array of the type that numpy finds.

    Raises:
        Error: for masked values, and for values that form no array.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise Error(f"{name} has masked values. Fill them in, or leave out those rows.")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, torch tensors, …
        raise Error(f"{name} cannot be read as an array: {str(error).rstrip('.')}.") from error


def _converted(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    for value in array.flat:
        if value is None or isinstance(value, (str, bytes, bool, np.bool_)):
            raise Error(f"{name} has the value {plain(value)}; expected real numbers.")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise Error(f"{name} has values that are not real numbers: {error}.") from error
