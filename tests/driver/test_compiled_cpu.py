"""The CPU instructions that a model is compiled for by default."""

from __future__ import annotations

import platform

import pytest
from torch._inductor import config

pytestmark = pytest.mark.usefixtures("driver_environment")

V2 = {"sse4_2", "ssse3", "popcnt"}
V3 = {*V2, "avx", "avx2", "fma", "bmi1", "bmi2", "abm"}
V4 = {*V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


@pytest.mark.skipif(not hasattr(config.cpp, "march"), reason="this torch knows no levels")
@pytest.mark.parametrize(
    ("flags", "level"),
    [(V4, "x86-64-v4"), (V4 - {"avx512bw"}, "x86-64-v3"), (V3, "x86-64-v3"), (V2, "native")],
)
def test_the_highest_level_of_this_machine_is_taken(
    flags: set[str], level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchml_driver.compile import cpu

    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(cpu, "present_instructions", lambda: flags)
    assert cpu.default_level() == level


def test_other_processors_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchml_driver.compile import cpu

    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert cpu.default_level() == "native"
