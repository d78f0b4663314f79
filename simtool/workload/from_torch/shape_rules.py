"""The results of operations on the meta device, remembered: equal layers ask for the same shapes again.

torch's own shape rules are mostly Python and take a millisecond; a model of a hundred layers asks each
of them a hundred times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from simtool.workload.from_torch.products import Work, tensors, works


@dataclass(frozen=True, slots=True)
class Signature:
    """What an operation does to memory, by its declaration."""

    name: str
    is_view: bool
    """Results share memory with an operand, and nothing is changed."""
    changes: tuple[tuple[int, str], ...]
    """Place and name of the operands that are written in place."""


class ShapeRules:
    """Calls operations, or makes a result as it was the last time for operands of the same form."""

    def __init__(self) -> None:
        self._signatures: dict[Any, Signature] = {}
        self._known: dict[Any, tuple[Any, tuple[Work, ...]]] = {}

    def signature(self, func: Any) -> Signature:
        """The declaration of an operation, read once."""
        known = self._signatures.get(func)
        if known is None:
            schema = func._schema
            changes = tuple(
                (place, argument.name)
                for place, argument in enumerate(schema.arguments)
                if argument.alias_info is not None and argument.alias_info.is_write
            )
            is_view = not changes and any(result.alias_info is not None for result in schema.returns)
            known = Signature(schema.name.rpartition("::")[2], is_view, changes)
            self._signatures[func] = known
        return known

    def call(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, tuple[Work, ...]]:
        """The result of an operation that is no view, and what work it is."""
        signature = self.signature(func)
        key = None if signature.changes else (func, _form(args), _form(kwargs))
        known = None if key is None else self._known.get(key)
        if known is not None:
            return _made(known[0]), known[1]
        out = func(*args, **kwargs)
        parts = tuple(works(func, signature.name, args, kwargs, out))
        if key is not None and _is_new(out, (args, kwargs)):
            self._known[key] = (_form(out), parts)
        return out, parts


def _form(tree: Any) -> Any:
    """Shapes, strides and formats in place of tensors; hashable."""
    if isinstance(tree, torch.Tensor):
        return _Tensor(tree.shape, tree.stride(), tree.dtype, tree.device)
    if isinstance(tree, tuple | list):
        return tuple(_form(part) for part in tree)
    if isinstance(tree, dict):
        return tuple((name, _form(part)) for name, part in tree.items())
    return (type(tree), tree)  # 1, 1.0 and True are different operands


@dataclass(frozen=True, slots=True)
class _Tensor:
    shape: Any
    stride: tuple[int, ...]
    dtype: Any
    device: Any


def _made(form: Any) -> Any:
    if isinstance(form, _Tensor):
        return torch.empty_strided(form.shape, form.stride, dtype=form.dtype, device=form.device)
    if form and isinstance(form[0], type):
        return form[1]
    return tuple(_made(part) for part in form)


def _is_new(out: Any, inputs: Any) -> bool:
    """Whether the results have memory of their own, on the meta device, and nothing else in them."""
    before = {tensor.untyped_storage()._cdata for tensor in tensors(inputs)}
    parts = out if isinstance(out, tuple) else (out,)
    return all(
        isinstance(part, torch.Tensor)
        and part.device.type == "meta"
        and part.storage_offset() == 0
        and part.untyped_storage()._cdata not in before
        for part in parts
    )
