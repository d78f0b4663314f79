"""Which part of a model an operation belongs to: before, within or behind its main stack of blocks."""

from __future__ import annotations

from dataclasses import dataclass

from simtool.workload.recorded import FORWARD, OPTIMIZER, Recorded, Recording

BEFORE, AFTER = "<before>", "<after>"
MAIN_SHARE = 0.5
"""Of the work that a stack of blocks must do to count as the model's layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one recording."""

    stack: str
    """Path of the container of the blocks, empty where there is none."""
    children: tuple[str, ...]
    """Paths of the blocks, in their order."""
    by_op: tuple[str, ...]
    by_path: dict[str, str]

    def of(self, index: int) -> str:
        """The part of the operation at an index: a block's path, before or behind."""
        return self.by_op[index]

    def of_path(self, path: str) -> str:
        """The part of a module."""
        return self.by_path.get(path, BEFORE)


def find_parts(recording: Recording, chosen_by: Recording) -> Parts:
    """The main stack of blocks is the container with equal classes whose blocks do most of the work.

    Args:
        recording: whose operations to place.
        chosen_by: the recording that decides about the stack, the same for all sizes.
    """
    work = {path: _work(chosen_by, children) for path, children in chosen_by.stacks.items()}
    whole = sum(_weight(op) for op in chosen_by.ops if op.phase == FORWARD)
    stack = max(work, key=lambda path: work[path], default="")
    is_stack = stack in work and work[stack] >= MAIN_SHARE * whole > 0.0
    children = chosen_by.stacks[stack] if is_stack else ()
    owner: dict[str, str] = {}
    inside = [
        index
        for index, op in enumerate(recording.ops)
        if op.phase == FORWARD and _child(op.path, children, owner)
    ]
    last = inside[-1] if inside else len(recording.ops)
    by_path: dict[str, str] = {}
    by_op: list[str] = []
    for index, op in enumerate(recording.ops):
        child = "" if op.phase == OPTIMIZER else _child(op.path, children, owner)
        if child:
            part = child
        elif op.phase == FORWARD:
            part = AFTER if index > last else BEFORE
        else:
            part = by_path.get(op.path, BEFORE)
        if op.phase == FORWARD:
            by_path[op.path] = part
        by_op.append(part)
    return Parts(stack=stack if is_stack else "", children=children, by_op=tuple(by_op), by_path=by_path)


def _child(path: str, children: tuple[str, ...], owner: dict[str, str]) -> str:
    """The block that a module is part of, or an empty word."""
    if path not in owner:
        owner[path] = next((child for child in children if path == child or path.startswith(f"{child}.")), "")
    return owner[path]


def _weight(op: Recorded) -> float:
    """Work of an operation where stacks are compared: products, and a little for what only moves bytes."""
    return float(op.flop) + sum(access.elements for access in op.writes)


def _work(recording: Recording, children: tuple[str, ...]) -> float:
    owner: dict[str, str] = {}
    return sum(
        _weight(op) for op in recording.ops if op.phase == FORWARD and _child(op.path, children, owner)
    )
