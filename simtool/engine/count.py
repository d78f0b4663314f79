"""What the operations of a stretch of work cost, counted exactly while they run.

Every operation that reaches the dispatcher is booked under its phase: calls, floating-point
operations (a multiply-add counts two) and bytes to and from memory. torch's own formulas count the
products; attention on a CPU, for which torch counts nothing, is added here. Counting is slow, so
the trainer counts the first step of every signature and multiplies.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

BACKWARD = "backward"
BACKWARD_INPUT, BACKWARD_WEIGHT = "backward_input", "backward_weight"

aten = torch.ops.aten

VIEWS = frozenset(
    {
        "view", "_unsafe_view", "reshape", "t", "transpose", "transpose_", "permute", "expand", "detach",
        "unsqueeze", "squeeze", "select", "slice", "split", "unsafe_split", "unbind", "as_strided", "alias",
        "narrow", "chunk", "unflatten", "diagonal", "unfold", "empty", "empty_like", "new_empty",
        "new_empty_strided", "empty_strided", "split_with_sizes", "lift_fresh", "_reshape_alias", "view_as_real",
    }
)  # fmt: skip
"""Operations that touch no element."""


REDUCTIONS = frozenset({"sum", "embedding_dense_backward"})
"""Operations without products that can yield the gradient of a parameter."""


@dataclass(frozen=True, slots=True)
class OpKey:
    """One kind of operation: where it ran, what it is, on which shapes."""

    phase: str
    name: str
    shapes: tuple[tuple[int, ...], ...]
    dtype: str


@dataclass(slots=True)
class OpCount:
    """How often, and how much work in all."""

    calls: int = 0
    flop: float = 0.0
    size_bytes: float = 0.0


@dataclass(slots=True)
class Counts:
    """Operations by kind; phases sum to the whole."""

    ops: dict[OpKey, OpCount] = field(default_factory=dict)

    def add(self, key: OpKey, flop: float, size_bytes: float) -> None:
        """Book one call."""
        count = self.ops.setdefault(key, OpCount())
        count.calls += 1
        count.flop += flop
        count.size_bytes += size_bytes

    def merge(self, more: Counts) -> None:
        """Book everything that `more` holds."""
        for key, count in more.ops.items():
            held = self.ops.setdefault(key, OpCount())
            held.calls += count.calls
            held.flop += count.flop
            held.size_bytes += count.size_bytes

    def flop(self, *phases: str) -> float:
        """Operations in `phases`, all if none is named [FLOP]."""
        return sum(count.flop for key, count in self.ops.items() if not phases or key.phase in phases)

    def flop_by_phase(self) -> dict[str, float]:
        """Operations of each phase [FLOP]."""
        return {phase: self.flop(phase) for phase in dict.fromkeys(key.phase for key in self.ops)}


class OpCounter(TorchDispatchMode):
    """Counts what runs inside it, under the phase that `phase` names at that moment.

    A backward pass is told apart by operand: a product with a parameter is the gradient towards
    the input, a product whose result has the shape of a parameter is that parameter's gradient.

    >>> layer = torch.nn.Linear(8, 4)
    >>> with OpCounter(layer.parameters()) as counter:
    ...     counter.phase = "forward"
    ...     loss = layer(torch.ones(2, 8, requires_grad=True)).sum()
    ...     counter.phase = "backward"
    ...     loss.backward()
    >>> [int(counter.counts.flop(phase)) for phase in ("forward", "backward_input", "backward_weight")]
    [128, 128, 128]
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        begin_s = time.process_time()
        super().__init__()
        self.phase = "forward"
        self.counts = Counts()
        self._made: dict[int, tuple[OpKey, float]] = {}
        """Memory that an operation of an optimizer made, and what it was booked as."""
        held = list(parameters)
        # A parameter that FSDP has sharded has no storage of its own; its shape tells it then.
        whole = [parameter for parameter in held if not hasattr(parameter, "to_local")]
        self._storages = {parameter.untyped_storage().data_ptr() for parameter in whole}
        self._shapes = {tuple(parameter.shape) for parameter in held}
        self.spent_s = time.process_time() - begin_s
        """Processor time of counting itself, as far as it is spent here [s]."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        begin_s = time.process_time()
        name = func._schema.name.rpartition("::")[2]
        if name not in VIEWS and func.namespace != "profiler":
            self._book(func, name, args, kwargs or {}, out)
        self.spent_s += time.process_time() - begin_s
        return out

    def taken_out(self, storages: Collection[int], phase: str) -> Counts:
        """What made these pieces of memory, taken out of the counts: it happens once, not in every step.

        Args:
            storages: addresses of what the optimizers have begun to keep.
            phase: that it is booked under instead.
        """
        taken = Counts()
        for key, size_bytes in (self._made[place] for place in storages if place in self._made):
            count = self.counts.ops[key]
            count.calls, count.size_bytes = count.calls - 1, count.size_bytes - size_bytes
            if not count.calls:
                del self.counts.ops[key]
            taken.add(replace(key, phase=phase), 0.0, size_bytes)
        return taken

    def _book(self, func: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> None:
        inputs = list(_tensors((args, kwargs)))
        outputs = list(_tensors(out))
        shapes = tuple(tuple(tensor.shape) for tensor in inputs)
        seen = [*outputs, *inputs]
        dtype = str(seen[0].dtype).removeprefix("torch.") if seen else ""
        size_bytes = float(sum(tensor.numel() * tensor.element_size() for tensor in (*inputs, *outputs)))
        for phase, flop, share in self._parts(func, name, args, kwargs, out, inputs, outputs):
            key = OpKey(phase, name, shapes, dtype)
            self.counts.add(key, flop, size_bytes * share)
            if phase == "optimizer":
                for place in _storages(outputs) - _storages(inputs):
                    self._made[place] = (key, size_bytes)

    def _parts(
        self,
        func: Any,
        name: str,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        out: Any,
        inputs: list[torch.Tensor],
        outputs: list[torch.Tensor],
    ) -> Iterator[tuple[str, float, float]]:
        """Phase, operations and share of the bytes of one call; two parts for a joint backward."""
        flop = _flop(func, name, args, kwargs, out)
        if self.phase != BACKWARD:
            yield self.phase, flop, 1.0
        elif name == "convolution_backward":
            to_input, to_weight, _ = args[-1]
            share = 1.0 / max(1, to_input + to_weight)
            if to_input:
                alone = (*args[:-1], [True, False, False])
                yield BACKWARD_INPUT, _flop(func, name, alone, kwargs, out), share
            if to_weight:
                alone = (*args[:-1], [False, True, False])
                yield BACKWARD_WEIGHT, _flop(func, name, alone, kwargs, out), share
        elif (flop or name in REDUCTIONS) and self._is_weight_gradient(inputs, outputs):
            yield BACKWARD_WEIGHT, flop, 1.0
        else:
            yield BACKWARD_INPUT, flop, 1.0

    def _is_weight_gradient(self, inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> bool:
        if any(tensor.untyped_storage().data_ptr() in self._storages for tensor in inputs):
            return False
        shapes = {tuple(tensor.shape) for tensor in outputs}
        return any(shape in self._shapes or shape[::-1] in self._shapes for shape in shapes if shape)


def _flop(func: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> float:
    formula = flop_registry.get(func._overloadpacket)
    if formula is not None:
        return float(formula(*args, **kwargs, out_val=out))
    if name == "_scaled_dot_product_flash_attention_for_cpu":
        return _attention_flop(args[0], args[1], args[2], num_products=2)
    if name == "_scaled_dot_product_flash_attention_for_cpu_backward":
        return _attention_flop(args[1], args[2], args[3], num_products=5)
    return 0.0


def _attention_flop(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, num_products: int
) -> float:
    """Products of the whole score matrix, as torch counts them on a GPU (masked half included).

    Forward: scores and output. Backward: both again for the inputs of each, and the scores once more.
    """
    batch, heads, length, width = query.shape
    kept = key.shape[-2]
    product = 2.0 * batch * heads * length * kept
    if num_products == 2:
        return product * (width + value.shape[-1])
    return product * (3 * width + 2 * value.shape[-1])


def _storages(tensors: Iterable[torch.Tensor]) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors if not hasattr(tensor, "to_local")}


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_iter(tree) if isinstance(leaf, torch.Tensor))
