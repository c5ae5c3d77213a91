"""SevenNet's own calculator; runs in its environment. kind: NAME, or NAME:MODAL."""

from sevenn.calculator import SevenNetCalculator


def calculator(kind, path):  # type: ignore[no-untyped-def]
    name, _, modal = kind.partition(":")
    return SevenNetCalculator(name, device="cpu", modal=modal or None)
