"""The fuzzers of driver_src/fuzz build, and find nothing in their corpus or close to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fuzz import FUZZERS, FUZZERS_OF_FILES, NoFuzzerError, build_fuzzers, run_fuzzer


def build(names: Sequence[str]) -> Path:
    try:
        return build_fuzzers(names)
    except NoFuzzerError as problem:
        pytest.skip(str(problem))


@pytest.mark.parametrize("name", FUZZERS_OF_FILES)
def test_a_fuzzer_of_files_finds_nothing_in_its_corpus(name: str) -> None:
    assert run_fuzzer(name, build([name]), seconds=0) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZERS)
def test_a_fuzzer_finds_nothing_in_a_few_seconds(name: str) -> None:
    folder = build([name])
    assert run_fuzzer(name, folder, seconds=0) == 0
    assert run_fuzzer(name, folder, seconds=5) == 0
