"""Parameter files as the original driver reads them: it counts lines, whereas ours reads values.

Written from its grammar; shares no code with either of our readers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class OriginalValues:
    """The values that the original driver reads. n_layers: 0 without a graph; descriptor: "" for a
    model without descriptors, for which it reads no further."""

    elements: list[str]
    preprocessing: str
    cutoff: float
    n_layers: int
    model_file: str
    returns_forces: bool
    n_inputs: int
    descriptor: str


def read_as_original(text: str) -> OriginalValues:
    """Raises ValueError if the original driver ends the simulator or refuses the model."""
    lines = text.split("\n")

    def line() -> str:
        if not lines:
            raise ValueError("the file has ended")
        return lines.pop(0)

    def value() -> str:
        while (found := line()).startswith("#"):
            pass
        return found

    def value_after_a_line() -> str:
        line()  # of any content
        return value()

    count = int(value())
    elements = line().split(" ")  # exactly one space between two
    if len(elements) < count:
        raise ValueError("fewer elements than announced")
    preprocessing = value_after_a_line().lower()
    cutoff = float(value_after_a_line())
    n_layers = int(line()) if preprocessing == "graph" else 0
    model_file = value_after_a_line()
    returns_forces = value_after_a_line().lower() == "true"
    n_inputs = int(value_after_a_line())
    descriptor = value_after_a_line().lower() if preprocessing == "descriptor" else ""
    return OriginalValues(
        elements[:count],
        preprocessing,
        cutoff,
        n_layers,
        model_file,
        returns_forces,
        n_inputs,
        descriptor,
    )
