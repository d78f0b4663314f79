"""A captured workload as a step graph: its operations at one size and precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from simtool.stepgraph import PRODUCTS, Kind, Number, Op, Phase, Scope, StepGraph
from simtool.workload.amount import Amount
from simtool.workload.block import (
    ACCUMULATE_BYTES_PER_WEIGHT,
    FLASH_BACKWARD_FLOP,
    UNFUSED_BACKWARD_FLOP,
    UNFUSED_PASSES,
)
from simtool.workload.captured import CapturedOp, moved, read_workload
from simtool.workload.captured_model import STATE_BYTES, CapturedModel
from simtool.workload.graphs import step_graph
from simtool.workload.precision import BYTES_PER_ELEMENT, COPIES_OF_LOW, Precision


def read_model(path: Path) -> CapturedModel:
    """The model of a workload file.

    Raises:
        InputError: not a file of that kind.
    """
    return CapturedModel(read_workload(path))


@step_graph.register
def captured_step_graph(
    model: CapturedModel,
    *,
    seq_len: int,
    micro_batch: Number,
    precision: str,
    attention: str,
    gradient_sum: str = "fused",
) -> StepGraph:
    """The operations of one micro-batch, unsharded; arguments as `workload.transformer.build_step_graph`'s."""
    workload = model.workload
    write = _Writer(workload.kernels, Precision(precision), attention, micro_batch, seq_len)
    ops = [op for part in workload.before.ops for op in write.ops(part, Scope.EMBEDDING)]
    for layer in workload.layers:
        share = layer.repeats / workload.num_layers
        ops += [
            replace(op, count=share * op.count, launches=share * op.launches)
            for captured in layer.ops
            for op in write.ops(captured, Scope.LAYER)
        ]
    ops += [op for part in workload.after.ops for op in write.ops(part, Scope.HEAD)]
    if gradient_sum == "separate" and any(op.phase is not Phase.FORWARD for op in ops):
        for scope, weights in (
            (Scope.EMBEDDING, workload.before.parameters),
            (Scope.LAYER, model.parameters_per_layer),
            (Scope.HEAD, workload.after.parameters + workload.tied_parameters),
        ):
            ops.append(
                _memory(
                    "accumulate_gradients",
                    Phase.BACKWARD_WEIGHT,
                    scope,
                    ACCUMULATE_BYTES_PER_WEIGHT * weights,
                )
            )
    inputs = workload.input_bytes.at(micro_batch, seq_len)
    ops.append(_memory("load_inputs", Phase.DATA, Scope.EMBEDDING, inputs))
    return StepGraph(
        ops=(*ops, *_optimizer(model, write)),
        num_layers=workload.num_layers,
        tokens_per_micro_batch=micro_batch * seq_len,
        facts=model,
    )


@dataclass(frozen=True, slots=True)
class _Writer:
    """Captured operations at one size and precision."""

    kernels: str
    precision: Precision
    attention: str
    batch: Number
    seq_len: int

    def at(self, amount: Amount) -> Number:
        """An amount at this size."""
        return amount.at(self.batch, self.seq_len)

    def ops(self, captured: CapturedOp, scope: Scope) -> Iterator[Op]:
        """An operation, and before it the quantisation of what it reads where it runs in 8 or 4 bits."""
        phase = Phase(captured.phase)
        kind = Kind(captured.kind)
        is_low = self.precision.is_low and scope is Scope.LAYER and kind is Kind.GEMM and not captured.dtype
        dtype = captured.dtype or (self.precision.name if is_low else self.precision.base)
        elements, others = moved(captured, self.kernels)
        num_bytes = self.at(elements) * self.precision.size + self.at(others)
        if kind in PRODUCTS:
            op = self._product(captured, kind, phase, scope, dtype, num_bytes)
            if is_low and phase is not Phase.BACKWARD_WEIGHT:  # of the activations, as Block.linear does
                copies = self.precision.size + COPIES_OF_LOW * self.precision.linear_size
                yield _memory(
                    f"quantise_{captured.name}", phase, scope, copies * op.m * op.k, count=captured.count
                )
        elif kind is Kind.ATTENTION:
            op = self._attention(captured, phase, scope, dtype, num_bytes)
        else:
            op = _memory(captured.name, phase, scope, num_bytes, dtype, captured.count)
        launches = captured.launches if self.kernels == "eager" else 1
        yield replace(op, launches=float(launches * captured.count))

    def _product(
        self, captured: CapturedOp, kind: Kind, phase: Phase, scope: Scope, dtype: str, num_bytes: Number
    ) -> Op:
        m, n, k, batch = (self.at(amount) for amount in (captured.m, captured.n, captured.k, captured.batch))
        if kind is not Kind.CONVOLUTION:
            num_bytes = BYTES_PER_ELEMENT[dtype] * batch * (m * k + k * n + m * n)
        return Op(
            name=captured.name,
            kind=kind,
            phase=phase,
            scope=scope,
            dtype=dtype,
            flop=2.0 * batch * m * n * k,
            bytes=num_bytes,
            m=m,
            n=n,
            k=k,
            batch=batch,
            count=float(captured.count),
        )

    def _attention(
        self, captured: CapturedOp, phase: Phase, scope: Scope, dtype: str, num_bytes: Number
    ) -> Op:
        """As `Block.attention`: a flash kernel skips what a causal mask hides, unfused products do not."""
        m, n, k, keys = (self.at(amount) for amount in (captured.m, captured.n, captured.k, captured.keys))
        is_flash, is_causal = self.attention == "flash", not captured.keys
        length = m if is_causal else keys
        seen = 0.5 * m if is_causal and is_flash else length
        ratio = FLASH_BACKWARD_FLOP if is_flash else UNFUSED_BACKWARD_FLOP
        if not is_flash:
            passes = UNFUSED_PASSES * (1.0 if phase is Phase.FORWARD else 2.0)
            num_bytes = num_bytes + passes * k * m * length * self.precision.size
        return Op(
            name=captured.name,
            kind=Kind.ATTENTION if is_flash else Kind.UNFUSED_ATTENTION,
            phase=phase,
            scope=scope,
            dtype=dtype,
            flop=4.0 * k * m * n * seen * (1.0 if phase is Phase.FORWARD else ratio),
            bytes=num_bytes,
            m=m,
            n=n,
            k=k,
            keys=keys,
            count=float(captured.count),
            recomputable="selective",
        )


def _memory(
    name: str, phase: Phase, scope: Scope, num_bytes: Number, dtype: str = "fp32", count: float = 1.0
) -> Op:
    return Op(
        name=name,
        kind=Kind.MEMORY,
        phase=phase,
        scope=scope,
        dtype=dtype,
        bytes=num_bytes,
        count=float(count),
    )


def _optimizer(model: CapturedModel, write: _Writer) -> Iterator[Op]:
    """One pass over weights, gradients and states in fp32, and the working copy of the weights written."""
    captured = model.workload.optimizer
    elements = captured.eager_elements if write.kernels == "eager" else captured.elements
    copy = write.precision.size if write.precision.size < STATE_BYTES else 0.0
    num_bytes = STATE_BYTES * elements + copy * model.num_parameters
    yield _memory(captured.name, Phase.OPTIMIZER, Scope.STEP, num_bytes)
    for op in captured.ops:
        yield from write.ops(op, Scope.STEP)
