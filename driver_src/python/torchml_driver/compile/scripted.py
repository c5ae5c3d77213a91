"""Runs TorchScript operation by operation from Python, so that torch can trace it.

TorchScript's own interpreter asks tensors for sizes as plain numbers, which fixes them in a trace.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from .. import operators  # noqa: F401 (defines torch.ops.torchml.exchange)
from . import failure
from .failure import ModelError, one_line, sentence
from .scatter import declared, is_known, replaced

#: The numbers that TorchScript has for types.
_TYPES = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    9: torch.complex64,
    10: torch.complex128,
    11: torch.bool,
    15: torch.bfloat16,
}
_NUMBERS = {dtype: number for number, dtype in _TYPES.items()}
_FORMATS = (torch.contiguous_format, torch.preserve_format, torch.channels_last)
#: What Python has for values of TorchScript's types.
_KINDS: dict[str, Any] = {
    "TensorType": torch.Tensor,
    "NoneType": type(None),
    "ListType": list,
    "DictType": dict,
    "TupleType": tuple,
    "StringType": str,
    "BoolType": (bool, torch.SymBool),
    "IntType": (int, torch.SymInt),
    "FloatType": (float, torch.SymFloat),
}
_CALLS = ("prim::CallMethod", "prim::CallFunction")
#: Of calls within calls.
_DEEPEST = 100
#: A place in the description of an operation's source: file, line, code up to the mark below it.
_PLACE = re.compile(r'File "([^"]+)", line (\d+)\n(.*?)\n[ ~]*<--- HERE', re.DOTALL)


def _append(items: list[Any], item: Any) -> list[Any]:
    items.append(item)
    return items


def _delete(items: Any, key: Any) -> None:
    del items[key]


def _least(one: Any, *others: Any) -> Any:
    """Of several numbers, or of those in a list."""
    return functools.reduce(torch.sym_min, others, one) if others else min(one)


def _largest(one: Any, *others: Any) -> Any:
    return functools.reduce(torch.sym_max, others, one) if others else max(one)


def _slice(items: Any, start: Any = None, end: Any = None, step: Any = 1) -> Any:
    return items[start:end:step]


#: Operations on numbers, texts and lists, which torch.ops does with plain numbers alone.
_PLAIN: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "remainder": operator.mod,
    "pow": operator.pow,
    "neg": operator.neg,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "__and__": lambda a, b: a and b,
    "__or__": lambda a, b: a or b,
    "__not__": operator.not_,
    "__contains__": operator.contains,
    "__getitem__": operator.getitem,
    "_set_item": operator.setitem,
    "append": _append,
    "Delete": _delete,
    "slice": _slice,
    "list": list,
    "str": str,
    "format": lambda text, *values: text.format(*values),
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "floor": torch.sym_int,
    "Int": torch.sym_int,
    "Float": torch.sym_float,
    "Bool": bool,
    "min": _least,
    "max": _largest,
    "abs": abs,
    "keys": lambda items: list(items),
    "values": lambda items: list(items.values()),
    "device": torch.device,
}
#: Operations on tensors that exist in TorchScript alone, or have sizes among their results.
_OF_TENSORS: dict[str, Callable[..., Any]] = {
    "aten::size": lambda x, axis=None: list(x.shape) if axis is None else x.size(axis),
    "aten::numel": lambda x: x.numel(),
    "aten::dim": lambda x: x.dim(),
    "aten::len": len,
    "aten::__is__": lambda a, b: a is b,
    "aten::__isnot__": lambda a, b: a is not b,
    "aten::Int": lambda x: x.item() if isinstance(x, torch.Tensor) else torch.sym_int(x),
    "aten::Float": lambda x: x.item() if isinstance(x, torch.Tensor) else torch.sym_float(x),
    "aten::item": lambda x: x.item(),
    "aten::IntImplicit": lambda x: x.item(),
    "aten::FloatImplicit": lambda x: x.item(),
    "aten::ScalarImplicit": lambda x: x.item(),
    "aten::requires_grad_": lambda x, value=True: x.requires_grad_(value),
    "aten::warn": lambda *_: None,
    "prim::shape": lambda x: list(x.shape),
    "prim::dtype": lambda x: _NUMBERS[x.dtype],
    "prim::device": lambda x: x.device,
    "prim::type": lambda device: device.type,
    "prim::layout": lambda x: 0,
    "prim::is_cuda": lambda x: x.is_cuda,
    "prim::requires_grad": lambda x: x.requires_grad,
    "prim::data": lambda x: x.detach(),
    "prim::NumToTensor": torch.scalar_tensor,
    "prim::unchecked_cast": lambda x: x,
    "prim::ListConstruct": lambda *items: list(items),
    "prim::TupleConstruct": lambda *items: tuple(items),
    "prim::TupleIndex": operator.getitem,
    "prim::min": _least,
    "prim::max": _largest,
    "prim::abs": abs,
    "prim::Print": lambda *_: None,
    "prim::Uninitialized": lambda: None,
}


class _Test:
    """A tensor's truth, which is not asked for unless a branch depends on it."""

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value

    def __bool__(self) -> bool:
        return bool(self.value)


