"""Efficiency curves from the calls of profiled runs, beginning at those of a hardware profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from simtool.calibrate.fit import ATTENTION, GEMM, MEMORY, Coefficient, Predict
from simtool.calibrate.prior_fit import LEAST_GROUPS, PriorFit, fit_with_prior
from simtool.calibrate.profiled_calls import ITEM_BYTES, Call
from simtool.calibrate.tables import FloatArray, KernelTable
from simtool.calibrate.trace_tables import CACHE_FACTOR, UNKNOWN_CACHE_BYTES
from simtool.machine.attention import attention_time_s
from simtool.machine.gemm import gemm_time_s
from simtool.machine.memory_bound import memory_time_s
from simtool.profiles.schema import Accelerator
from simtool.provenance import Sourced
from simtool.rng import stream
from simtool.trace.source import counted

MEASURED_WIDTH = 0.5
"""Width of a shape's prior that was measured on this device with another release of the libraries, over that of the
physical prior of a device of which nothing was measured."""
LEVELS = {"peak_frac": 0.3, "bandwidth_frac": 0.3, "latency": 0.5}
"""How far another library, clock or memory layout moves the level of a whole class, relative: FlashAttention 2 reaches
about half of what version 3 does on the same board, unaligned element-wise kernels half of what aligned ones do."""
BACKWARD_DEVIATION = 0.15
"""Of ratios of backward to forward: between A100 and B200."""
STEP_SHARE = 0.005
"""A shape with this share of its class's time is one that a step is made of."""
LEAST_STEPS = 3
"""Steps from which on a single shape is held out by steps."""
FASTEST = 1.02
"""Of a peak rate: a product that ran faster did not run on this device, or its shapes are not what was done."""
FASTEST_CACHE = 4.0
"""Of the memory's bandwidth: caches of the last level reach two to three times as much; what moved faster did not
move the bytes that its shapes say (a look-up reads a few rows of a table)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What the curves are shares of, and where they begin."""

    name: str
    """Of the profile."""
    accelerator: Accelerator
    cache_bytes: float = UNKNOWN_CACHE_BYTES

    def rate(self, name: str) -> float:
        """Peak rate of a number format [FLOP/s]; 0 where the profile states none."""
        return float(self.accelerator.peak[name]) if name in self.accelerator.peak else 0.0

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Of the memory."""
        return float(self.accelerator.memory.bandwidth)

    @property
    def num_processors(self) -> int | None:
        """Multiprocessors, where they are known."""
        return self.accelerator.num_processors


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFit:
    """One class of work: its calls in the order of the table's rows, and the fit or why there is none."""

    op_class: str
    calls: tuple[Call, ...]
    rates: tuple[str, ...]
    """Number formats that were fitted."""
    held_out_by: str
    """shapes or steps; empty where nothing was fitted."""
    fit: PriorFit | None
    reason: str = ""
    """Why nothing was fitted."""
    others: Mapping[str, tuple[int, float]]
    """Of number formats, and of convolutions as products of their size, that were not fitted: how many shapes, and the
    median of measured over predicted time."""

    @property
    def is_taken(self) -> bool:
        """Whether the fit takes the place of the prior."""
        return self.fit is not None and self.fit.is_taken


def believable(calls: Sequence[Call], hardware: Hardware) -> tuple[list[Call], list[Call]]:
    """Calls that the device can have done, and those that would need more than its peak rates."""
    kept: list[Call] = []
    odd: list[Call] = []
    for call in calls:
        rate = hardware.rate(call.rate)
        too_fast = call.op_class != "memory" and rate > 0 and call.flop / call.time_s > FASTEST * rate
        moved = call.size_bytes / call.time_s > FASTEST_CACHE * hardware.bandwidth_bytes_per_s
        (odd if too_fast or (call.op_class == "memory" and moved) else kept).append(call)
    return kept, odd


def fit_gemm(calls: Sequence[Call], hardware: Hardware, seed: int) -> ClassFit:
    """Products, over rows, columns, inner size and layout."""
    section = hardware.accelerator.efficiency.gemm
    chosen = _products(calls, hardware)
    rates = _main_rates(chosen)
    usual = [call for call in chosen if call.rate in rates]
    has_weight = any(call.layout == "NT" for call in usual)
    priors, fixed = _priors(section, GEMM, weight_gradient_ratio=has_weight)

    def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
        c = rows.columns
        whole = SimpleNamespace(**{**fixed, **vars(curve)})
        time_s = gemm_time_s(
            c["m"], c["n"], c["k"], peak_flop_per_s=c["peak_flop_per_s"],
            num_processors=hardware.num_processors, bandwidth_bytes_per_s=hardware.bandwidth_bytes_per_s,
            element_bytes=c["element_bytes"], curve=whole, batch=c["batch"],
        )  # fmt: skip
        return np.asarray(np.where(c["is_weight"] > 0, whole.weight_gradient_ratio, 1.0) * time_s)

    rest = _by_rate(chosen, rates)
    rest["conv"] = [call for call in calls if call.op_class == "conv" and hardware.rate(call.rate)]
    return _fitted(
        "gemm", usual, rest, rates, priors, predict, lambda some: _table(some, hardware, "gemm", seed), seed
    )


