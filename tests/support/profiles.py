"""The tables that KIM_MODEL_PROFILE prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

_HEAD = re.compile(
    r"^TorchML profile(.*): (\d+) steps; last step: (\d+) particles, (\d+) contributing, "
    r"(\d+) threads?, (\S+) MB of tensors; first step: (\S+) ms\n((?:  .+\n)*)",
    re.MULTILINE,
)
_GRAPH = re.compile(r"^  graph +(.+)\n", re.MULTILINE)
_STAGE = re.compile(r"^  (\S+) +(\S+) ms per step +(\S+) %$", re.MULTILINE)


@dataclass(frozen=True)
class Profile:
    """The profile of one process. rank: as in the heading; stages: ms per step after the first;
    graph: the last one's mode, nodes, edges and reason, "" without any."""

    rank: str
    n_steps: int
    n_particles: int
    n_contributing: int
    n_threads: int
    megabytes: float
    first_step: float
    stages: dict[str, float]
    graph: str = ""

    @property
    def whole(self) -> float:
        """The time of all steps, ms."""
        return self.first_step + (self.n_steps - 1) * sum(self.stages.values())


def read_profiles(printed: str) -> list[Profile]:
    """The profiles of all ranks, in order. Fails if numbers do not add up."""
    found = []
    for rank, steps, particles, contributing, threads, megabytes, first, table in _HEAD.findall(
        printed
    ):
        graph = _GRAPH.match(table)
        table = table[graph.end() :] if graph else table
        rows = _STAGE.findall(table)
        stages = {name: float(time) for name, time, _ in rows}
        assert len(rows) == len(stages) == table.count("\n"), table
        for name, _, percent in rows:
            share = 100 * stages[name] / sum(stages.values())
            assert float(percent) == pytest.approx(share, abs=1.0), table
        if rows:  # there are none after one step alone
            whole = sum(float(percent) for *_, percent in rows)
            assert whole == pytest.approx(100, abs=0.3), table
        numbers = (int(steps), int(particles), int(contributing), int(threads))
        found.append(
            Profile(
                rank, *numbers, float(megabytes), float(first), stages, graph[1] if graph else ""
            )
        )
    return sorted(found, key=lambda profile: profile.rank)
