"""Links of networks with tables of measured collectives: what is fitted, whole or from chosen rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simtool.calibrate.collective_checks import KERNELS
from simtool.calibrate.collective_corrections import fit_anchors, with_anchors
from simtool.calibrate.collective_fit import (
    ACROSS,
    ALONE,
    IN_SWITCH,
    INSIDE,
    LinkFit,
    Values,
    cross_validated,
    inside,
    predicted_s,
    size_bands,
    solve,
    with_values,
)
from simtool.calibrate.collective_tables import (
    BYTES_PER_MIB,
    FloatArray,
    Mask,
    Timings,
    read_nccl,
    read_simai,
    read_vtrain,
    together,
)
from simtool.calibrate.fit import Coefficient
from simtool.machine.collectives import collective_time_s
from simtool.machine.network import Fabric, Link

NCCL_SOURCE = "NCCL tables of NVIDIA aiconfigurator 095f58a (Apache-2.0)"
VTRAIN_SOURCE = "NCCL tables of vTrain f8dda84 (MIT)"
SIMAI_SOURCE = "ratios of SimAI cef83f9 (Apache-2.0), 2 to 128 nodes of 8"
TUNER_SOURCE = "constants of NCCL's tuner 2.28"

SCALE_OUT_STEP_S = 14e-6
"""One step of a ring over a network card in the protocol for large messages (NCCL's tuner)."""
SCALE_OUT_STARTUP_S = 8.4e-6
"""Base latency of the same."""
SIMAI_NODE_BYTES_PER_S = 200e9
"""Cards of one node. The table does not say. Its ratios inside a node are those of NVLink 3 (0.45 at 16 MiB as
A100, H100 0.54), so a ring cannot pass more than 0.81 x 300 GB/s, of which 0.96 of eight cards of 200 Gb/s is
the largest usual figure below."""
TRANSFER_SPREAD = 0.2
"""Least relative spread of a number taken over from another network."""
SIMAI_RANKS_PER_NODE = 8.0
IN_SWITCH_RANKS = 8.0
"""Group from which on the library adds in the switch, in these tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A scale-up network with tables."""

    tables: tuple[str, ...]
    bandwidth_bytes_per_s: float
    topology: str = "switch"
    in_switch_from: str | None = None
    """Network whose reductions in the switch were measured; None where the switch cannot add."""
    source: str = NCCL_SOURCE


MEASURED = {
    "nvlink2": Measured(
        tables=("v100",), bandwidth_bytes_per_s=150e9, topology="hybrid-cube-mesh", source=VTRAIN_SOURCE
    ),
    "nvlink3": Measured(tables=("a100_sxm",), bandwidth_bytes_per_s=300e9),
    "nvlink4": Measured(
        tables=("h100_sxm", "h200_sxm"), bandwidth_bytes_per_s=450e9, in_switch_from="nvlink4"
    ),
    "nvlink5": Measured(tables=("b200_sxm",), bandwidth_bytes_per_s=900e9, in_switch_from="nvlink5"),
    "nvlink5-nvl72": Measured(tables=("gb200",), bandwidth_bytes_per_s=900e9, in_switch_from="nvlink5"),
}
"""Bandwidth and topology as in the profiles; a test compares them. The L40S table is left out: 1.4 GB/s
among 8 boards says that their peer-to-peer access was off."""


def link_from(name: str, rows: Timings, in_switch: Values | None = None, *, of_bytes: bool = False) -> Link:
    """Link and corrections of a network from these of its rows.

    Args:
        name: of the network.
        rows: what was measured on it.
        in_switch: values of reductions in the switch, where they are another network's.
        of_bytes: for elements that no switch can add, in place of those of training.
    """
    measured = MEASURED[name]
    ring = rows.where(~_adds(rows, measured))

    def predict(values: Values, chosen: Mask) -> FloatArray:
        return predicted_s(ring.where(chosen), inside(fitted_link(name, values)), "ring")

    values, _ = solve(INSIDE, predict, ring.time_s, np.ones(len(ring), dtype=bool))
    link = fitted_link(name, values)
    if of_bytes:
        return with_anchors(link, fit_anchors(link, ring))
    if measured.in_switch_from == name:
        adding = rows.where(_adds(rows, measured))
        in_switch = {key: one.prior for key, one in IN_SWITCH.items()}
        if len(adding):
            in_switch, _ = _fit_in_switch(link, adding)
    link = with_values(link, in_switch or {})
    return with_anchors(link, fit_anchors(link, rows.where(~is_of_bytes(rows, measured))))


def is_of_bytes(rows: Timings, measured: Measured) -> Mask:
    """All-reduces that the switch would do, if it could add their elements."""
    is_sum = (rows.kind == "all_reduce") & (rows.group_size >= IN_SWITCH_RANKS)
    return np.asarray(is_sum & ~rows.can_reduce_in_switch & (measured.in_switch_from is not None))


def fit_inside(reference: Path) -> dict[str, LinkFit]:
    """Every scale-up network with a table: ring and direct transfers, then the switch's own reductions."""
    found: dict[str, LinkFit] = {}
    for name, measured in MEASURED.items():
        rows = measured_rows(reference, measured)
        fit = _fit_link(name, rows.where(~_adds(rows, measured)))
        if measured.in_switch_from == name:
            link = fitted_link(name, fit.values)
            values, spreads = _fit_in_switch(link, rows.where(_adds(rows, measured)))
            fit = replace(fit, values=fit.values | values, spreads=fit.spreads | spreads)
        link = _whole_link(name, fit, found)
        found[name] = replace(fit, anchors=fit_anchors(link, rows.where(~is_of_bytes(rows, measured))))
    return found


def _adds(rows: Timings, measured: Measured) -> Mask:
    """All-reduces for which the library may use the switch."""
    is_large = rows.group_size >= IN_SWITCH_RANKS
    return rows.can_reduce_in_switch & is_large & (measured.in_switch_from is not None)


def _whole_link(name: str, fit: LinkFit, fits: Mapping[str, LinkFit]) -> Link:
    """The link with its values, those of the switch included where they are another network's."""
    link, origin = fitted_link(name, fit.values), MEASURED[name].in_switch_from
    if origin is not None and origin != name:
        link = with_values(link, in_switch_of(fits[origin]))
    return link


def corrected_link(name: str, fit: LinkFit, fits: Mapping[str, LinkFit]) -> Link:
    """The same with its correction: as the network's file has it."""
    return with_anchors(_whole_link(name, fit, fits), fit.anchors)


def in_switch_of(fit: LinkFit) -> Values:
    """Values of reductions in the switch among those of a network."""
    return {key: fit.values[key] for key in IN_SWITCH}


def _ring_rows(reference: Path, measured: Measured) -> Timings:
    rows = measured_rows(reference, measured)
    return rows.where(~_adds(rows, measured))


def measured_rows(reference: Path, measured: Measured) -> Timings:
    """All that was measured on a network."""
    if measured.source == VTRAIN_SOURCE:
        return read_vtrain(reference / KERNELS / "vtrain/allreduce" / measured.tables[0])
    folder = reference / KERNELS / "aiconfigurator"
    return together([read_nccl(folder / f"nccl_{table}.csv.gz") for table in measured.tables])


def fitted_link(name: str, values: Values) -> Link:
    """A measured network with these values, nothing else lost."""
    measured = MEASURED[name]
    plain = Link(
        name=name,
        bandwidth_bytes_per_s=measured.bandwidth_bytes_per_s,
        efficiency_frac=1.0,
        latency_s=0.0,
        startup_s=0.0,
        topology=measured.topology,
    )
    return with_values(plain, values)


def _fit_link(name: str, rows: Timings) -> LinkFit:
    def predict(values: Values, chosen: Mask) -> FloatArray:
        return predicted_s(rows.where(chosen), inside(fitted_link(name, values)), "ring")

    def predict_plain(values: Values, chosen: Mask) -> FloatArray:
        link = replace(fitted_link(name, values), local_frac=0.0)
        return predicted_s(rows.where(chosen), inside(link), "ring")

    strata = {"group size": rows.group_size, "message size": size_bands(rows.size_bytes)}
    return cross_validated(name, INSIDE, predict, predict_plain, rows.time_s, rows.size_bytes, strata)


def _fit_in_switch(link: Link, rows: Timings) -> tuple[Values, Values]:
    """From messages so large that the library adds in the switch."""
    large = rows.where(rows.size_bytes >= 64.0 * BYTES_PER_MIB)

    def predict(values: Values, chosen: Mask) -> FloatArray:
        return predicted_s(large.where(chosen), inside(with_values(link, values)), "in-switch")

    return solve(IN_SWITCH, predict, large.time_s, np.ones(len(large), dtype=bool))


def fit_across(reference: Path) -> LinkFit:
    """The ring across nodes: what a relay within a node adds, efficiency and ramp."""
    sizes, nodes, ratios = read_simai(reference / KERNELS / "simai/nic_ratio.csv")
    size, count = (axis.ravel() for axis in np.meshgrid(sizes, nodes, indexing="ij"))
    ranks = count * SIMAI_RANKS_PER_NODE
    measured_s = 2.0 * (ranks - 1.0) / ranks * size / (ratios.ravel() * SIMAI_NODE_BYTES_PER_S)

    def at(values: Values, chosen: Mask) -> FloatArray:
        fabric = Fabric(scale_up=ALONE, scale_out=across_link(values), accelerators_per_domain=8)
        return np.asarray(
            collective_time_s("all_reduce", size[chosen], ranks[chosen], SIMAI_RANKS_PER_NODE, fabric, "ring")
        )

    def plain(values: Values, chosen: Mask) -> FloatArray:
        return at(values | {"latency_s": 0.0}, chosen)

    half = np.isin(count, [4.0, 16.0, 64.0]).astype(float)
    strata = {"half of the node counts": half, "number of nodes": count, "message size": size_bands(size)}
    return cross_validated("scale-out", ACROSS, at, plain, measured_s, size, strata)


def across_link(values: Values) -> Link:
    """One accelerator's card among eight of a node."""
    card = Link(
        name="scale-out",
        bandwidth_bytes_per_s=SIMAI_NODE_BYTES_PER_S / SIMAI_RANKS_PER_NODE,
        efficiency_frac=1.0,
        latency_s=SCALE_OUT_STEP_S,
        startup_s=SCALE_OUT_STARTUP_S,
        topology="fat-tree",
    )
    return with_values(card, values)


def fit_shape(reference: Path) -> tuple[float, float]:
    """Ramp exponent and local share that suit all networks with switches at once.

    These are `machine.network.RAMP_EXPONENT` and `LOCAL_FRAC`; all else is fitted with them fixed.
    """
    rows = {name: _ring_rows(reference, one) for name, one in MEASURED.items() if one.topology == "switch"}
    measured_s = np.concatenate([one.time_s for one in rows.values()])
    coefficients = {
        "ramp_exponent": Coefficient(0.3, 0.5, is_frac=True),
        "local_frac": Coefficient(0.4, 0.5),
    }
    for name in rows:
        coefficients |= {f"{name}.{key}": one for key, one in INSIDE.items()}

    def predict(values: Values, chosen: Mask) -> FloatArray:
        shape = {key: values[key] for key in ("ramp_exponent", "local_frac")}
        parts = []
        for name, one in rows.items():
            own = {key: values[f"{name}.{key}"] for key in INSIDE}
            parts.append(predicted_s(one, inside(fitted_link(name, own | shape)), "ring"))
        return np.concatenate(parts)[chosen]

    values, _ = solve(coefficients, predict, measured_s, np.ones(len(measured_s), dtype=bool))
    return values["ramp_exponent"], values["local_frac"]
