"""What one pass of a model did, operation by operation: the raw material of a captured workload.

Values are tensors' contents: a storage at one moment, told apart by a number. What writes in place
makes a new value of the same storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from simtool.stepgraph import Kind

FORWARD, BACKWARD, OPTIMIZER = "forward", "backward", "optimizer"


@dataclass(frozen=True, slots=True)
class Access:
    """A value that an operation reads or writes, and how much of it."""

    value: int
    elements: int
    dtype: str
    size: int
    """Of an element [byte]."""
    place: int = 0
    """First element in the storage: two halves of one value are read as two."""
    whole: int = 0
    """Elements of the storage."""
    sweep: int = 0
    """Which pass over the value this is, for operations that must read it twice."""

    @property
    def num_bytes(self) -> int:
        """Size in memory [byte]."""
        return self.elements * self.size


@dataclass(slots=True, kw_only=True)
class Recorded:
    """One kernel that was launched."""

    name: str
    """As the library calls it: ``mm``, ``mul``."""
    path: str
    """Of the module it is part of, or whose backward it is part of."""
    phase: str
    """Forward, backward or optimizer."""
    kind: Kind
    dtype: str
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    flop: int = 0
    """As torch's counter counts it [FLOP]."""
    m: int = 0
    n: float = 0
    k: int = 0
    keys: int = 0
    batch: int = 1
    is_fusible: bool = False
    """Whether a compiler can make one kernel of it and its neighbours: element-wise work and reductions."""
    is_weight_gradient: bool = False
    times: int = 1
    """How many like it there are: the optimizer's work for weights of one shape."""


@dataclass(frozen=True, slots=True)
class Held:
    """A weight of the model, counted once however often it is used."""

    value: int
    elements: int
    shape: tuple[int, ...]
    paths: tuple[str, ...]
    """Of the modules that use it."""
    is_trained: bool


@dataclass(slots=True, kw_only=True)
class Recording:
    """One forward and backward pass at one size, and one step of the optimizer."""

    batch: int
    seq_len: int
    ops: list[Recorded] = field(default_factory=list)
    weights: tuple[Held, ...] = ()
    saved: dict[int, tuple[Access, frozenset[str]]] = field(default_factory=dict)
    """What autograd kept for the backward pass, by storage: how much, and for which modules."""
    block_inputs: dict[str, int] = field(default_factory=dict)
    """Elements that reach a module and carry gradients, by the module's path."""
    stacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Paths of the children, all of one class, by the path of the container that holds them."""
    last_values: frozenset[int] = frozenset()
    """The last values of storages that outlive the step."""
    input_bytes: int = 0
    optimizer: str = ""
    state_elements: int = 0
    """Elements of the optimizer's state."""
    not_counted: frozenset[str] = frozenset()
    """Operations that multiply, but that torch's counter has no formula for."""
