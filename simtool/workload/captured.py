"""A captured workload as a file: what one training step of some model does, at any batch and length.

File kind ``simtool/workload/1``, written by ``simtool capture`` and named by a scenario's
``workload.model``. Reading and rescaling need neither torch nor the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from simtool.config.dump import Inline, dump_yaml
from simtool.config.fields import Strict
from simtool.config.load import load_document
from simtool.config.validate import validate
from simtool.stepgraph import Kind, Number, Phase
from simtool.workload.amount import Amount, AmountField

SCHEMA = "simtool/workload/1"
Count = Annotated[int, Field(gt=0, le=10**9)]
Whole = Annotated[int, Field(ge=0, le=10**18)]
Format = Literal["", "fp8", "bf16", "fp16", "fp32"]
ZERO = Amount()
ONE = Amount.of({(0, 0): 1})
MAX_OPS = 100_000
"""Of one part; what is larger was written by no capture."""


class CapturedOp(Strict):
    """One kernel of a compiled model, or as many equal ones."""

    name: str
    """Of the module that it is part of, within its part."""
    of: str = ""
    """The operations that became one kernel."""
    kind: Literal["gemm", "grouped_gemm", "attention", "convolution", "memory"]
    phase: Literal["forward", "backward_input", "backward_weight", "optimizer"]
    dtype: Format = ""
    """Number format; that of the whole model if not given, which the scenario's precision replaces."""
    count: Count = 1
    """Equal kernels in one execution of the part."""
    launches: Count = 1
    """Kernels that an uncompiled model launches for it."""
    m: AmountField = ZERO
    n: AmountField = ZERO
    k: AmountField = ZERO
    """Rows, columns, inner size of a product; of attention queries, width of a head, heads of all samples."""
    keys: AmountField = ZERO
    """Attention: keys that a query sees; 0 for a causal mask."""
    batch: AmountField = ONE
    """Products in one kernel; groups of a convolution."""
    flop: AmountField = ZERO
    """Work as torch counts it, of attention over the whole square, where it is not 2 m n k [FLOP]."""
    elements: AmountField = ZERO
    """Read and written in the model's number format."""
    bytes: AmountField = ZERO
    """Read and written in other formats [byte]."""
    eager_elements: AmountField = ZERO
    """The same where every operation is a kernel of its own."""
    eager_bytes: AmountField = ZERO

    def work_at(self, batch: Number, seq_len: Number) -> Number:
        """Work of all its executions in one of its part: 2 m n k, of attention over the whole square [FLOP]."""
        if self.kind == "attention":
            return self.count * self.flop.at(batch, seq_len)
        if self.kind == "memory":
            return 0.0
        product: Number = 2.0 * self.count
        for amount in (self.m, self.n, self.k, self.batch):
            product = product * amount.at(batch, seq_len)
        return product

    def flop_at(self, batch: Number, seq_len: Number) -> Number:
        """The same as torch's counter counts it [FLOP]."""
        return self.count * self.flop.at(batch, seq_len) if self.flop else self.work_at(batch, seq_len)


class Kept(Strict):
    """What the forward pass leaves for the backward one."""

    elements: AmountField = ZERO
    """In the model's number format."""
    bytes: AmountField = ZERO
    """In other formats [byte]."""


class CapturedPart(Strict):
    """A part of the model."""

    parameters: Whole
    kept: Kept = Kept()
    """Of a compiled model, which computes cheap things again."""
    eager_kept: Kept = Kept()
    """What autograd keeps without a compiler."""
    ops: Annotated[tuple[CapturedOp, ...], Field(max_length=MAX_OPS)] = ()


class CapturedLayer(CapturedPart):
    """A block that is repeated; or the whole model, once."""

    name: str = ""
    repeats: Count
    input_elements: AmountField = ZERO
    """What comes in from the layer before, with gradients."""


class CapturedOptimizer(Strict):
    """One step over all weights."""

    name: str
    state_elements: Whole
    """Of moments and the like, beside the weights."""
    elements: Whole
    """Read and written in one pass: weights, gradients and state."""
    eager_elements: Whole
    ops: tuple[CapturedOp, ...] = ()
    """Products, of optimizers that have some."""


class CapturedSize(Strict):
    """A size that was captured."""

    batch: Count
    seq_len: Count


