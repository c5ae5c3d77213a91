"""Makes the model: finds the class, calls it with its arguments, loads its weights."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pickle
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from . import scripted
from .failure import ModelError, one_line, place_in_model, sentence
from .systems import Convention

_NAME_IT = (
    "Name the model as FILE.py:Name or package.module:Name, for example my_model.py:MyModel, a "
    "FILE.pt2 of torch.export.save, or a TorchScript FILE.pt."
)


def make_model(
    source: str, arguments: Mapping[str, Any], weights: Path | None, device: str
) -> torch.nn.Module:
    """The module that ``FILE.py:Name`` or ``package.module:Name`` names, that torch.export.save
    wrote into ``FILE.pt2``, or TorchScript's in ``FILE.pt``, ready to evaluate.

    Name: a class or a function, which is called with ``arguments``, or an existing module. weights:
    a state dict, as torch.save writes it. Its type becomes torch's default in this process, so that
    tensors without a type get the one that they had in training. Without weights,
    ``torchml_random_weights`` of a class's module names those that its constructor draws.
    """
    state = {} if weights is None else _read_weights(weights)
    tensors = state.values() if isinstance(state, Mapping) else ()
    for value in tensors:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            _make_default(value.dtype)
            break
    if source.endswith(".pt2"):
        if arguments:
            raise ModelError("source", f"{source} takes no --arguments.", "Leave them out.")
        return _ready(_exported(Path(source), device), weights, state, device)
    if source.endswith(".pt"):
        if arguments or weights is not None:
            message = f"{source} takes neither --arguments nor --weights: it has its own."
            raise ModelError("source", message, "Leave them out.")
        if not Path(source).is_file():
            raise ModelError("source", f"There is no file {source}.", _NAME_IT)
        return _ready(scripted.load(Path(source)), None, state, device)
    where, _, name = source.rpartition(":")
    made = getattr(_module(where, source), name, None)
    if made is None:
        raise ModelError("source", f"There is no {name} in {where}.", _names(where) or _NAME_IT)
    drawn: list[str] = []
    if not isinstance(made, torch.nn.Module):
        if not callable(made):
            message = f"{name} in {where} is neither a class nor a function."
            raise ModelError("source", message, _NAME_IT)
        try:
            call, made = made, made(**arguments)
            if weights is None and inspect.isclass(call) and isinstance(made, torch.nn.Module):
                drawn = _differing(made, call(**arguments))
        except Exception as error:
            raise ModelError(
                "source",
                f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())}) "
                f"failed: {one_line(error)} ({place_in_model(error) or where})",
                "Give the constructor's arguments as JSON: --arguments '{\"features\": 64}'.",
            ) from error
    elif arguments:
        message = f"{name} in {where} is a module and takes no --arguments."
        raise ModelError("source", message, "Leave --arguments out, or name the module's class.")
    if not isinstance(made, torch.nn.Module):
        message = f"{source} made a {type(made).__name__}, not a torch.nn.Module."
        raise ModelError("source", message, _NAME_IT)
    if isinstance(made, torch.jit.ScriptModule):
        made = scripted.Scripted(made)
    model: Any = _ready(made.eval(), weights, state, device)
    model.torchml_random_weights = drawn
    return model


def _differing(one: torch.nn.Module, other: torch.nn.Module) -> list[str]:
    """The parameters in which two modules of a class differ."""
    theirs = dict(other.named_parameters())
    return [
        name
        for name, value in one.named_parameters()
        if name in theirs and not torch.equal(value, theirs[name])
    ]


def _ready(
    model: torch.nn.Module, weights: Path | None, state: Any, device: str
) -> torch.nn.Module:
    if weights is not None:
        _load_weights(model, weights, state)
    _make_default(scalar_type(model))
    model.to(device)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def _exported(path: Path, device: str) -> torch.nn.Module:
    """The module in a file that torch.export.save wrote. Its mode, training or evaluation, is the
    one in which it was exported."""
    if not path.is_file():
        raise ModelError("source", f"There is no file {path}.", _NAME_IT)
    writer = _exported_by(path)
    if writer is None:
        raise ModelError(
            "source",
            f"{path} was not written by torch.export.save.",
            f"`torchml-install model inspect {path}` shows what it is. {_NAME_IT}",
        )
    try:
        program = torch.export.load(str(path))
        if device != "cpu":
            from torch.export.passes import move_to_device_pass  # since torch 2.5

            program = move_to_device_pass(program, device)
        checks = "check_guards" in inspect.signature(program.module).parameters
        module = program.module(**({"check_guards": False} if checks else {}))
    except Exception as error:
        raise ModelError(
            "source",
            f"{path}, which torch {writer or '(unknown)'} wrote, cannot be read by torch "
            f"{torch.__version__}: {type(error).__name__}: {sentence(one_line(error))}",
            "Export the model again with this torch, or compile it with that one.",
        ) from error
    leave_out_assertions(module)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    user_inputs = [values.get(name) for name in program.graph_signature.user_inputs]
    module.torchml_exported_sizes = [  # for require_free_sizes
        None if value is None else list(value.shape) for value in user_inputs
    ]
    return module


def _exported_by(path: Path) -> str | None:
    """The version of torch whose torch.export.save wrote a file; "" if unknown; None for any other
    kind of file, such as a compiled package."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            top = names[0].partition("/")[0] if names else ""
            # Up to torch 2.7, it has another name, and no folder around it.
            old = "serialized_exported_program.json"
            for name in names:
                new = name.startswith(f"{top}/models/") and name.endswith(".json")
                if new or name in (old, f"{top}/{old}"):
                    return str(json.loads(archive.read(name)).get("torch_version", ""))
    except (OSError, zipfile.BadZipFile):
        return None
    except (ValueError, AttributeError):
        return ""
    return None


