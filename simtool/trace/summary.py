"""What an imported trace says: device, steps, where the time went, how near to the peak, what was metered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simtool.trace.device_name import nearest_size, profile_names
from simtool.trace.importing import Imported
from simtool.trace.kernels import NOTHING, KernelTable
from simtool.trace.op_class import OP_CLASSES

if TYPE_CHECKING:
    from simtool.profiles.find import ProfileLibrary

_PEAKS = {
    "float64": "fp64", "float32": "fp32", "tf32": "tf32", "bfloat16": "bf16", "float16": "fp16", "int8": "int8",
    "float8": "fp8", "float8_e4m3fn": "fp8", "float8_e5m2": "fp8", "float8_e4m3fnuz": "fp8",
    "float8_e5m2fnuz": "fp8",
}  # fmt: skip
PRODUCTS = ("gemm", "attention", "conv")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTime:
    """Time of one class of ops in a step of one rank, mean."""

    op_class: str
    duration_s: float
    """Sum of durations; kernels that run at the same time count each."""
    share_frac: float
    """Of all classes."""
    num_ops: float
    flop: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTime:
    """One kernel, all its launches in steps."""

    name: str
    op_class: str
    operator: str
    num_launches: int
    duration_s: float
    share_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Achieved:
    """How near to the device's dense peak rates the counted operations came."""

    profile: str
    of_step_frac: float
    """Time that the operations need at the peak rate of their format, of the time of the steps."""
    of_products_frac: float
    """The same, of the time of the kernels that did them."""
    counted_frac: float
    """Share of the time of products, convolutions and attention whose operations are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFound:
    """What one meter says."""

    meter: str
    num_readings: int
    mean_w: float | None
    """Mean over the time that is known; of the steps, where the clocks are aligned."""
    energy_j: float | None
    rank: int | None
    scope: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything that `simtool import` prints."""

    device: str
    num_ranks: int
    num_ops: int
    num_steps: int
    step_s: tuple[float, float, float] | None
    """Shortest, median and longest step."""
    busy_frac: float | None
    idle_frac: float | None
    by_class: tuple[ClassTime, ...]
    top: tuple[KernelTime, ...]
    flop_per_step: float | None
    """Of one rank."""
    achieved: Achieved | None
    peak_note: str
    """Why no share of peak is told; empty where it is."""
    communication_frac: float | None
    """Of the time of the steps."""
    exposed_communication_frac: float | None
    energy_per_step_j: float | None
    """Of one rank's device, mean over the steps of which it is known."""
    power: tuple[PowerFound, ...]
    power_coverage_frac: float | None
    power_offset_s: float | None
    """What to add to a time of the power log as written, as ``--power-offset`` takes it."""
    power_offset_error_s: float | None
    power_alignment: str
    sources: tuple[str, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data, names with units."""
        return asdict(self)


def summarise(imported: Imported, library: ProfileLibrary | None = None, num_top: int = 8) -> Summary:
    """What an imported trace says.

    Args:
        imported: the trace.
        library: hardware profiles; without it no share of peak is told.
        num_top: kernels that are listed.
    """
    manifest, steps = imported.manifest, imported.steps
    kernels = imported.kernels
    inside = kernels.keep(kernels.numbers("step") != NOTHING) if len(kernels) else kernels
    whole_s = sum(step.duration_s for step in steps)
    durations = sorted(step.duration_s for step in steps)
    flops = [step.flop for step in steps if step.flop is not None]
    energies = [step.energy_j for step in steps if step.energy_j is not None]
    achieved, peak_note = _achieved(imported, inside, whole_s, library) if steps else (None, "")

    def share(seconds: float) -> float | None:
        return seconds / whole_s if whole_s > 0 else None

    busy = share(sum(step.busy_s for step in steps))
    clock = manifest.clock
    return Summary(
        device=manifest.device.name, num_ranks=len(imported.devices), num_ops=len(kernels),
        num_steps=len({step.step for step in steps}),
        step_s=(durations[0], float(np.median(durations)), durations[-1]) if durations else None,
        busy_frac=busy, idle_frac=None if busy is None else max(0.0, 1.0 - busy),
        by_class=_by_class(inside, max(1, len(steps))), top=_top(inside, num_top),
        flop_per_step=float(np.mean(flops)) if flops else None, achieved=achieved, peak_note=peak_note,
        communication_frac=share(sum(step.communication_s for step in steps)),
        exposed_communication_frac=share(sum(step.exposed_communication_s for step in steps)),
        energy_per_step_j=float(np.mean(energies)) if energies else None,
        power=_power(imported), power_coverage_frac=manifest.power.coverage_frac,
        power_offset_s=imported.metering.written_offset_s if clock.alignment else None,
        power_offset_error_s=clock.offset_error_s, power_alignment=clock.alignment,
        sources=manifest.sources, notes=imported.notes,
    )  # fmt: skip


def _by_class(kernels: KernelTable, num_steps: int) -> tuple[ClassTime, ...]:
    numbers, words = kernels.texts("op_class")
    duration, flop = kernels.numbers("duration_s"), kernels.numbers("flop")
    whole = float(duration.sum())
    found = []
    for op_class in OP_CLASSES:
        here = numbers == words.index(op_class) if op_class in words else np.zeros(len(duration), bool)
        if here.any():
            seconds, counted = float(duration[here].sum()), flop[here & ~np.isnan(flop)]
            found.append(
                ClassTime(
                    op_class=op_class, duration_s=seconds / num_steps,
                    share_frac=seconds / whole if whole > 0 else 0.0, num_ops=float(here.sum()) / num_steps,
                    flop=float(counted.sum()) / num_steps if len(counted) else None,
                )
            )  # fmt: skip
    return tuple(sorted(found, key=lambda one: -one.duration_s))


def _top(kernels: KernelTable, num_top: int) -> tuple[KernelTime, ...]:
    numbers, names = kernels.texts("name")
    duration = kernels.numbers("duration_s")
    if not len(numbers):
        return ()
    whole = float(duration.sum())
    seconds = np.bincount(numbers, duration, len(names))
    classes, class_words = kernels.texts("op_class")
    operators, operator_words = kernels.texts("operator")
    found = []
    for place in np.argsort(-seconds, kind="stable")[:num_top].tolist():
        here = np.flatnonzero(numbers == place)
        called = operators[here][operators[here] >= 0]
        operator = operator_words[int(np.bincount(called).argmax())] if len(called) else ""
        found.append(
            KernelTime(
                name=names[place], op_class=class_words[int(np.bincount(classes[here]).argmax())],
                operator=operator, num_launches=len(here), duration_s=float(seconds[place]),
                share_frac=float(seconds[place]) / whole if whole > 0 else 0.0,
            )
        )  # fmt: skip
    return tuple(found)


def _achieved(
    imported: Imported, kernels: KernelTable, whole_s: float, library: ProfileLibrary | None
) -> tuple[Achieved | None, str]:
    """Share of peak, or why there is none."""
    duration, flop = kernels.numbers("duration_s"), kernels.numbers("flop")
    counts = ~np.isnan(flop) & (flop > 0)
    products = kernels.where("op_class", *PRODUCTS)
    if not counts.any():
        return None, "no operations are known: shapes were not recorded"
    if library is None:
        return None, "no hardware profiles were given"
    found = _peaks(imported, library)
    if found is None:
        name = imported.manifest.device.name
        return None, f"no hardware profile is known of {name!r}" if name else "the device has no name"
    profile, peaks = found
    numbers, words = kernels.texts("dtype")
    rates = np.array([*(peaks.get(_PEAKS.get(word, ""), np.nan) for word in words), np.nan])
    rate = rates[numbers]  # the last one stands for a format that is not known
    rated = counts & ~np.isnan(rate)
    if not rated.any() or whole_s <= 0:
        return None, f"{profile} states no rate for the formats that were used"
    ideal_s = float(np.sum(flop[rated] / rate[rated]))
    time_s = float(duration[products].sum())
    return Achieved(
        profile=profile, of_step_frac=ideal_s / whole_s,
        of_products_frac=ideal_s / float(duration[rated].sum()) if duration[rated].sum() > 0 else 0.0,
        counted_frac=float(duration[rated & products].sum()) / time_s if time_s > 0 else 0.0,
    ), ""  # fmt: skip


def _peaks(imported: Imported, library: ProfileLibrary) -> tuple[str, Mapping[str, float]] | None:
    device = imported.manifest.device
    names = profile_names(device.name, library.names("accelerator"))
    if not names:
        return None
    sizes = (
        {name: float(library.get("accelerator", name).memory.size) for name in names}
        if len(names) > 1
        else {}
    )
    chosen = nearest_size(names, sizes, device.memory_size_bytes)
    profile = library.get("accelerator", chosen)
    return chosen, {dtype: float(rate) for dtype, rate in profile.peak.items()}


def _power(imported: Imported) -> tuple[PowerFound, ...]:
    found = []
    for one in imported.metering.meters:
        log = one.log
        bounds = (float(log.edges_s[0]), float(log.edges_s[-1]))
        if one.alignment is not None and imported.steps:
            offset_s = imported.metering.offset_s
            own = [step for step in imported.steps if one.rank in (None, step.rank)]
            bounds = (
                min(step.begin_s for step in own) - offset_s,
                max(step.end_s for step in own) - offset_s,
            )
        energy_j, covered_s = log.energy_between(*bounds)
        found.append(
            PowerFound(
                meter=one.name, num_readings=len(log.log.times_s),
                mean_w=energy_j / covered_s if covered_s > 0 else None,
                energy_j=energy_j if covered_s > 0 else None, rank=one.rank, scope=log.log.scope, kind=log.log.kind,
            )
        )  # fmt: skip
    return tuple(found)
