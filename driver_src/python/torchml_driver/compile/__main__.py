"""Answers one request; see the package's docstring, and torchml-install's models/compile.py."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import traceback
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from .. import _core, one_torch
from .._requests import serve
from .failure import ModelError, one_line, place_in_model

#: Largest difference, relative to the largest value, that counts as rounding.
_TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "float16": 5e-2, "bfloat16": 1e-1}


#: For inductor: code for one thread, without atomic operations, of which each costs a score of
#: others, and without OpenMP. For parts, of which the driver's threads run one each, and for
#: processes with one thread.
_ONE_THREAD = {"cpp.dynamic_threads": False, "cpp.threads": 1}


def answered(request: Mapping[str, Any]) -> dict[str, Any]:
    """Compiles, checks and writes request["output"]; what was made, for people and programs."""
    with tempfile.TemporaryDirectory(prefix="torchml-compile-", dir=_parent()) as folder:
        # Torch leaves gigabytes behind, precompiled headers mostly, some of it where no setting
        # of its own leads: it asks Python for the folder of temporary files.
        os.environ.update(TMPDIR=folder, TORCHINDUCTOR_CACHE_DIR=f"{folder}/inductor")
        tempfile.tempdir = None
        _reach_torch_without_blanks(Path(folder))
        return _answered_in(Path(folder), request)


def _answered_in(work: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    _require_torch()
    import torch

    torch.set_num_threads(1)  # processes forked off later cannot use this one's threads
    from . import (
        blocks,
        cpu,
        package,
        plan,
        source,
        systems,
        timing,
        trace,
    )

    device = request["device"]
    capability = _require_device(device)
    compiler = _require_compiler()
    level = request["cpu"] or cpu.default_level()
    instructions = cpu.needed_instructions  # after the settings are in place
    with trace.as_driver_runs_scripts():
        model = source.make_model(
            request["source"],
            request["arguments"],
            Path(request["weights"]) if request["weights"] else None,
            device,
        )
    scalar = source.scalar_type(model)
    called = systems.convention(request["pattern"], request["layers"], request["width"], scalar)
    source.check_forward(model, called.arguments)
    source.require_free_sizes(model, called)
    maker = systems.SystemMaker(
        request["pattern"],
        request["layers"],
        request["width"],
        request["cutoff"],
        request["codes"],
        scalar,
        device,
    )
    functions = trace.functions(model, called, request["returns_forces"])
    if not request["energy_only"]:
        del functions["energies"]
    expected = {name: _evaluate(function, maker, scalar) for name, function in functions.items()}

    from torch._inductor import config

    settings = {**_settings(config), **cpu.inductor_settings(level)}
    made = work / "model.pt2"

    def make(chosen: dict[str, Any]) -> tuple[package.Target, float, Callable[..., Any]]:
        """Writes the package; what it runs on, how far it is from the original, and the entry that
        makes forces or the gradient."""
        jobs: dict[str, tuple[Any, dict[str, Any]]] = {}
        plans: dict[str, plan.Plan] = {}
        with config.patch(chosen):
            target = package.Target(device, tuple(instructions(compiler, level)), capability)
        for name, function in functions.items():
            program = trace.export(function, called, maker.example())
            # On a GPU, blocks would only be too small; energies alone are rarely wanted.
            divided = (
                blocks.divided(program, called, name)
                if device == "cpu" and name != "energies"
                else None
            )
            if divided is None:
                jobs[name] = (program, chosen)
                if device == "cpu" and name != "energies":
                    jobs[name + package.ON_ONE_THREAD] = (program, {**chosen, **_ONE_THREAD})
                continue
            plans[name] = divided.plan
            for part, exported in blocks.exported(divided, maker.example()):
                serial = _ONE_THREAD if part.block else {}
                jobs[part.name] = (exported, {**chosen, **serial})
        models = _compiled(jobs)
        package.write(
            made,
            models,
            called,
            target,
            request["returns_forces"],
            request["atomic_numbers"],
            plans,
        )
        loaded = {name: package.load(work, name, files) for name, files in models.items()}
        difference = 0.0
        for name in sorted(functions):  # energies, energies_and_...
            variants = (name + package.ON_ONE_THREAD, name)
            runs = [loaded[variant] for variant in variants if variant in loaded]
            if name in plans:
                steps = plans[name]
                runs = [
                    lambda *inputs, block=block, steps=steps: steps.run(loaded, inputs, block)
                    for block in (None, 7)
                ]
            for run in runs:
                difference = max(difference, _compare(name, run, maker, expected[name], scalar))
        return target, difference, runs[0]

    try:
        target, difference, whole = make(settings)
    except ModelError as error:
        if error.kind != "differ":
            raise
        # Torch 2.13's scheduler can put a sum over edges after the loop that needs it, into
        # which it has fused others: each loop by itself is right, and a little slower.
        print(f"{error.message} Once more, with every loop by itself.", flush=True)
        target, difference, whole = make({**settings, "max_fusion_size": 1})
    returns_forces = request["returns_forces"]
    speed_up = timing.speed_up(model, whole, called, maker.usual(), returns_forces)
    output = Path(request["output"])
    shutil.copyfile(made, output)
    return {
        "torch": target.torch_version,
        "device": device,
        "cpu": level,
        "instructions": list(target.instructions),
        "capability": capability,
        "scalar_type": str(scalar).removeprefix("torch."),
        "arguments": list(called.arguments),
        "entries": list(functions),
        "systems": len(expected[next(iter(functions))]),
        "largest_difference": difference,
        "speed_up": speed_up,
        "bytes": output.stat().st_size,
    }


def _parent() -> str | None:
    """The folder of temporary files, or another if that has a blank: see below."""
    if not _has_blank(tempfile.gettempdir()):
        return None
    return next((name for name in ("/tmp", "/var/tmp") if os.access(name, os.W_OK)), None)


def _reach_torch_without_blanks(work: Path) -> None:
    """Torch hands the linker its own folder unquoted, which must have no blanks for that."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None or not _has_blank(torch.origin):
        return
    link = work / "site-packages"
    link.symlink_to(Path(torch.origin).parent.parent)
    sys.path.insert(0, str(link))