class CapturedWorkload(Strict):
    """A model as its operations."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    name: str
    source: str
    """Where the model came from, and by what it was captured."""
    notes: tuple[str, ...] = ()
    captured: CapturedSize
    """The largest size that the amounts were read from."""
    any_seq_len: bool
    """Whether amounts follow the sequence length; else a sample counts as one token and `s` is 1."""
    precision: Literal["bf16", "fp16", "fp32"]
    """The number format that was captured, in whose place the scenario's stands."""
    kernels: Literal["fused", "eager"] = "fused"
    """Whether element-wise neighbours are one kernel, as a compiler makes them, or each is its own."""
    parameters: Whole
    """Weights, shared ones once."""
    tied_parameters: Whole = 0
    """Of them, used before and after the layers."""
    not_counted: tuple[str, ...] = ()
    """Operations that multiply without torch counting them; priced by their bytes."""
    input_bytes: AmountField
    edge_bytes: AmountField = ZERO
    """Of the largest gradient outside the layers [byte]."""
    before: CapturedPart
    layers: Annotated[tuple[CapturedLayer, ...], Field(min_length=1, max_length=10_000)]
    """Every kind of block in the main stack of blocks."""
    after: CapturedPart
    optimizer: CapturedOptimizer

    @model_validator(mode="after")
    def _phases_in_place(self) -> CapturedWorkload:
        for op in (op for _, part in self.parts for op in part.ops):
            if op.phase == "optimizer":
                raise ValueError(f"found the phase optimizer in {op.name}; it belongs below optimizer")
        if not self.any_seq_len and any(
            amount.sequence_power
            for _, part in self.parts
            for op in part.ops
            for amount in (op.m, op.elements)
        ):
            raise ValueError("found amounts that follow s with any_seq_len: false; write true")
        return self

    @property
    def parts(self) -> tuple[tuple[int, CapturedPart], ...]:
        """All parts, and how often each runs in a micro-batch."""
        return ((1, self.before), *((layer.repeats, layer) for layer in self.layers), (1, self.after))

    @property
    def num_layers(self) -> int:
        """Blocks of the main stack; 1 where nothing repeats."""
        return sum(layer.repeats for layer in self.layers)

    def flop(self, batch: int, seq_len: int, phase: Phase | None = None) -> float:
        """Work of one micro-batch as torch's counter counts it, the optimizer left out [FLOP].

        Args:
            batch: samples in it.
            seq_len: tokens in a sample; 1 where `any_seq_len` is false.
            phase: only this one.
        """
        total = 0.0
        for times, part in self.parts:
            for op in part.ops:
                if phase is None or op.phase == phase.value:
                    total += times * float(op.flop_at(batch, seq_len))
        return total

    def num_bytes(self, batch: int, seq_len: int, *, element_bytes: float, eager: bool) -> float:
        """Memory traffic of element-wise work in one micro-batch [byte]."""
        total = 0.0
        for times, part in self.parts:
            for op in part.ops:
                if op.kind == Kind.MEMORY.value:
                    elements, others = moved(op, "eager" if eager else "fused")
                    at = elements.at(batch, seq_len) * element_bytes + others.at(batch, seq_len)
                    total += times * op.count * float(at)
        return total


def moved(op: CapturedOp, kernels: str) -> tuple[Amount, Amount]:
    """Elements in the model's format and bytes in others that one execution reads and writes."""
    return (op.eager_elements, op.eager_bytes) if kernels == "eager" else (op.elements, op.bytes)


def read_workload(path: Path) -> CapturedWorkload:
    """A workload file.

    Raises:
        InputError: not a file of this kind, or amounts that cannot be.
    """
    return validate(load_document(path), CapturedWorkload)


def write_workload(workload: CapturedWorkload) -> str:
    """The text of a workload file: one line for every operation."""
    data = workload.model_dump(mode="json", by_alias=True)
    return dump_yaml(dict(_short(data, top=True)))


def _short(data: dict[str, Any], *, top: bool = False) -> Iterator[tuple[str, Any]]:
    """Without what a reader fills in itself, with small mappings on one line and operations at the end."""
    for key, value in sorted(data.items(), key=lambda item: item[0] == "ops"):
        if key in _DEFAULTS and value == _DEFAULTS[key] and not top:
            continue
        if key == "ops":
            if value:
                yield key, [Inline(_short(op)) for op in value]
        elif key in ("kept", "eager_kept"):
            yield key, Inline(value)
        elif isinstance(value, dict):
            yield key, dict(_short(value, top=True))
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            yield key, [dict(_short(part)) for part in value]
        elif value != [] or top:
            yield key, value


_DEFAULTS = {
    "of": "",
    "dtype": "",
    "count": 1,
    "launches": 1,
    "batch": 1,
    **dict.fromkeys(
        (
            "m",
            "n",
            "k",
            "keys",
            "flop",
            "elements",
            "bytes",
            "eager_elements",
            "eager_bytes",
            "input_elements",
        ),
        0,
    ),
}
