"""Writes down every operation that reaches torch's dispatcher, with what it reads, writes and belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from simtool.stepgraph import Kind
from simtool.workload.from_torch.products import (
    APART,
    GATHERS,
    PURE_WRITES,
    SCATTERS,
    TWO_SWEEPS,
    UNCOUNTED_PRODUCTS,
    Work,
    tensors,
    touched,
)
from simtool.workload.from_torch.shape_rules import ShapeRules, Signature
from simtool.workload.recorded import BACKWARD, FORWARD, Access, Recorded

_WITHOUT_CONTENT = ("empty", "new_empty")


class Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Records what runs inside it, under the phase and the module that are set at that moment.

    A backward operation belongs to the module whose forward operation made its autograd node: nodes are
    numbered in the order in which they are made.
    """

    def __init__(self, rules: ShapeRules | None = None) -> None:
        super().__init__()
        self._rules = rules or ShapeRules()
        self.phase = FORWARD
        self.path = ""
        self.ops: list[Recorded] = []
        self.not_counted: set[str] = set()
        self.failed = ""
        """The operation that raised, if one did."""
        self.failed_path = ""
        self._owners: list[str] = []
        self._first_node = torch._C._autograd._get_sequence_nr()
        self._values: dict[int, int] = {}
        """The value that each storage holds now."""
        self._kept: list[Any] = []
        """Storages stay alive, so that no other takes the place of one that is gone."""
        self._num_values = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        path = self._path()
        signature = self._rules.signature(func)
        try:
            if signature.is_view:
                out = func(*args, **given)
            else:
                out, parts = self._rules.call(func, args, given)
        except Exception:
            self.failed, self.failed_path = signature.name, path
            raise
        made = torch._C._autograd._get_sequence_nr() - self._first_node - len(self._owners)
        if made > 0:
            self._owners += [path] * made
        if not signature.is_view:
            self._record(signature, args, given, out, parts, path)
        return out

    def value(self, tensor: Any) -> int:
        """The number of what a tensor's storage holds at this moment."""
        storage = tensor.untyped_storage()
        place = storage._cdata
        if place not in self._values:
            self._kept.append(storage)
            self._values[place] = self._new()
        return self._values[place]

    def _new(self) -> int:
        self._num_values += 1
        return self._num_values

    def _renew(self, tensor: Any) -> None:
        self.value(tensor)
        self._values[tensor.untyped_storage()._cdata] = self._new()

    def _path(self) -> str:
        if self.phase != BACKWARD:
            return self.path
        node = torch._C._current_autograd_node()
        number = node._sequence_nr() - self._first_node if node is not None else -1
        if 0 <= number < len(self._owners):
            self.path = self._owners[number]
        return self.path  # of an accumulation: as the operation before it

    def _record(
        self,
        signature: Signature,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        out: Any,
        parts: tuple[Work, ...],
        path: str,
    ) -> None:
        name = signature.name
        inputs, outputs = list(tensors((args, kwargs))), list(tensors(out))
        if all(tensor.device.type != "meta" for tensor in (*inputs, *outputs)):
            return  # counters of the optimizer and other numbers of the host
        changed = [
            tensor
            for place, word in signature.changes
            for tensor in tensors(args[place] if place < len(args) else kwargs.get(word))
        ]
        before = {tensor.untyped_storage()._cdata for tensor in inputs}
        fresh = [tensor for tensor in outputs if tensor.untyped_storage()._cdata not in before]
        if not changed and (not fresh or name.startswith(_WITHOUT_CONTENT)):
            return  # a view, or memory without content
        if name in UNCOUNTED_PRODUCTS:
            self.not_counted.add(name)
        reads = tuple(self._reads(name, inputs, changed, fresh))
        for tensor in changed:
            self._renew(tensor)
        given = _largest(inputs, changed) if name in SCATTERS else None
        writes = (
            *(self._access(tensor, given) for tensor in changed),
            *(self._access(tensor) for tensor in fresh),
        )
        dtype = _word((*fresh, *changed, *inputs)[0].dtype)
        for part in parts:
            shown = (reads, writes) if len(parts) == 1 else _half(part, reads, writes)
            self.ops.append(self._recorded(name, path, dtype, part, *shown))

    def _recorded(
        self,
        name: str,
        path: str,
        dtype: str,
        part: Work,
        reads: tuple[Access, ...],
        writes: tuple[Access, ...],
    ) -> Recorded:
        return Recorded(
            name=name,
            path=path,
            phase=self.phase,
            kind=part.kind,
            dtype=dtype,
            reads=reads,
            writes=writes,
            flop=part.flop,
            m=part.m,
            n=part.n,
            k=part.k,
            keys=part.keys,
            batch=part.batch,
            is_fusible=part.kind is Kind.MEMORY and name not in APART,
            is_weight_gradient=part.is_weight_gradient,
        )

    def _reads(self, name: str, inputs: list[Any], changed: list[Any], fresh: list[Any]) -> Iterator[Access]:
        swept = _largest(inputs) if name in TWO_SWEEPS else None
        for place, tensor in enumerate(inputs):
            if name in PURE_WRITES and _among(tensor, changed):
                continue
            limit = None
            if name in GATHERS and place == 0 and fresh:
                limit = touched(fresh[0])
            elif name in SCATTERS and _among(tensor, changed):
                limit = _largest(inputs, changed)
            yield self._access(tensor, limit)
            if swept is not None and touched(tensor) == swept:
                yield self._access(tensor, sweep=1)

    def _access(self, tensor: Any, limit: int | None = None, sweep: int = 0) -> Access:
        elements = touched(tensor) if limit is None else limit  # rows may be read several times
        size = tensor.element_size()
        return Access(
            value=self.value(tensor),
            elements=elements,
            dtype=_word(tensor.dtype),
            size=size,
            place=tensor.storage_offset(),
            whole=tensor.untyped_storage().nbytes() // size,
            sweep=sweep,
        )


@cache
def _word(dtype: Any) -> str:
    """``bfloat16`` for ``torch.bfloat16``."""
    return str(dtype).removeprefix("torch.")


def _largest(inputs: list[Any], apart_from: Sequence[Any] = ()) -> int:
    """Elements of the largest operand, those that are changed left out."""
    return max((touched(tensor) for tensor in inputs if not _among(tensor, apart_from)), default=0)


def _among(tensor: Any, others: Sequence[Any]) -> bool:
    return any(tensor is other for other in others)


def _half(
    part: Work, reads: tuple[Access, ...], writes: tuple[Access, ...]
) -> tuple[tuple[Access, ...], tuple[Access, ...]]:
    """What one half of a convolution's backward touches: gradient and weight, or gradient and input."""
    gradient, given, weight = reads[:3]
    if part.is_weight_gradient:
        return (gradient, given), writes[1:]
    return (gradient, weight), writes[:1]
