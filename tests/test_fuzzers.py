"""The fuzzers of driver_src/fuzz build, and find nothing in their corpus or close to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import FUZZERS, NoFuzzerError, build_fuzzers, run_fuzzer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def build() -> Path:
    try:
        return build_fuzzers()
    except NoFuzzerError as problem:
        pytest.skip(str(problem))


@pytest.mark.parametrize("name", FUZZERS)
def test_a_fuzzer_finds_nothing_in_a_few_seconds(name: str, build: Path) -> None:
    assert run_fuzzer(name, build, seconds=0) == 0
    assert run_fuzzer(name, build, seconds=5) == 0
