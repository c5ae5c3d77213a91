"""The fuzzers of driver_src/fuzz build, and find nothing in or near their corpus."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.fuzz import FUZZERS, FUZZERS_OF_FILES, NoFuzzerError, built_fuzzers, run_fuzzer


@contextlib.contextmanager
def built(names: Sequence[str]) -> Iterator[Path]:
    try:
        with built_fuzzers(names) as build:
            yield build
    except NoFuzzerError as problem:
        pytest.skip(str(problem))


@pytest.mark.parametrize("name", FUZZERS_OF_FILES)
def test_a_fuzzer_of_files_finds_nothing_in_its_corpus(name: str) -> None:
    with built([name]) as folder:
        assert run_fuzzer(name, folder, seconds=0) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZERS)
def test_a_fuzzer_finds_nothing_in_a_few_seconds(name: str) -> None:
    with built([name]) as folder:
        assert run_fuzzer(name, folder, seconds=0) == 0
        assert run_fuzzer(name, folder, seconds=5) == 0