def fit_attention(calls: Sequence[Call], hardware: Hardware, seed: int) -> ClassFit:
    """Fused attention, forward and backward, over heads, lengths and masks."""
    section = hardware.accelerator.efficiency.attention
    chosen = [call for call in calls if call.op_class == "attention" and hardware.rate(call.rate)]
    rates = _main_rates(chosen)
    usual = [call for call in chosen if call.rate in rates]
    usual_prior = {name: one for name, one in ATTENTION.items() if not one.is_nuisance}
    priors, fixed = _priors(section, usual_prior, backward_ratio=any(call.is_backward for call in usual))

    def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
        c = rows.columns
        whole = SimpleNamespace(**{**fixed, **vars(curve)})
        forward_s, backward_s = (
            attention_time_s(
                c["batch"], c["num_heads"], c["seq_len"], c["head_dim"], peak_flop_per_s=c["peak_flop_per_s"],
                num_processors=hardware.num_processors, bandwidth_bytes_per_s=hardware.bandwidth_bytes_per_s,
                element_bytes=c["element_bytes"], curve=whole, num_kv_heads=c["num_kv_heads"],
                num_keys=c["num_keys"], backward=backward,
            )
            for backward in (False, True)
        )  # fmt: skip
        return np.asarray(np.where(c["is_backward"] > 0, backward_s, forward_s))

    return _fitted(
        "attention", usual, _by_rate(chosen, rates), rates, priors, predict,
        lambda some: _table(some, hardware, "attention", seed), seed,
    )  # fmt: skip


def fit_memory(calls: Sequence[Call], hardware: Hardware, seed: int) -> ClassFit:
    """Memory-bound operations, over the bytes they move."""
    chosen = [call for call in calls if call.op_class == "memory"]
    # What the cache keeps between the operations of a step counts: a benchmark's repeated kernel is not among them.
    physical = {name: one for name, one in MEMORY.items() if not one.is_nuisance}
    priors, fixed = _priors(hardware.accelerator.efficiency.memory, physical)

    def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
        whole = SimpleNamespace(**{**fixed, **vars(curve)})
        time_s = memory_time_s(
            rows.columns["num_bytes"], bandwidth_bytes_per_s=hardware.bandwidth_bytes_per_s, curve=whole
        )
        return np.asarray(time_s)

    return _fitted(
        "memory", chosen, {}, ("all",) if chosen else (), priors, predict,
        lambda some: _table(some, hardware, "memory", seed), seed,
    )  # fmt: skip


def _products(calls: Sequence[Call], hardware: Hardware) -> list[Call]:
    return [call for call in calls if call.op_class == "gemm" and hardware.rate(call.rate)]


def _main_rates(calls: Sequence[Call]) -> tuple[str, ...]:
    """The number format of most time; bf16 and fp16 run at one rate and count as one."""
    spent: dict[str, float] = {}
    for call in calls:
        spent[call.rate] = spent.get(call.rate, 0.0) + call.total_s
    if not spent:
        return ()
    main = max(spent, key=lambda rate: spent[rate])
    halves = tuple(rate for rate in ("bf16", "fp16") if rate in spent)
    return halves if main in halves else (main,)


def _by_rate(calls: Sequence[Call], rates: tuple[str, ...]) -> dict[str, Sequence[Call]]:
    """Calls in the other number formats."""
    others = sorted({call.rate for call in calls} - set(rates))
    return {rate: [call for call in calls if call.rate == rate] for rate in others}


