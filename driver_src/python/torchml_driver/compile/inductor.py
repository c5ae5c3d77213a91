"""Runs torch's compiler, with its settings, in one process for each program."""

from __future__ import annotations

import multiprocessing
import os
import re
import tempfile
import traceback
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from .._progress import report
from . import trace
from .failure import ModelError, one_line, sentence

#: Code for one thread: without OpenMP, and without atomic operations, each of which costs as much
#: as twenty others. For parts, of which each of the driver's threads runs one, and for processes
#: with one thread.
ONE_THREAD = {"cpp.dynamic_threads": False, "cpp.threads": 1}


@dataclass(frozen=True)
class Job:
    """A program to compile: a torch.export.ExportedProgram, with inductor's settings."""

    program: Any
    settings: dict[str, Any]


def general_settings() -> dict[str, Any]:
    """The settings for torch._inductor.config that this torch knows."""
    from torch._inductor import config

    wanted = {
        "aot_inductor.package": True,
        # Use the number of threads at run time, not that of the process that compiles.
        "cpp.dynamic_threads": True,
        # Concatenate into tables, not by nested conditions in every loop.
        "always_keep_tensor_constants": True,
        # Torch assumes that sizes which it learns on the way are two or more; they need not be.
        "scalar_asserts": False,
        "aot_inductor.embed_kernel_binary": True,
        "aot_inductor.enable_line_tables": False,
        "aot_inductor.check_lowerbound": False,
    }
    known = {}
    for name, value in wanted.items():
        place = config
        *path, last = name.split(".")
        for part in path:
            place = getattr(place, part, None)
        if hasattr(place, last):
            known[name] = value
    return known


def compiled(jobs: dict[str, Job]) -> dict[str, Any]:
    """Compiles each of the named programs, one on each core; returns _compile's results by name."""
    report(0, len(jobs), "machine code")
    context = multiprocessing.get_context("fork")  # children inherit the programs
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(min(cores, len(jobs)), context, _receive, (jobs,)) as pool:
        answers = {}
        for number, (name, answer) in enumerate(
            zip(jobs, pool.map(_compile_job, jobs), strict=True)
        ):
            answers[name] = answer
            report(number + 1, len(jobs), "machine code")
    for answer in answers.values():
        if isinstance(answer, dict):
            raise ModelError(**answer)
    return answers


_jobs: dict[str, Job] = {}


def _receive(jobs: dict[str, Job]) -> None:
    _jobs.update(jobs)


def _compile_job(name: str) -> Any:
    """The files of a compiled model; or the arguments for a ModelError."""
    job = _jobs[name]
    # Torch names a library after its outermost code, which may be the same for different settings,
    # so each set of settings gets its own folder.
    kind = zlib.crc32(repr(sorted(job.settings.items())).encode())
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{tempfile.gettempdir()}/inductor-{kind:08x}"
    try:
        return _compile(job)
    except ModelError as error:
        return {"kind": error.kind, "message": error.message, "remedy": error.remedy}


def _compile(job: Job) -> Any:
    import torch

    graph = trace.module_of(job.program)
    try:
        with torch._inductor.config.patch(job.settings):
            return torch._inductor.aot_compile(
                graph, *job.program.example_inputs, options=job.settings
            )
    except Exception as error:
        traceback.print_exc()
        lines = str(error).splitlines()
        # Match a compiler's line, not the name of one of torch's exceptions.
        said = (line for line in lines if re.search(r"(?<![A-Za-z])error: ", line))
        shown = next(said, one_line(error))
        raise ModelError(
            "not_compilable",
            f"torch's compiler failed on the model: {type(error).__name__}: "
            f"{sentence(shown.strip())}",
            "Pack the model as TorchScript instead; the log has torch's full message.",
        ) from error