def _has_blank(path: str) -> bool:
    return re.search(r"\s", path) is not None


def _require_torch() -> None:
    """This torch, which has to be the engine's: two in one process end it."""
    if (other := one_torch.another(*_core.libtorch())) is not None:
        raise ModelError("other_torch", f"The model cannot be compiled: {other}", one_torch.ADVICE)
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "no_torch",
            f"There is no torch for {sys.executable}: {one_line(error)}",
            "Compile with the Python that has the torch which the driver is linked to: "
            "`python -m pip install torch`.",
        ) from error
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < (2, 7):
        raise ModelError(
            "torch_too_old",
            f"torch {torch.__version__} cannot compile models for the driver; 2.7 or newer can.",
            "Install a newer one, or pack the model as TorchScript.",
        )


def _require_device(device: str) -> str:
    """The GPU's compute capability; "" for the CPU."""
    import torch

    if device == "cpu":
        return ""
    if not torch.cuda.is_available():
        built = torch.version.cuda
        raise ModelError(
            "no_device",
            "A model is compiled on a machine with the GPU it is for, and torch finds none here"
            + (
                f" (it was built for CUDA {built})." if built else ": this is a CPU build of torch."
            ),
            "Compile on a machine with a GPU, or with --device cpu.",
        )
    major, minor = torch.cuda.get_device_capability()
    return f"{major}.{minor}"


def _require_compiler() -> str:
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler.split()[0]) is None:
        raise ModelError(
            "no_compiler", f"Compiling a model needs a C++ compiler; there is no {compiler}."
        )
    os.environ["CXX"] = compiler
    return compiler


def _settings(config: Any) -> dict[str, Any]:
    """Of inductor, as far as this torch knows them."""
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