def leave_out_assertions(module: Any) -> None:
    """Removes assertions about sizes. torch.export assumes that numbers which a model learns on the
    way, such as the number of pairs, are two or more, and makes the program fail for smaller
    systems. The tensor code itself works for these."""
    asserts = {
        getattr(torch.ops.aten, name).default
        for name in ("_assert_scalar", "sym_constrain_range", "sym_constrain_range_for_size")
        if hasattr(torch.ops.aten, name)
    }
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in asserts:
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()


def require_free_sizes(model: torch.nn.Module, called: Convention) -> None:
    """Raises ModelError if a model was exported for a fixed size where inputs have any size."""
    exported = getattr(model, "torchml_exported_sizes", None)
    for found, sizes, name in zip(
        exported or (), called.sizes, called.arguments, strict=exported is not None
    ):
        for axis, size in enumerate(sizes):
            if found is None or axis >= len(found) or not isinstance(size, str):
                continue
            if isinstance(found[axis], int):
                shapes = ", ".join(_free_axes(one) for one in called.sizes)
                raise ModelError(
                    "not_compilable",
                    f"The model was exported for one size only: {name}.size({axis}) is "
                    f"{found[axis]}.",
                    "Export it for all sizes, with D = torch.export.Dim.DYNAMIC: "
                    f"torch.export.export(model, inputs, dynamic_shapes=({shapes})).",
                )


def _free_axes(sizes: Sequence[str | int]) -> str:
    """The sizes of an argument in the form of torch.export's dynamic_shapes."""
    return "{" + ", ".join(f"{k}: D" for k, size in enumerate(sizes) if isinstance(size, str)) + "}"


def _module(where: str, source: str) -> Any:
    if not where:
        raise ModelError("source", f"'{source}' does not name a file and a class.", _NAME_IT)
    path = Path(where).absolute()
    if where.endswith(".py") and not path.is_file():
        raise ModelError("source", f"There is no file {where}.", _NAME_IT)
    try:
        if not where.endswith(".py"):
            sys.path.insert(0, str(Path.cwd()))
            return importlib.import_module(where)
        sys.path.insert(0, str(path.parent))  # for modules that it imports from its own folder
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    except Exception as error:
        message = f"{where} cannot be imported: {type(error).__name__}: {sentence(one_line(error))}"
        raise ModelError("source", message, _NAME_IT) from error
    return module


def _names(where: str) -> str | None:
    """The names that the file offers instead."""
    module = sys.modules.get(Path(where).stem if where.endswith(".py") else where)
    names = [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, torch.nn.Module)
        and value.__module__ == getattr(module, "__name__", "")
    ]
    return f"It has {', '.join(names)}." if names else None


def _read_weights(weights: Path) -> Any:
    try:
        return torch.load(weights, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        message = f"There is no file {weights}."
        raise ModelError("source", message, "Check the path that --weights names.") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(
            "weights",
            f"{weights} cannot be read as weights: {sentence(one_line(error))}",
            "Save them with torch.save(model.state_dict(), 'weights.pt').",
        ) from error


def _load_weights(model: torch.nn.Module, weights: Path, state: Any) -> None:
    try:
        floating = [value for value in state.values() if value.is_floating_point()]
        if floating:  # weights determine the precision, as in TorchScript
            model.to(floating[0].dtype)
        model.load_state_dict(state)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise ModelError(
            "weights",
            f"The weights in {weights} do not fit the model: "
            f"{sentence(' '.join(str(error).split()))}",
        ) from error


def _make_default(dtype: torch.dtype) -> None:
    """Sets torch's default type. Models with 16-bit weights are written under float32."""
    torch.set_default_dtype(torch.float64 if dtype == torch.float64 else torch.float32)


def scalar_type(model: torch.nn.Module) -> torch.dtype:
    """The floating-point type of a model's weights; float64 for a model without weights."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float64


def check_forward(model: torch.nn.Module, arguments: tuple[str, ...]) -> None:
    """Raises ModelError unless forward accepts as many tensors as there are arguments."""
    signature = inspect.signature(model.forward)
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ModelError(
            "forward",
            f"The model has forward{signature}, but is called as forward({', '.join(arguments)}).",
            "Change the model's forward, or choose another --pattern or --layers.",
        ) from error