def _priors(
    section: Any, physical: Mapping[str, Coefficient], **present: bool
) -> tuple[dict[str, Coefficient], dict[str, float]]:
    """Coefficients that may move, and values of all that the profile states.

    Args:
        section: of the profile, such as its ``gemm``.
        physical: priors of devices of which nothing is known.
        present: ratios of the section, and whether the data hold what they speak of.
    """
    width = MEASURED_WIDTH if section.basis == "measured" else 1.0
    free: dict[str, Coefficient] = {}
    fixed: dict[str, float] = {}
    for name, usual in physical.items():
        number: Sourced = getattr(section, name)
        fixed[name] = value = float(number)
        if 0.0 < value < (1.0 if usual.is_frac else np.inf):
            known = max(number.spread or 0.0, LEVELS.get(name, 0.0)) / (1.0 - value if usual.is_frac else 1.0)
            free[name] = Coefficient(value, max(width * usual.deviation, known), is_frac=usual.is_frac)
    for name, is_present in present.items():
        number = getattr(section, name)
        fixed[name] = float(number)
        if is_present:
            free[name] = Coefficient(float(number), max(BACKWARD_DEVIATION, number.spread or 0.0))
    return free, fixed


def _fitted(
    op_class: str, usual: Sequence[Call], rest: Mapping[str, Sequence[Call]], rates: tuple[str, ...],
    priors: Mapping[str, Coefficient], predict: Predict, tabulate: Callable[[Sequence[Call]], KernelTable], seed: int,
) -> ClassFit:  # fmt: skip
    """Fit the usual calls, and compare the rest with them."""
    told: dict[str, Any] = {"op_class": op_class, "rates": rates, "others": {}}
    if not usual:
        return ClassFit(
            **told, calls=(), held_out_by="", fit=None, reason="no call of a known size and format"
        )
    table, calls, by = tabulate(usual), tuple(usual), "shapes"
    if table.num_groups < LEAST_GROUPS:
        calls, by = _by_steps(usual), "steps"
        whole = tabulate(calls)
        steps = np.unique([next(iter(call.steps)) for call in calls], return_inverse=True)[1].reshape(-1)
        drawn = stream(seed, "calibrate", f"steps of {op_class}").permutation(int(steps.max()) + 1)
        table = replace(whole, group=np.asarray(drawn[steps], np.intp))
        if table.num_groups < LEAST_STEPS:
            reason = f"one shape in {counted(table.num_groups, 'step')}: nothing can be held out"
            return ClassFit(**told, calls=tuple(usual), held_out_by="", fit=None, reason=reason)
    fit = fit_with_prior(table, priors, predict)
    for what, some in rest.items():
        if some:
            seen = tabulate(some)
            told["others"][what] = (len(seen), float(np.median(seen.time_s / predict(fit.taken_curve, seen))))
    return ClassFit(**told, calls=calls, held_out_by=by, fit=fit)


def _by_steps(calls: Sequence[Call]) -> tuple[Call, ...]:
    """Every step of every call as an observation of its own."""
    return tuple(
        replace(call, time_s=time_s, steps={step: time_s}, total_s=call.total_s / len(call.steps))
        for call in calls
        for step, time_s in call.steps.items()
    )


_GROUPS: Mapping[str, tuple[str, ...]] = {
    "gemm": ("batch", "n", "k"),
    "attention": ("num_heads", "num_kv_heads", "head_dim", "seq_len"),
}


def _table(calls: Sequence[Call], hardware: Hardware, op_class: str, seed: int) -> KernelTable:
    names = tuple(calls[0].sizes)
    columns = {name: np.array([call.sizes[name] for call in calls]) for name in names}
    time_s = np.array([call.time_s for call in calls])
    total = np.array([call.total_s for call in calls])
    if op_class == "memory":
        work = columns["num_bytes"]
        # operations on one tensor carry one number, whatever they do with it
        keys: list[tuple[float, ...]] = [(round(4.0 * np.log2(size)),) for size in work.tolist()]
        is_main = (work > CACHE_FACTOR * hardware.cache_bytes) | (total > STEP_SHARE * total.sum())
    else:
        columns["peak_flop_per_s"] = np.array([hardware.rate(call.rate) for call in calls])
        columns["element_bytes"] = np.array([ITEM_BYTES[call.rate] for call in calls])
        columns["is_weight"] = np.array([float(call.layout == "NT") for call in calls])
        columns["is_backward"] = np.array([float(call.is_backward) for call in calls])
        work = np.array([call.flop for call in calls])
        keys = [tuple(call.sizes[name] for name in _GROUPS[op_class]) for call in calls]
        is_main = total > STEP_SHARE * total.sum()
    distinct = sorted(set(keys))
    drawn = stream(seed, "calibrate", op_class).permutation(len(distinct))
    number = {key: int(place) for key, place in zip(distinct, drawn, strict=True)}
    return KernelTable(
        columns=columns, time_s=time_s, work=work, is_training=is_main,
        group=np.array([number[key] for key in keys], dtype=np.intp),
    )  # fmt: skip
