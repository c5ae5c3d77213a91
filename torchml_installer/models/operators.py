"""Operators beyond torch's own that TorchScript code calls, and those that the driver provides."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Defined in driver_src/src/torch_ops/, to replace the libraries of these names.
IN_DRIVER = {
    "torch_scatter": frozenset(
        [
            "scatter_sum",
            "scatter_mul",
            "scatter_mean",
            "scatter_min",
            "scatter_max",
            "segment_sum_coo",
            "segment_mean_coo",
            "segment_min_coo",
            "segment_max_coo",
            "gather_coo",
            "segment_sum_csr",
            "segment_mean_csr",
            "segment_min_csr",
            "segment_max_csr",
            "gather_csr",
            "cuda_version",
        ]
    ),
    "torch_sparse": frozenset(
        [
            "ind2ptr",
            "ptr2ind",
            "spmm_sum",
            "spmm_mean",
            "spmm_min",
            "spmm_max",
            "non_diag_mask",
            "cuda_version",
        ]
    ),
}
#: Namespaces of libtorch itself.
_TORCH = frozenset(
    [
        "aten",
        "prim",
        "prims",
        "quantized",
        "quantized_decomposed",
        "inductor",
        "profiler",
        "mkldnn",
        "mkldnn_prepacked",
        "onednn",
        "prepacked",
        "xnnpack",
        "sparse",
        "static_runtime",
        "rngprims",
        "cudnn",
        "cuda",
        "dist_c10d",
        "dist_rpc",
        "tensorrt",
    ]
)


@dataclass(frozen=True)
class Operator:
    """An operator of a library. in_driver: a model that calls it needs only the driver."""

    namespace: str
    name: str

    @property
    def in_driver(self) -> bool:
        return self.name in IN_DRIVER.get(self.namespace, ())

    def __str__(self) -> str:
        return f"{self.namespace}::{self.name}"


def called(codes: Iterable[str]) -> tuple[Operator, ...]:
    """The operators in TorchScript's text that are not torch's own, sorted."""
    found = {
        Operator(*match)
        for code in codes
        for match in re.findall(r"\bops\.(\w+)\.(\w+)\(", code)
        if match[0] not in _TORCH
    }
    return tuple(sorted(found, key=str))


def foreign_classes(codes: Iterable[str]) -> tuple[str, ...]:
    """The classes in TorchScript's text that C++ libraries other than torch define, by their names
    there (``foo.Bar``); sorted."""
    found = {
        f"{space}.{name}"
        for code in codes
        for space, name in re.findall(r"\b__torch__\.torch\.classes\.(\w+)\.(\w+)", code)
        if space not in _TORCH and not space.startswith("_")
    }
    return tuple(sorted(found))