class Scripted(torch.nn.Module):  # type: ignore[misc]
    """A model in TorchScript, as a module whose operations are visible to torch's tracer.

    place: "FILE, line N: `code`" in the model's source, of the operation that runs; else "".
    """

    place = ""

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.script = script
        self._graph = script.graph.copy()
        for _ in range(_DEEPEST):  # while torch does not optimise, each pass replaces one level
            if not any(node.kind() in _CALLS for node in self._nodes()):
                break
            torch._C._jit_pass_inline(self._graph)
        self._note_type_of_weights()
        arguments = script.forward.schema.arguments[1:]

        def forward(*inputs: Any) -> Any:
            return self._run([*inputs, *(one.default_value for one in arguments[len(inputs) :])])

        kind, none = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        parameters = [
            inspect.Parameter(
                one.name, kind, default=one.default_value if one.has_default_value() else none
            )
            for one in arguments
        ]
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        self.forward = forward

    def original(self) -> torch.nn.Module:
        """The model as TorchScript runs it; itself if that lacks operators of the model's."""
        lacking = any(is_known(node.kind()) for node in self._nodes())
        return self if lacking else self.script

    def _nodes(self) -> Iterator[Any]:
        blocks = [self._graph]
        while blocks:
            for node in blocks.pop().nodes():
                blocks += node.blocks()
                yield node

    def _note_type_of_weights(self) -> None:
        """Frozen models have weights in their code, not among their parameters."""
        if next(self.parameters(), None) is not None:
            return
        constants = (one.output().toIValue() for one in self._nodes() if _is_tensor_constant(one))
        floats = [value for value in constants if value.is_floating_point()]
        if floats:
            largest = max(floats, key=torch.numel)
            self.register_buffer("weights", largest[:0] if largest.dim() else largest)

    def _run(self, inputs: Sequence[Any]) -> Any:
        names = [value.debugName() for value in self._graph.inputs()]
        values = dict(zip(names, (self.script, *inputs), strict=True))
        try:
            (result,) = self._block(self._graph, values)
        except Exception as error:
            failure.note_place(error, Scripted.place)
            raise
        finally:
            Scripted.place = ""
        return result

    def _block(self, block: Any, values: dict[str, Any]) -> list[Any]:
        for node in block.nodes():
            self._node(node, values)
        outputs = block.outputs() if hasattr(block, "outputs") else block.return_node().inputs()
        return [values[one.debugName()] for one in outputs]

    def _node(self, node: Any, values: dict[str, Any]) -> None:
        kind = node.kind()
        inputs = [values[one.debugName()] for one in node.inputs()]
        outputs = list(node.outputs())
        if kind == "prim::If":
            results = self._if(node, inputs[0], values)
        elif kind == "prim::Loop":
            results = self._loop(node, inputs, values)
        else:
            Scripted.place = _place(node)
            found = _result(node, kind, inputs)
            unpacked = kind in ("prim::ListUnpack", "prim::TupleUnpack") or len(outputs) > 1
            results = list(found) if unpacked else [found]
        for one, value in zip(outputs, results, strict=bool(outputs)):
            values[one.debugName()] = value

    def _if(self, node: Any, condition: Any, values: dict[str, Any]) -> list[Any]:
        then, otherwise = node.blocks()
        if isinstance(condition, _Test):  # an assertion about values takes the other branch
            if _raises(then):
                return self._block(otherwise, values)
            if _raises(otherwise):
                return self._block(then, values)
        return self._block(then if condition else otherwise, values)

    def _loop(self, node: Any, inputs: list[Any], values: dict[str, Any]) -> list[Any]:
        (body,) = node.blocks()
        most, going, *carried = inputs
        names = [one.debugName() for one in body.inputs()]
        turn = 0
        while going and turn < most:
            values.update(zip(names, (turn, *carried), strict=True))
            going, *carried = self._block(body, values)
            turn += 1
        return carried


def _is_tensor_constant(node: Any) -> bool:
    return bool(node.kind() == "prim::Constant" and node.output().type().kind() == "TensorType")


