"""Compiling the forward and backward pass, for a few kinds of steps, with what that costs kept apart.

Every shape is compiled by itself, so a method that goes through many sizes would compile more than
it saves: the first `MAX_SHAPES` kinds are compiled, the rest run as they are, and the trace says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from simtool.engine.plan import StepPlan
from simtool.errors import InputError, Problem

MAX_SHAPES = 8
"""Kinds of steps that are compiled in a run; torch itself gives up after as many of one function."""
Teller = Callable[[str, dict[str, Any]], None]


def shape_key(plan: StepPlan) -> str:
    """Text that two plans share if their passes through the model have the same shapes.

    Tags say what an optimizer or a teacher does beside the model, and weights only scale the loss.

    >>> plan = StepPlan(num_samples=8, size=4)
    >>> shape_key(plan.tagged("orthogonalise")) == shape_key(plan) != shape_key(plan.changed(size=8))
    True
    """
    return plan.changed(tags=frozenset(), weights=None).signature()


class Compiled:
    """Decides for every step whether it runs compiled.

    Args:
        is_wanted: if not, every step runs as it is.
        tell: told ``compile`` for every kind of step that is met, with whether it is compiled.
        make: makes a compiled module of a module.
    """

    def __init__(self, *, is_wanted: bool, tell: Teller, make: Callable[[Any], Any] | None = None) -> None:
        self._is_wanted, self._tell = is_wanted, tell
        self._make = make or (lambda module: torch.compile(module, dynamic=False))
        self._module: Any = None
        self._made: dict[str, Any] = {}
        self._refused: set[str] = set()
        self._keys: set[str] = set()

    def begins(self, plan: StepPlan, module: Any, *, is_counted: bool) -> bool:
        """Whether this step compiles first. A counted step never does: counting sees single operations.

        Args:
            plan: of the step.
            module: what its forward pass calls. When it is another one than before, it is compiled anew.
            is_counted: whether it is the first of its kind.
        """
        if not self._is_wanted or is_counted:
            return False
        if module is not self._module:
            self._module = module
            self._made.clear()
        key = shape_key(plan)
        if key in self._made or key in self._refused:
            return False
        is_compiled = key in self._keys or len(self._keys) < MAX_SHAPES
        self._tell("compile", {"shape": key, "is_compiled": is_compiled})
        if not is_compiled:
            self._refused.add(key)
            return False
        self._keys.add(key)
        self._made[key] = self._make(module)
        return True

    def module(self, plan: StepPlan, module: Any, *, is_counted: bool) -> Any:
        """What the forward pass of this step calls, after `begins`."""
        if not self._is_wanted or is_counted:
            return module
        return self._made.get(shape_key(plan), module)


def refuse_compiler(error: BaseException) -> None:
    """Say what to do if the compiler failed; an error of anything else passes.

    Raises:
        InputError: if torch's compiler raised it.
    """
    if type(error).__module__.partition(".")[2].split(".")[0] in {"_dynamo", "_inductor"}:
        what = (
            f"the compiler failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )
        raise InputError(
            Problem("--compile", "", what, "", "leave --compile out, or install a compiler for torch.compile")
        ) from error
