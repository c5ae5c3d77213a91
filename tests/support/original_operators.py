"""Compares the driver's operators with the original torch_scatter and torch_sparse, in one process.

Run as ``python -m tests.support.original_operators`` where torch_scatter, torch_sparse and
torchml_driver can be imported; prints how many calls it compared.
"""

from __future__ import annotations

from typing import Any

import torch
import torch_scatter
import torch_sparse

from tests.support.operator_cases import Case, cases, fresh
from tests.support.our_operators import namespaces

# Cases that the original cannot differentiate: it checks an index that it has broadcast by then,
# divides by a zero number of entries, or uses indices that it never set.
VALUES_ONLY = {
    "segment_sum_coo": ("index to be broadcast", "nothing for some rows"),
    "segment_mean_coo": ("index to be broadcast", "nothing for some rows"),
    "segment_min_coo": ("into values that are there",),
    "segment_max_coo": ("into values that are there",),
    "spmm_sum": ("no entries",),
    "spmm_mean": ("no entries",),
    "spmm_max": ("no entries",),
}
TOLERANCES = {
    torch.float64: {"rtol": 1e-13, "atol": 1e-13},
    torch.float16: {"rtol": 2e-3, "atol": 2e-3},
}

Results = tuple[list[torch.Tensor], list[torch.Tensor | None]]


def evaluate(library: Any, case: Case) -> Results:
    """Results of a call, and the gradients of its values with respect to its arguments."""
    arguments = fresh(case.arguments)
    variables = [
        part for part in arguments if isinstance(part, torch.Tensor) and part.is_floating_point()
    ]
    if case.label.startswith("into"):
        variables = variables[:1]  # the original gives no gradient for what was there before
    for variable in variables:
        variable.requires_grad_()
    results = getattr(library, case.operator)(*arguments)
    results = list(results) if isinstance(results, tuple) else [torch.as_tensor(results)]
    if case.label in VALUES_ONLY.get(case.operator, ()) or not results[0].requires_grad:
        return results, []
    weights = torch.linspace(0.3, 1.7, results[0].numel(), dtype=results[0].dtype)
    total = (results[0] * weights.view_as(results[0])).sum()
    return results, list(torch.autograd.grad(total, variables, allow_unused=True))


def compare(case: Case, ours: Any, theirs: Any) -> None:
    (our_results, our_gradients), (their_results, their_gradients) = (
        evaluate(ours, case),
        evaluate(theirs, case),
    )
    if case.operator in ("segment_min_coo", "segment_max_coo") and case.label.startswith("into"):
        # If no term won, the original leaves its index uninitialised.
        our_results, their_results = our_results[:1], their_results[:1]
    assert len(our_results) == len(their_results)
    assert len(our_gradients) == len(their_gradients)
    for our, their in zip(
        [*our_results, *our_gradients], [*their_results, *their_gradients], strict=True
    ):
        assert (our is None) == (their is None)
        if our is not None:
            torch.testing.assert_close(our, their, **TOLERANCES.get(our.dtype, {}))


def main() -> None:
    assert (torch_scatter.__version__, torch_sparse.__version__) == ("2.1.2", "0.6.18")
    found = namespaces()
    count, problems = 0, []
    for case in cases():
        ours = getattr(torch.ops, found[case.library])
        theirs = getattr(torch.ops, f"torch_{case.library}")
        try:
            compare(case, ours, theirs)
        except (AssertionError, RuntimeError) as problem:
            problems.append(f"{case}: {problem}")
        count += 1
    if problems:
        raise SystemExit("\n".join(problems))
    print(count)


if __name__ == "__main__":
    main()
