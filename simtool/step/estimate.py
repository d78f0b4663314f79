"""The result of pricing one training step: seconds, joules and bytes, each by part."""

from __future__ import annotations

from dataclasses import dataclass, field

from simtool.layout.memory import MemoryEstimate
from simtool.machine.machine import StatePower
from simtool.stepgraph import Number

STEP_PARTS = (
    "forward",
    "backward_input",
    "backward_weight",
    "recompute",
    "optimizer",
    "data",
    "launch",
    "tensor_communication",
    "context_communication",
    "expert_communication",
    "pipeline_communication",
    "data_communication",
    "bubble",
    "host",
    "straggler",
)
"""Parts of a step's wall time on the critical path; they sum to it. Communication is the exposed
part only; ``launch`` is time the device waits for the host to launch work; ``host`` is work of the
host once a step; ``straggler`` is waiting for the slowest rank."""

STEP_STATES: dict[str, tuple[str, ...]] = {
    "compute": ("forward", "backward_input", "backward_weight", "recompute", "optimizer", "data"),
    "exposed_communication": (
        "tensor_communication",
        "context_communication",
        "expert_communication",
        "pipeline_communication",
        "data_communication",
    ),
    "bubble": ("bubble", "launch", "host", "straggler"),
}
"""Ledger state of every part: what an accelerator does while the part passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEstimate:
    """One optimizer step of the whole job, seen from one accelerator.

    Every number is a scalar or an array over candidates.
    """

    seconds: dict[str, Number]
    """Wall time by part, keys `STEP_PARTS`; their sum is `step_time_s`."""
    power: dict[str, StatePower]
    """Power by state: the keys of `STEP_STATES`, and ``idle``."""
    memory: MemoryEstimate
    num_devices: Number
    tokens_per_step: Number
    model_flop_per_step: Number
    """Work that the model needs (`Model.model_flop_per_token`: no recomputation, attention over
    the full square), less what a method skips."""
    hardware_flop_per_step: Number
    """The same with recomputation added, by the same way of counting."""
    peak_flop_per_s: Number
    """Dense peak rate of one accelerator at the precision, in 8 and 4 bits that of the linear layers."""
    power_peak_w: Number
    """Highest power of one accelerator within the step."""
    notes: tuple[str, ...] = field(default=())
    """What is transferred or assumed in this estimate."""

    @property
    def step_time_s(self) -> Number:
        """Wall time of the step."""
        total: Number = 0.0
        for part in STEP_PARTS:
            total = total + self.seconds[part]
        return total

    def state_frac(self, state: str) -> Number:
        """Share of the step that an accelerator spends in `state`."""
        total: Number = 0.0
        for part in STEP_STATES[state]:
            total = total + self.seconds[part]
        return total / self.step_time_s

    @property
    def tokens_per_s(self) -> Number:
        """Throughput of the whole job while it trains."""
        return self.tokens_per_step / self.step_time_s

    @property
    def mfu(self) -> Number:
        """Model FLOP utilisation: model work / (time x devices x dense peak)."""
        return self.model_flop_per_step / (self.step_time_s * self.num_devices * self.peak_flop_per_s)

    @property
    def hfu(self) -> Number:
        """Hardware FLOP utilisation: executed work / (time x devices x dense peak)."""
        return self.hardware_flop_per_step / (self.step_time_s * self.num_devices * self.peak_flop_per_s)

    @property
    def energy_it_j(self) -> Number:
        """Energy of one step at the IT plug, all accelerators with host and network."""
        total: Number = 0.0
        for state in STEP_STATES:
            total = total + self.power[state].total_w * self.state_frac(state)
        return total * self.step_time_s * self.num_devices
