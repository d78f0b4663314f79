"""Start-up and efficiency of the fast domain's links from collectives that a profiler saw.

A kernel of a collective also waits for the slowest rank. What the wire needs shows in the quickest calls: of
each size the 10th percentile over ranks and steps counts, and with one rank in the trace that may still wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from simtool.calibrate.fit import Coefficient
from simtool.calibrate.prior_fit import LEAST_GROUPS, PriorFit, fit_with_prior
from simtool.calibrate.profiled_curves import LEVELS, Hardware
from simtool.calibrate.profiled_runs import Run
from simtool.calibrate.tables import FloatArray, KernelTable
from simtool.machine.collectives import KINDS, collective_time_s
from simtool.machine.network import Fabric, build_fabric
from simtool.profiles.find import ProfileLibrary
from simtool.rng import stream
from simtool.trace.kernels import NOTHING
from simtool.trace.source import counted

QUICK_PERCENT = 10.0
"""Of the calls of one size, the quickest tenth did not wait."""
LEAST_OF_PRIOR = 1.0 / 3.0
"""Of the profile's efficiency: no library and no message size makes a link slower; another link does, and waiting."""
HIGHEST_SHARE = 0.98
"""An efficiency of 1 cannot move."""
_NAMES = {"send_recv": "point_to_point"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """Calls of one kind, size and group."""

    kind: str
    size_bytes: float
    """Full buffer, as `machine.collectives` counts it."""
    group_size: int
    time_s: float
    num_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFit:
    """What was found of the fast domain."""

    network: str
    """Profile of the network at whose figures the fit began; empty where there is no domain."""
    collectives: tuple[Collective, ...]
    """In the order of the table's rows, or all that were told where nothing was fitted."""
    fit: PriorFit | None
    reason: str = ""


def fit_links(runs: Sequence[Run], hardware: Hardware, library: ProfileLibrary, seed: int) -> LinkFit:
    """Fit the links of the domain that `hardware` stands in."""
    accelerator = hardware.accelerator
    if accelerator.scale_up is None:
        return LinkFit(
            network="", collectives=(), fit=None, reason=f"{hardware.name} stands in no fast domain"
        )
    network = accelerator.scale_up.network
    seen = any(run.kernels.where("op_class", "communication").any() for run in runs)
    told = _collectives(runs)
    if not told:
        reason = (
            "the sizes of the collectives were not recorded" if seen else "no collective is in the traces"
        )
        return LinkFit(network=network, collectives=(), fit=None, reason=reason)
    node = library.get("node", accelerator.node)
    outside = library.get("network", node.network or "ib-ndr")
    fabric = build_fabric(accelerator, node, outside, library, num_nodes=1)
    inside = [one for one in told if one.group_size <= fabric.accelerators_per_domain]
    sizes = sorted({(one.kind, one.size_bytes, one.group_size) for one in inside})
    if len(sizes) < LEAST_GROUPS:
        reason = f"{counted(len(sizes), 'size')} of collectives within the domain, at least {LEAST_GROUPS} are needed"
        return LinkFit(network=network, collectives=tuple(told), fit=None, reason=reason)
    profile = library.get("network", network)
    share = min(HIGHEST_SHARE, float(profile.efficiency))
    priors = {
        "efficiency": Coefficient(share, LEVELS["bandwidth_frac"] / (1.0 - share), is_frac=True),
        "collective_latency": Coefficient(float(profile.collective_latency), LEVELS["latency"]),
    }  # fmt: skip
    drawn = stream(seed, "calibrate", "links").permutation(len(sizes))
    number = {size: int(place) for size, place in zip(sizes, drawn, strict=True)}
    table = KernelTable(
        columns={
            "size_bytes": np.array([one.size_bytes for one in inside]),
            "group_size": np.array([float(one.group_size) for one in inside]),
            "kind": np.array([float(KINDS.index(one.kind)) for one in inside]),
        },
        time_s=np.array([one.time_s for one in inside]), work=np.array([one.size_bytes for one in inside]),
        group=np.array([number[one.kind, one.size_bytes, one.group_size] for one in inside], np.intp),
        is_training=np.ones(len(inside), bool),
    )  # fmt: skip
    fit = fit_with_prior(table, priors, lambda curve, rows: _predict(curve, rows, fabric))
    found = fit.estimates["efficiency"]
    if found.value < LEAST_OF_PRIOR * found.prior:
        reason = (
            f"large ones reach {found.value / found.prior:.0%} of what {network} does: they went over another network, "
            "or waited for ranks that are slower"
        )
        return LinkFit(network=network, collectives=tuple(inside), fit=None, reason=reason)
    return LinkFit(network=network, collectives=tuple(inside), fit=fit)


def _predict(curve: SimpleNamespace, rows: KernelTable, fabric: Fabric) -> FloatArray:
    link = replace(fabric.scale_up, efficiency_frac=curve.efficiency, startup_s=curve.collective_latency)
    inside = replace(fabric, scale_up=link)
    time_s = np.empty(len(rows))
    for place in np.unique(rows.columns["kind"]).tolist():
        here = rows.columns["kind"] == place
        size, group = rows.columns["size_bytes"][here], rows.columns["group_size"][here]
        time_s[here] = collective_time_s(KINDS[int(place)], size, group, group, inside)
    return time_s


def _collectives(runs: Sequence[Run]) -> list[Collective]:
    found: dict[tuple[str, float, int], list[float]] = {}
    for run in runs:
        kernels = run.kernels
        numbers, words = kernels.texts("variant")
        size, group = kernels.numbers("size_bytes"), kernels.numbers("group_size")
        duration = kernels.numbers("duration_s")
        chosen = (
            kernels.where("op_class", "communication")
            & (size > 0)
            & (group != NOTHING)
            & (group > 1)
            & (duration > 0)
        )
        for place in np.flatnonzero(chosen).tolist():
            kind = _NAMES.get(words[numbers[place]], words[numbers[place]])
            if kind in KINDS:
                # the trace holds one rank's input: what is gathered is as many times as large
                whole = float(size[place]) * (int(group[place]) if kind == "all_gather" else 1)
                found.setdefault((kind, whole, int(group[place])), []).append(float(duration[place]))
    return [
        Collective(
            kind=kind, size_bytes=size_bytes, group_size=group_size,
            time_s=float(np.percentile(times, QUICK_PERCENT)), num_calls=len(times),
        )
        for (kind, size_bytes, group_size), times in sorted(found.items())
    ]  # fmt: skip
