"""Fitted curves against measurements that took no part in the fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simtool.calibrate.collective_fit import (
    LARGE_BYTES,
    Residual,
    inside,
    predicted_s,
    residual,
)
from simtool.calibrate.collective_tables import (
    BYTES_PER_MIB,
    FloatArray,
    read_galvatron,
    read_simai,
    read_vidur,
    read_vtrain,
)
from simtool.machine.collectives import collective_time_s
from simtool.machine.network import Fabric, Link

KERNELS = Path("data/kernels")
LARGEST_BYTES = 8192.0 * BYTES_PER_MIB
LARGEST = (
    ("nvlink4", "ring", 365.6e9),
    ("nvlink4", "in-switch", 473.1e9),
    ("nvlink5", "ring", 682.2e9),
    ("nvlink5", "in-switch", 838.0e9),
)
"""Bus bandwidth of 8 GiB all-reduces of 8 GPUs, 16 times the largest message of the tables
(stas00/ml-engineering, network/README)."""
VIDUR_CARD_BYTES_PER_S = 50e9
"""Network card of the H100 server in Vidur's tables, 400 Gb/s: they reach 36 GB/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One table, and how far off the curves are on it."""

    name: str
    off: Residual
    bias: float
    """Median of predicted / measured - 1."""


def checks(reference: Path, links: dict[str, Link], card: Link) -> list[Check]:
    """All tables that took no part.

    Args:
        reference: the reference folder.
        links: fitted links by network.
        card: the fitted way out of a node, of one accelerator.
    """
    folder = reference / KERNELS
    vtrain = read_vtrain(folder / "vtrain/allreduce/a100")
    vtrain = vtrain.where(vtrain.size_bytes >= 4 * LARGE_BYTES)
    found = [
        _check(
            "vTrain, A100, all-reduce of 2 to 8",
            predicted_s(vtrain, inside(links["nvlink3"])),
            vtrain.time_s,
        ),
        _inside_simai(folder / "simai/nic_ratio.csv", links["nvlink3"]),
    ]
    for device, name in (("a100", "nvlink3"), ("h100", "nvlink4")):
        for ranks in (2.0, 4.0, 8.0):
            rows = read_vidur(folder / f"vidur/network/{device}_dgx_all_reduce.csv.gz", ranks)
            rows = rows.where((rows.group_size == ranks) & (rows.size_bytes >= LARGE_BYTES))
            what = f"Vidur, {device.upper()}, all-reduce of {ranks:g}"
            found.append(_check(what, predicted_s(rows, inside(links[name])), rows.time_s))
        rows = read_vidur(folder / f"vidur/network/{device}_dgx_send_recv.csv.gz", 2.0)
        rows = rows.where(rows.size_bytes >= LARGE_BYTES)
        what = f"Vidur, {device.upper()}, one to one in a node"
        found.append(_check(what, predicted_s(rows, inside(links[name])), rows.time_s))
    rows = read_vidur(folder / "vidur/network/h100_dgx_send_recv.csv.gz", 1.0)
    rows = rows.where(rows.size_bytes >= LARGE_BYTES)
    fabric = Fabric(
        scale_up=links["nvlink4"],
        scale_out=replace(card, bandwidth_bytes_per_s=VIDUR_CARD_BYTES_PER_S),
        accelerators_per_domain=8,
    )
    found.append(_check("Vidur, H100, one to one between nodes", predicted_s(rows, fabric), rows.time_s))
    for name, algorithm, busbw in LARGEST:
        time_s = collective_time_s("all_reduce", LARGEST_BYTES, 8, 8, inside(links[name]), algorithm)
        measured_s = np.array([2.0 * 7.0 / 8.0 * LARGEST_BYTES / busbw])
        found.append(_check(f"ml-engineering, {name}, 8 GiB, {algorithm}", np.atleast_1d(time_s), measured_s))
    found.append(
        _shared_cards(folder / "galvatron/allreduce_bandwidth_2nodes_8gpus_per_node.json", links, card)
    )
    return found


def _inside_simai(path: Path, link: Link) -> Check:
    """Ring of 8 in one node. The table's share of NVLink at 16 MiB is that of an A100."""
    sizes, columns, ratios = read_simai(path, across=False)
    measured_s = 2.0 * 7.0 / 8.0 * sizes / (ratios[:, 0] * link.bandwidth_bytes_per_s)
    predicted = collective_time_s("all_reduce", sizes, 8.0 * columns[0], 8, inside(link), "ring")
    return _check("SimAI, one node as NVLink 3, ring of 8", np.asarray(predicted), measured_s)


def _shared_cards(path: Path, links: dict[str, Link], card: Link) -> Check:
    """Groups of 1, 2, 4 and 8 ranks in each of two nodes, all groups at once.

    The table does not say what cards the nodes have: one bandwidth is taken such that the four are right in
    the mean, so that only the law of sharing is checked.
    """
    measured = read_galvatron(path)
    ranks = np.array(list(measured))
    size = 1024.0 * BYTES_PER_MIB
    total = 2.0 * ranks

    def bandwidth(node_bytes_per_s: float) -> FloatArray:
        out = replace(card, bandwidth_bytes_per_s=node_bytes_per_s / 8.0)
        fabric = Fabric(scale_up=links["nvlink3"], scale_out=out, accelerators_per_domain=8)
        time_s = collective_time_s("all_reduce", size, total, ranks, fabric, "ring")
        return np.asarray(2.0 * (total - 1.0) / total * size / time_s)

    reached = np.array(list(measured.values()))
    node_bytes_per_s = 50e9
    for _ in range(8):
        node_bytes_per_s *= float(np.exp(np.mean(np.log(reached / bandwidth(node_bytes_per_s)))))
    return _check("Galvatron, 2 nodes, share of the cards", 1.0 / bandwidth(node_bytes_per_s), 1.0 / reached)


def _check(name: str, predicted_time_s: FloatArray, measured_s: FloatArray) -> Check:
    error = predicted_time_s / measured_s - 1.0
    return Check(name=name, off=residual(error), bias=float(np.median(error)))
