"""What a compiler would make of recorded operations: element-wise neighbours become one kernel.

Operations lie on levels: a matrix product or another operation that stands apart lies one level above what
it reads; element-wise work and reductions on the level of what they read, or of what reads them. Those of
one level and one part of the model are one kernel: it reads what comes from elsewhere once, and writes
only what is read elsewhere. What the forward pass made and only such a kernel of the backward pass needs is
not kept but computed again from what went in, as the partitioner of torch.compile decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from simtool.workload.recorded import BACKWARD, FORWARD, Access, Recorded, Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One kernel of a compiled model, and what it replaces."""

    ops: tuple[Recorded, ...]
    part: str
    """Of the model."""
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """All kernels, and what the forward pass keeps for the backward one."""

    kernels: tuple[Kernel, ...]
    kept: tuple[tuple[Access, str], ...]
    """Each value once, with the one part that needs it, or an empty word for several."""


def fuse(recording: Recording, part_of: Callable[[int], str]) -> Kernels:
    """The kernels of a recording.

    Args:
        recording: what was recorded.
        part_of: the part of the model of the operation at an index; kernels end where parts do.
    """
    return _Fusion(recording, part_of).kernels()


class _Fusion:
    """The graph of values between operations."""

    def __init__(self, recording: Recording, part_of: Callable[[int], str]) -> None:
        self.ops = recording.ops
        self.last = recording.last_values
        self.maker = {access.value: index for index, op in enumerate(self.ops) for access in op.writes}
        self.readers: dict[int, list[int]] = {}
        for index, op in enumerate(self.ops):
            for access in op.reads:
                self.readers.setdefault(access.value, []).append(index)
        self.parts = [part_of(index) for index in range(len(self.ops))]
        self.groups = self._grouped()
        self._sources: dict[int, tuple[Access, ...]] = {}

    def _grouped(self) -> list[tuple[object, ...]]:
        """What every operation is one kernel with: those of the same key."""
        levels = self._levels()
        groups: list[tuple[object, ...]] = []
        for index, op in enumerate(self.ops):
            phase = (op.phase, op.times)
            groups.append((phase, self.parts[index], levels[index]) if op.is_fusible else (phase, index))
        return groups

    def _levels(self) -> list[int]:
        """As low as what is read allows; then what only later element-wise work of the same part reads moves up."""
        levels: list[int] = []
        for index, op in enumerate(self.ops):
            below = [self.maker[access.value] for access in op.reads if access.value in self.maker]
            level = max((levels[maker] for maker in below if maker < index), default=0)
            levels.append(level if op.is_fusible else level + 1)
        for index in range(len(self.ops) - 1, -1, -1):
            op = self.ops[index]
            results = [access.value for access in op.writes]
            readers = [reader for result in results for reader in self.readers.get(result, ())]
            if op.is_fusible and readers and self.last.isdisjoint(results):
                kin = (
                    self.ops[reader].is_fusible
                    and self.ops[reader].phase == op.phase
                    and self.parts[reader] == self.parts[index]
                    for reader in readers
                )
                if all(kin):
                    levels[index] = min(levels[reader] for reader in readers)
        return levels

    def kernels(self) -> Kernels:
        """In the order of their first operations."""
        members: dict[tuple[object, ...], list[int]] = {}
        for index, group in enumerate(self.groups):
            members.setdefault(group, []).append(index)
        made = tuple(self._kernel(indices) for indices in members.values())
        return Kernels(kernels=made, kept=tuple(self._kept(made)))

    def _kernel(self, indices: list[int]) -> Kernel:
        within = {access.value for index in indices for access in self.ops[index].writes}
        reads: list[Access] = []
        writes: list[Access] = []
        for index in indices:
            op = self.ops[index]
            for access in op.reads:
                if access.value not in within:
                    reads += self._read(access)
            writes += [access for access in op.writes if self._is_stored(access.value)]
        return Kernel(
            ops=tuple(self.ops[index] for index in indices),
            part=self.parts[indices[0]],
            reads=merged(reads),
            writes=merged(writes),
        )

    def _read(self, access: Access) -> tuple[Access, ...]:
        """What is read in memory for a value: itself, or what it is computed from again."""
        if self._is_stored(access.value):
            return (access,)
        if access.value not in self._sources:
            self._sources[access.value] = ()  # a value that is made from itself adds nothing
            operands = self.ops[self.maker[access.value]].reads
            self._sources[access.value] = merged([one for operand in operands for one in self._read(operand)])
        return self._sources[access.value]

    def _is_stored(self, value: int) -> bool:
        """Whether a value is in memory at all."""
        index = self.maker.get(value)
        if index is None or not self.ops[index].is_fusible or value in self.last:
            return True
        return any(self._needs_stored(reader, index) for reader in self.readers.get(value, ()))

    def _needs_stored(self, reader: int, maker: int) -> bool:
        if self.groups[reader] == self.groups[maker]:
            return False
        again = self.ops[maker].phase == FORWARD and self.ops[reader].phase == BACKWARD
        return not (again and self.ops[reader].is_fusible)

    def _kept(self, kernels: tuple[Kernel, ...]) -> Iterator[tuple[Access, str]]:
        kept: dict[int, list[Access]] = {}
        needed_by: dict[int, set[str]] = {}
        for kernel in kernels:
            if kernel.ops[0].phase != BACKWARD:
                continue
            for access in kernel.reads:
                maker = self.maker.get(access.value)
                if maker is not None and self.ops[maker].phase == FORWARD:
                    kept.setdefault(access.value, []).append(replace(access, sweep=0))
                    needed_by.setdefault(access.value, set()).add(kernel.part)
        for value, accesses in kept.items():
            parts = needed_by[value]
            for access in merged(accesses):
                yield access, next(iter(parts)) if len(parts) == 1 else ""


def merged(accesses: Iterable[Access]) -> tuple[Access, ...]:
    """Every value once in each sweep: what is touched of it together, at most all.

    >>> left, right = Access(1, 8, "float32", 4, place=0, whole=16), Access(1, 8, "float32", 4, place=8, whole=16)
    >>> [access.elements for access in merged([left, right, left])]
    [16]
    """
    pieces: dict[tuple[int, int], dict[int, Access]] = {}
    for access in accesses:
        at = pieces.setdefault((access.value, access.sweep), {})
        if access.place not in at or at[access.place].elements < access.elements:
            at[access.place] = access
    return tuple(_together(list(at.values())) for at in pieces.values())


def _together(pieces: list[Access]) -> Access:
    first = pieces[0]
    if len(pieces) == 1:
        return first
    total = sum(piece.elements for piece in pieces)
    return replace(
        first, elements=min(total, max(first.whole, *(piece.elements for piece in pieces))), place=0
    )
