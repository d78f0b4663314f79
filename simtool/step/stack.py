"""The numbers of a software stack that shape a step, as plain numbers or arrays over many stacks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.machine.build import or_one
from simtool.profiles.schema import Software
from simtool.stepgraph import Number

RECOMPUTE_FLOOR = 1.0 / 3.0
"""A full repetition of the forward pass adds a third to what the host launches for forward and backward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackNumbers:
    """What `step_parts` needs of a `profiles.schema.Software`; its fields say what each means."""

    launch_floor_s: Number
    launch_floor_tp_ratio: Number
    launch_floor_expert_ratio: Number = 1.0
    step_constant_s: Number
    tp_exposed: Number
    dp_exposed: Number
    pp_exposed: Number
    cp_exposed: Number = 1.0
    ep_exposed: Number = 1.0
    ep_exposed_across: Number = 1.0
    overlap_limit: Number
    bubble: Number
    straggler: Number
    input_rate_bytes_per_s: Number = np.inf
    """Of a core of the host."""


def stack_numbers(software: Software) -> StackNumbers:
    """The numbers of one profile."""
    near = or_one(software.ep_exposed)
    return StackNumbers(
        launch_floor_s=float(software.launch_floor),
        launch_floor_tp_ratio=float(software.launch_floor_tp_ratio),
        launch_floor_expert_ratio=or_one(software.launch_floor_expert_ratio),
        step_constant_s=float(software.step_constant),
        tp_exposed=float(software.tp_exposed),
        dp_exposed=float(software.dp_exposed),
        pp_exposed=float(software.pp_exposed),
        cp_exposed=or_one(software.cp_exposed),
        ep_exposed=near,
        ep_exposed_across=near if software.ep_exposed_across is None else float(software.ep_exposed_across),
        overlap_limit=float(software.overlap_limit),
        bubble=float(software.bubble),
        straggler=float(software.straggler),
        input_rate_bytes_per_s=np.inf if software.input_rate is None else float(software.input_rate),
    )


@dataclass(frozen=True, slots=True)
class Passes:
    """How often the layers run forward, and what that costs the host."""

    forward: Number
    """Forward passes of a layer in one micro-batch, repetitions counted."""
    floor_frac: Number
    """What repetitions add to the launch floor."""

    @classmethod
    def of(cls, recompute: str, layers_frac: float = 1.0) -> Passes:
        """Of a kind of recomputation in a share of the layers.

        >>> Passes.of("full").forward, Passes.of("none").forward
        (2.0, 1.0)
        """
        repeats = {"full": RECOMPUTE_FLOOR, "selective": 0.1 * RECOMPUTE_FLOOR}.get(recompute, 0.0)
        return cls(1.0 + (layers_frac if recompute == "full" else 0.0), repeats * layers_frac)