def _place(node: Any) -> str:
    """Where an operation is in the model's source, or else in the file's own code."""
    for file, line, code in _PLACE.findall(node.sourceRange()):
        if not file.startswith("<"):  # torch's own
            return f"{file}, line {line}: `{code.splitlines()[-1].strip()}`"
    return ""


def _raises(block: Any) -> bool:
    return any(node.kind() == "prim::RaiseException" for node in block.nodes())


def _result(node: Any, kind: str, inputs: list[Any]) -> Any:
    """The value of an operation, or a list of its values."""
    if kind == "prim::Constant":
        output = node.output()
        return None if output.type().kind() == "NoneType" else output.toIValue()
    if kind == "prim::GetAttr":
        return getattr(inputs[0], node.s("name"))
    if kind == "prim::SetAttr":
        if not isinstance(inputs[0], SimpleNamespace):
            raise _unknown("sets an attribute of the model")
        setattr(inputs[0], node.s("name"), inputs[1])
        return []
    if kind == "prim::isinstance":
        kinds = [_KINDS.get(one.kind(), ()) for one in node.tys("types")]
        return any(isinstance(inputs[0], one) for one in kinds)
    if kind == "prim::CreateObject":
        return SimpleNamespace()
    if kind in ("prim::ListUnpack", "prim::TupleUnpack"):
        return inputs[0]
    if kind == "prim::DictConstruct":
        return dict(zip(inputs[::2], inputs[1::2], strict=True))
    if kind == "prim::RaiseException":
        raise ModelError("forward", f"The model raises an error: {inputs[0]}")
    if kind == "aten::Bool" and isinstance(inputs[0], torch.Tensor):
        return _Test(inputs[0])
    name = kind.partition("::")[2]
    if kind in ("aten::tensor", "aten::as_tensor"):
        data, dtype, device = inputs[:3]
        made = torch.as_tensor(data, dtype=None if dtype is None else _TYPES[dtype], device=device)
        return made if kind == "aten::as_tensor" else made.clone()
    if kind == "aten::grad":
        return list(torch.autograd.grad(*inputs[:5], allow_unused=inputs[5]))
    if (ours := replaced(kind)) is not None:
        return ours(*inputs)
    if kind in _OF_TENSORS and not (kind == "aten::len" and isinstance(inputs[0], torch.Tensor)):
        return _OF_TENSORS[kind](*inputs)
    if kind == "aten::len":
        return inputs[0].size(0)
    if kind.startswith("aten::") and name in _PLAIN and _is_plain(inputs):
        return _PLAIN[name](*inputs)
    if kind.startswith("prim::") or is_known(kind) or node.schema() == "(no schema)":
        raise _unknown(f"uses {kind}, which cannot be traced")
    return _called(node.schema(), inputs)


def _called(schema: str, inputs: list[Any]) -> Any:
    """The result of an operator of torch, from its schema: NAMESPACE::NAME.OVERLOAD(...)."""
    named, _, _ = schema.partition("(")
    namespace, _, name = named.partition("::")
    name, _, overload = name.partition(".")
    function = getattr(getattr(getattr(torch.ops, namespace), name), overload or "default")
    arguments, options = [], {}
    for value, argument in zip(inputs, function._schema.arguments, strict=True):
        kind = str(getattr(argument, "real_type", argument.type))
        if value is not None and type(value) is int:
            if kind.startswith("ScalarType"):
                value = _TYPES[value]
            elif kind.startswith("Layout"):
                value = torch.strided
            elif kind.startswith("MemoryFormat"):
                value = _FORMATS[value]
        if argument.kwarg_only:
            options[argument.name] = value
        else:
            arguments.append(value)
    return function(*arguments, **options)


def _is_plain(values: Sequence[Any]) -> bool:
    """Whether an operation is one on a list, a text or numbers."""
    if values and isinstance(values[0], (list, tuple, dict, str)):
        return True
    return not any(isinstance(value, torch.Tensor) for value in values)


def _unknown(what: str) -> ModelError:
    place = f"\n    {Scripted.place}" if Scripted.place else ""
    return ModelError(
        "not_compilable",
        f"The TorchScript model {what}.{place}",
        "Compile it from its Python source: FILE.py:Name.",
    )


def load(path: Path) -> Scripted:
    """The model in a TorchScript file, ready to trace. Raises ModelError."""
    try:
        with declared():
            return Scripted(torch.jit.load(str(path), map_location="cpu").eval())
    except Exception as error:
        reason = sentence(one_line(error))
        raise ModelError(
            "source",
            f"{path} cannot be read as TorchScript: {reason}",
            f"`torchml-install model inspect {path}` shows what it is.",
        ) from error