def _compiled(jobs: dict[str, tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    """What _compile makes of each of the named programs and settings, one on each core."""
    context = multiprocessing.get_context("fork")  # the programs come along as they are
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(min(cores, len(jobs)), context, _receive, (jobs,)) as pool:
        answers = dict(zip(jobs, pool.map(_compile_job, jobs), strict=True))
    for answer in answers.values():
        if isinstance(answer, dict):
            raise ModelError(**answer)
    return answers


_jobs: dict[str, tuple[Any, dict[str, Any]]] = {}


def _receive(jobs: dict[str, tuple[Any, dict[str, Any]]]) -> None:
    _jobs.update(jobs)


def _compile_job(name: str) -> Any:
    """The files of a compiled model; or what ModelError wants to know."""
    program, settings = _jobs[name]
    # Torch names a library after its outermost code, which may be the same with other settings:
    # each set of them has a folder of its own.
    kind = zlib.crc32(repr(sorted(settings.items())).encode())
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{tempfile.gettempdir()}/inductor-{kind:08x}"
    try:
        return _compile(program, settings)
    except ModelError as error:
        return {"kind": error.kind, "message": error.message, "remedy": error.remedy}


def _compile(program: Any, settings: dict[str, Any]) -> Any:
    import torch

    from . import trace

    graph = trace.module_of(program)
    try:
        with torch._inductor.config.patch(settings):
            return torch._inductor.aot_compile(graph, *program.example_inputs, options=settings)
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


def _require_repeatable(words: str, first: Any, second: Any, scalar: Any) -> None:
    """Raises ModelError if a model's results for the same system differ."""
    difference = max(_difference(one, other) for one, other in zip(first, second, strict=True))
    if not difference <= _tolerance(scalar):
        raise ModelError(
            "forward",
            "The model gives other results each time it is called: they differ by "
            f"{difference:.1e} of the largest value for {words}.",
            "Leave out what is random, dropout(..., training=True) for example, and what the model "
            "remembers from call to call.",
        )


def _tolerance(scalar: Any) -> float:
    return _TOLERANCES[str(scalar).removeprefix("torch.")]


def _difference(one: Any, other: Any) -> float:
    """The largest, relative to the largest value of the first."""
    if one.shape != other.shape:
        return float("inf")
    if one.numel() == 0:
        return 0.0
    scale = max(float(one.double().abs().max()), 1e-3)
    return float((one.double() - other.double()).abs().max()) / scale


def _evaluate(
    function: Callable[..., Any], maker: Any, scalar: Any
) -> list[tuple[str, tuple[Any, ...]]]:
    """Results of the original, by system; those it cannot do itself prove nothing and are None."""
    results: list[tuple[str, tuple[Any, ...]]] = []
    first: Exception | None = None
    for words, inputs in maker.systems():
        try:
            found = tuple(function(*inputs))
        except ModelError:
            raise
        except Exception as error:
            first = first or error
            continue
        if all(bool(tensor.isfinite().all()) for tensor in found):
            if not results:
                _require_repeatable(words, found, tuple(function(*inputs)), scalar)
            results.append((words, found))
    if len(results) < 3:
        reason = (
            f"{type(first).__name__}: {one_line(first)}\n    {place_in_model(first)}"
            if first is not None
            else "Its energies or forces are not finite on ordinary systems."
        )
        raise ModelError(
            "forward",
            f"The model itself does not work when it is called as the driver does. {reason}",
            "Are --pattern, --layers, --elements and --cutoff right?",
        )
    return results


def _compare(
    entry: str, loaded: Any, maker: Any, expected: list[tuple[str, tuple[Any, ...]]], scalar: Any
) -> float:
    """The largest relative difference between the compiled and the original model."""
    tolerance = _tolerance(scalar)
    inputs = dict(maker.systems())
    largest = 0.0
    for words, results in expected:
        try:
            found = loaded(*inputs[words])
        except Exception as error:
            raise ModelError(
                "differ", f"The compiled model fails for {words} ({entry}): {one_line(error)}"
            ) from error
        for one, other in zip(results, found, strict=True):
            if one.shape != other.shape:
                raise ModelError(
                    "differ",
                    f"The compiled model returns the shape {list(other.shape)} for {words}, the "
                    f"original {list(one.shape)} ({entry}).",
                )
            largest = max(largest, _difference(one, other))
            if not largest <= tolerance:
                raise ModelError(
                    "differ",
                    f"The compiled model differs from the original by {largest:.1e} of the largest "
                    f"value for {words} ({entry}); {tolerance:.0e} would be rounding.",
                )
    return largest


if __name__ == "__main__":
    sys.exit(serve(answered))
