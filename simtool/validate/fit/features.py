"""Everything of many published steps that no constant of a stack changes, as arrays with one entry a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from simtool.layout.layouts import Layouts
from simtool.machine.build import or_one
from simtool.step.communication import Communication
from simtool.step.pipeline import step_parts
from simtool.step.price import Seconds
from simtool.step.stack import Passes, StackNumbers
from simtool.step.step import StepInputs, step_inputs
from simtool.stepgraph import Kind, Number, Scope
from simtool.validate.case import Case
from simtool.workload.model import Model

Floats = NDArray[np.float64]
PRODUCT_KINDS = (Kind.GEMM.value, Kind.GROUPED_GEMM.value, Kind.CONVOLUTION.value)
OFFLOADED_BYTES = 4.0
"""A gradient leaves and a weight returns, two bytes each."""
HOST_OPTIMIZER_BYTES = 28.0
"""Adam on the host: weight, gradient and two moments in fp32, read, and three of them written."""
HOST_MEMORY_BYTES_PER_S = 2.0e11
"""Of one socket, shared by its accelerators' optimizers in turn: eight channels of DDR5."""


@dataclass(frozen=True, slots=True)
class _ModelNumbers:
    """The numbers of a `workload.model.Model` that a step's composition reads, one entry a step."""

    num_layers: Floats
    launches_per_layer: Floats
    expert_layer_frac: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Many steps at once. Device seconds are those of the accelerators' kernel curves alone."""

    cases: tuple[Case, ...]
    device: dict[Scope, Seconds]
    messages: Communication
    layouts: Layouts
    passes: Passes
    gradient_frac: Floats
    num_nodes: Floats
    host_s: Floats
    """Work that only the host does: an optimizer that was moved there."""
    input_core_bytes: Floats
    """What one core of the host prepares for one accelerator."""
    is_inferred: NDArray[np.bool_]
    """Whether recomputation was inferred from memory."""
    _model: _ModelNumbers

    @property
    def op_classes(self) -> tuple[str, ...]:
        """Classes of operations that any of the steps has."""
        return tuple(sorted({key[2] for seconds in self.device.values() for key in seconds.by_part}))

    def step_time_s(
        self,
        stack: StackNumbers,
        ratios: dict[str, Number],
        *,
        repeated: Number = 1.0,
        host_ratio: Number = 1.0,
    ) -> Floats:
        """Wall times.

        Args:
            stack: its numbers, one for all or one a step.
            ratios: time of a class of operations over the kernel curve, likewise; 1 where it is not named.
            repeated: share of the recomputation that really runs, where it was inferred.
            host_ratio: time of an optimizer on the host over the count of bytes.
        """
        repeated = np.where(self.is_inferred, repeated, 1.0)
        device = {scope: _scaled(seconds, ratios, repeated) for scope, seconds in self.device.items()}
        passes = Passes(1.0 + (self.passes.forward - 1.0) * repeated, self.passes.floor_frac * repeated)
        parts = step_parts(
            cast("Model", self._model),
            self.layouts,
            device,
            self.messages,
            stack,
            passes=passes,
            gradient_frac=cast("float", self.gradient_frac),
            num_nodes=self.num_nodes,
            input_core_bytes=self.input_core_bytes,
        )
        total: Number = self.host_s * host_ratio
        for seconds in parts.values():
            total = total + seconds
        return np.asarray(total, dtype=np.float64)


def _scaled(seconds: Seconds, ratios: dict[str, Number], repeated: Number) -> Seconds:
    by_part = {
        key: value * ratios.get(key[2], 1.0) * (repeated if key[0] == "recompute" else 1.0)
        for key, value in seconds.by_part.items()
    }
    flash = ratios.get(Kind.ATTENTION.value, 1.0)
    return Seconds(by_part, {backward: value * flash for backward, value in seconds.attention.items()})


def features_of(cases: Sequence[Case]) -> Features:
    """The features of expressed rows."""
    inputs = [_neutral_inputs(case) for case in cases]

    def column(pick: Callable[[Case], Any]) -> Floats:
        return np.array([float(pick(case)) for case in cases])

    passes = [Passes.of(case.job.recompute, case.job.recompute_frac) for case in cases]
    layouts = {
        one.name: column(lambda case, name=one.name: getattr(case.layouts, name))  # type: ignore[misc]
        for one in fields(Layouts)
        if one.name not in ("context_kind", "sequence_parallel")
    }
    return Features(
        cases=tuple(cases),
        device=_stacked(inputs),
        messages=_messages(inputs),
        layouts=Layouts(sequence_parallel=True, **layouts),  # type: ignore[arg-type]
        passes=Passes(
            np.array([one.forward for one in passes], float),
            np.array([one.floor_frac for one in passes], float),
        ),
        gradient_frac=column(
            lambda case: 1.0 if case.method is None else case.method.effect.communication_frac
        ),
        num_nodes=column(lambda case: case.num_devices / case.machine.accelerators_per_node),
        host_s=column(_host_optimizer_s),
        input_core_bytes=np.array([float(one.input_core_bytes) for one in inputs]),
        is_inferred=np.array(["R-fit" in case.rules for case in cases]),
        _model=_ModelNumbers(
            column(lambda case: case.model.num_layers),
            column(lambda case: case.model.launches_per_layer),
            column(lambda case: case.model.expert_layer_frac),
        ),
    )


def _neutral_inputs(case: Case) -> StepInputs:
    """Device seconds without the ratios of the profile's stack."""
    machine = case.machine
    device = replace(
        machine.device,
        attention_ratio=1.0,
        product_ratio=1.0,
        unfused_ratio=1.0,
        memory_ratio=1.0,
        grouped_ratio=1.0,
        convolution_ratio=1.0,
        low_precision_ratio={},
        irregular_ratio={},
        stack_ratio=1.0,
    )
    return step_inputs(case.job, case.layouts, replace(machine, device=device), case.method)


def _host_optimizer_s(case: Case) -> float:
    if "R-offload" not in case.rules:
        return 0.0
    weights = case.model.num_parameters / float(case.layouts.tp * case.layouts.pp * case.layouts.num_replicas)
    link = or_one(case.machine.accelerator.host_link)
    near = min(case.num_devices, float(case.machine.accelerators_per_node))
    return weights * (OFFLOADED_BYTES / link + near * HOST_OPTIMIZER_BYTES / (2.0 * HOST_MEMORY_BYTES_PER_S))


def _stacked(inputs: Sequence[StepInputs]) -> dict[Scope, Seconds]:
    found = {}
    for scope in Scope:
        keys = sorted({key for one in inputs for key in one.device[scope].by_part})
        by_part: dict[tuple[str, str, str], Number] = {
            key: np.array([float(one.device[scope].by_part.get(key, 0.0)) for one in inputs]) for key in keys
        }
        attention: dict[bool, Number] = {
            backward: np.array([float(one.device[scope].attention.get(backward, 0.0)) for one in inputs])
            for backward in (False, True)
        }
        found[scope] = Seconds(by_part, attention)
    return found


def _messages(inputs: Sequence[StepInputs]) -> Communication:
    return Communication(
        **{
            one.name: np.array([getattr(given.messages, one.name) for given in inputs])
            for one in fields(Communication)
        }
    )
