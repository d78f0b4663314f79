"""Curves of networks from measured collectives: ``python -m simtool.calibrate.collectives --reference DIR -o DIR``.

Fits every network that has a table, writes one readable file each (network profiles extend them), and
prints the residuals on held-out strata and on tables that took no part. The same tables give the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simtool.calibrate.collective_fit import (
    ACROSS,
    ALONE,
    IN_SWITCH,
    INSIDE,
    LARGE_BYTES,
    LinkFit,
    Residual,
    Values,
    cross_validated,
    inside,
    predicted_s,
    residual,
    size_bands,
    solve,
)
from simtool.calibrate.collective_tables import (
    BYTES_PER_MIB,
    FloatArray,
    Mask,
    Timings,
    read_galvatron,
    read_nccl,
    read_simai,
    read_vidur,
    read_vtrain,
    together,
)
from simtool.config.dump import Inline, dump_yaml
from simtool.machine.collectives import collective_time_s
from simtool.machine.network import Fabric, Link

KERNELS = Path("data/kernels")
NCCL_SOURCE = "NCCL tables of NVIDIA aiconfigurator 095f58a (Apache-2.0)"
VTRAIN_SOURCE = "NCCL tables of vTrain f8dda84 (MIT)"
SIMAI_SOURCE = "ratios of SimAI cef83f9 (Apache-2.0), 2 to 128 nodes of 8"
TUNER_SOURCE = "constants of NCCL's tuner 2.28"

SCALE_OUT_STEP_S = 14e-6
"""One step of a ring over a network card in the protocol for large messages (NCCL's tuner)."""
SCALE_OUT_STARTUP_S = 8.4e-6
"""Base latency of the same."""
SIMAI_NODE_BYTES_PER_S = 200e9
"""Cards of one node. The table does not say; eight of 200 Gb/s beside NVLink 3 is what suits its ratios: a ring
reaches 0.96 of the cards, which must be less than it reaches inside a node, 0.81 of NVLink."""
SIMAI_RANKS_PER_NODE = 8.0


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


def fit_inside(reference: Path) -> dict[str, LinkFit]:
    """Every scale-up network with a table: ring and direct transfers, then the switch's own reductions."""
    found = {}
    for name, measured in MEASURED.items():
        rows = _rows(reference, measured)
        adds = rows.can_reduce_in_switch & (rows.group_size >= 8.0) & (measured.in_switch_from is not None)
        seen = rows.where(~adds)
        fit = _fit_link(name, measured, seen)
        if measured.in_switch_from == name:
            values, spreads = _fit_in_switch(_link(name, measured, fit.values), rows.where(adds))
            fit = replace(fit, values=fit.values | values, spreads=fit.spreads | spreads)
        found[name] = fit
    return found


def _rows(reference: Path, measured: Measured) -> Timings:
    if measured.source == VTRAIN_SOURCE:
        return read_vtrain(reference / KERNELS / "vtrain/allreduce" / measured.tables[0])
    folder = reference / KERNELS / "aiconfigurator"
    return together([read_nccl(folder / f"nccl_{table}.csv.gz") for table in measured.tables])


def _link(name: str, measured: Measured, values: Values) -> Link:
    plain = Link(
        name=name,
        bandwidth_bytes_per_s=measured.bandwidth_bytes_per_s,
        efficiency_frac=1.0,
        latency_s=0.0,
        startup_s=0.0,
        topology=measured.topology,
    )
    return replace(plain, **values)


def _fit_link(name: str, measured: Measured, rows: Timings) -> LinkFit:
    def predict(values: Values, chosen: Mask) -> FloatArray:
        return predicted_s(rows.where(chosen), inside(_link(name, measured, values)), "ring")

    def predict_plain(values: Values, chosen: Mask) -> FloatArray:
        link = replace(_link(name, measured, values), local_frac=0.0)
        return predicted_s(rows.where(chosen), inside(link), "ring")

    strata = {"group size": rows.group_size, "message size": size_bands(rows.size_bytes)}
    return cross_validated(name, INSIDE, predict, predict_plain, rows.time_s, rows.size_bytes, strata)


def _fit_in_switch(link: Link, rows: Timings) -> tuple[Values, Values]:
    """From messages so large that the library adds in the switch."""
    large = rows.where(rows.size_bytes >= 64.0 * BYTES_PER_MIB)

    def predict(values: Values, chosen: Mask) -> FloatArray:
        return predicted_s(large.where(chosen), inside(replace(link, **values)), "in-switch")

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
            collective_time_s(
                "all_reduce", size[chosen], ranks[chosen], SIMAI_RANKS_PER_NODE, fabric, "ring"
            )
        )

    def plain(values: Values, chosen: Mask) -> FloatArray:
        return at(values | {"latency_s": 0.0}, chosen)

    halves = np.isin(count, [4.0, 16.0, 64.0]).astype(float)
    strata = {"half of the node counts": halves, "more nodes than seen": count, "message size": size_bands(size)}
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
    return replace(card, **values)
