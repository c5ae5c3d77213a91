"""Torch's compiler: its settings, and one process for each program that it compiles."""

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

from . import trace
from .failure import ModelError, one_line

#: Code for one thread, without atomic operations, of which each costs a score of others, and
#: without OpenMP. For parts, of which the driver's threads run one each, and for processes with one
#: thread.
ONE_THREAD = {"cpp.dynamic_threads": False, "cpp.threads": 1}


@dataclass(frozen=True)
class Job:
    """What is compiled: a torch.export.ExportedProgram, with settings of inductor."""

    program: Any
    settings: dict[str, Any]


def general_settings() -> dict[str, Any]:
    """For torch._inductor.config, as far as this torch knows them."""
    from torch._inductor import config

    wanted = {
        "aot_inductor.package": True,
        # Obey the threads that the process is given, not those of the process that compiles.
        "cpp.dynamic_threads": True,
        # As tables and not as nested conditions in every loop.
        "always_keep_tensor_constants": True,
        # What torch assumes of sizes that it learns on the way (two or more) need not be so.
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
    """What _compile makes of each of the named programs and settings, one on each core."""
    context = multiprocessing.get_context("fork")  # the programs come along as they are
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(min(cores, len(jobs)), context, _receive, (jobs,)) as pool:
        answers = dict(zip(jobs, pool.map(_compile_job, jobs), strict=True))
    for answer in answers.values():
        if isinstance(answer, dict):
            raise ModelError(**answer)
    return answers


_jobs: dict[str, Job] = {}


def _receive(jobs: dict[str, Job]) -> None:
    _jobs.update(jobs)


def _compile_job(name: str) -> Any:
    """The files of a compiled model; or what ModelError wants to know."""
    job = _jobs[name]
    # Torch names a library after its outermost code, which may be the same with other settings:
    # each set of them has a folder of its own.
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
        # A compiler's line, and not the name of one of torch's errors.
        said = (line for line in lines if re.search(r"(?<![A-Za-z])error: ", line))
        shown = next(said, one_line(error))
        raise ModelError(
            "not_compilable",
            f"torch's compiler failed on the model: {type(error).__name__}: {shown.strip()}",
            "Pack the model as TorchScript instead; the log has torch's whole message.",
        ) from error
