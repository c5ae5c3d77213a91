"""CHGNet's own calculator; runs in its environment. kind: a name of CHGNet's."""

from chgnet.model import CHGNet
from chgnet.model.dynamics import CHGNetCalculator


def calculator(kind, path):  # type: ignore[no-untyped-def]
    return CHGNetCalculator(CHGNet.load(model_name=kind, use_device="cpu"), use_device="cpu")
