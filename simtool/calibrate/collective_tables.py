"""Measured collectives as arrays; what is read here is never shipped, only what is fitted to it."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

BYTES_PER_MIB = 2.0**20
KINDS = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
}
ELEMENT_BYTES = {"half": 2.0, "int8": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Measured collectives: what, over how many ranks (and domains), how large, how long."""

    kind: NDArray[np.str_]
    group_size: FloatArray
    per_domain: FloatArray
    size_bytes: FloatArray
    time_s: FloatArray
    can_reduce_in_switch: Mask
    """All-reduces of a type that the switch can add (not of bytes)."""

    def __len__(self) -> int:
        return len(self.time_s)

    def where(self, chosen: Mask) -> Timings:
        """The rows that are chosen."""
        return Timings(**{name: getattr(self, name)[chosen] for name in self.__dataclass_fields__})


def together(parts: list[Timings]) -> Timings:
    """All rows of several tables."""
    names = Timings.__dataclass_fields__
    return Timings(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def read_nccl(path: Path) -> Timings:
    """NCCL in one domain: operation, type, ranks, elements and the latency in ms.

    Repeated runs of the same collective count once, with their median.
    """
    runs: dict[tuple[str, str, float, float], list[float]] = {}
    for row in _rows(path, ("op_name", "nccl_dtype", "num_gpus", "message_size", "latency")):
        kind, dtype, ranks = KINDS[row["op_name"]], row["nccl_dtype"], float(row["num_gpus"])
        size = float(row["message_size"]) * ELEMENT_BYTES[dtype]
        runs.setdefault((kind, dtype, ranks, size), []).append(float(row["latency"]) * 1e-3)
    return _timings([(*key, float(np.median(times))) for key, times in runs.items()])


def read_vtrain(folder: Path) -> Timings:
    """All-reduce in one node of 8: one file per number of ranks, a line per MiB; powers of two are taken."""
    found = []
    for path in sorted(folder.glob("AR_GPU*_LUT")):
        match = re.match(r"AR_GPU(\d+)_", path.name)
        ranks = float(match[1]) if match else 0.0
        with path.open(encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        for row in rows:
            size = float(row[0])
            if np.log2(size) % 1.0 == 0.0:
                found.append(("all_reduce", "float", ranks, size, float(row[3]) * 1e-9))
    if not found:
        raise InputError(Problem(str(folder), "", "holds no table", "needed: AR_GPU<n>_..._LUT", ""))
    return _timings(found)


def read_vidur(path: Path, ranks_per_domain: float) -> Timings:
    """All-reduce or send and receive of a server of 8: those with so many ranks in one node."""
    name = "send_recv" if "send_recv" in path.name else "all_reduce"
    kind = "point_to_point" if name == "send_recv" else "all_reduce"
    median = f"time_stats.{name}.median"
    found: dict[tuple[float, float], list[float]] = {}
    for row in _rows(path, (median, "num_workers", "devices_per_node", "size")):
        if float(row["devices_per_node"]) == ranks_per_domain:
            key = (float(row["num_workers"]), float(row["size"]))
            found.setdefault(key, []).append(float(row[median]) * 1e-3)
    rows = [(kind, "half", ranks, size, float(np.median(times))) for (ranks, size), times in found.items()]
    return _timings(rows, ranks_per_domain)


def read_simai(path: Path, *, across: bool = True) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sizes [byte], nodes, and the share of the bandwidth that a ring reaches (size x nodes).

    Across nodes it is a share of their cards, within one node of its links.
    """
    with _opened(path) as file:
        head, *rows = list(csv.reader(file))
    pattern = r"(\d+)Node" if across else r"(1) Node"
    columns = [(i, re.match(pattern, name)) for i, name in enumerate(head)]
    nodes = {i: float(match[1]) for i, match in columns if match}
    ratios = np.array([[float(row[i]) if row[i] else np.nan for i in nodes] for row in rows])
    return np.array([float(row[0]) for row in rows]), np.array(list(nodes.values())), ratios


def read_galvatron(path: Path) -> dict[float, float]:
    """Bus bandwidth of all-reduce over two nodes by ranks in each, all groups of the nodes at once [byte/s]."""
    found = {}
    with _opened(path) as file:
        table = json.load(file)
    for key, value in table.items():
        match = re.match(r"allreduce_size_(\d+)_consec_(\d)", key)
        if match and (match[2] == "0" or match[1] == "16"):
            found[float(match[1]) / 2.0] = float(value) * 1e9
    return dict(sorted(found.items()))


def _timings(rows: list[tuple[str, str, float, float, float]], per_domain: float | None = None) -> Timings:
    kind = np.array([row[0] for row in rows])
    dtype = np.array([row[1] for row in rows])
    ranks, size, time = (np.array([float(row[i]) for row in rows]) for i in (2, 3, 4))
    near = ranks if per_domain is None else np.minimum(ranks, per_domain)
    can = (kind == "all_reduce") & (dtype != "int8")
    return Timings(
        kind=kind, group_size=ranks, per_domain=near, size_bytes=size, time_s=time, can_reduce_in_switch=can
    )


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """The file; what goes wrong while it is open is its damage."""
    try:
        if path.suffix == ".gz":
            with cast("TextIO", gzip.open(path, "rt", encoding="utf-8", newline="")) as file:
                yield file
        else:
            with path.open(encoding="utf-8", newline="") as file:
                yield file
    except (OSError, EOFError, ValueError, IndexError, KeyError, csv.Error, zlib.error) as error:
        raise InputError(
            Problem(str(path), "", f"cannot be read: {error}", "", "give the reference folder")
        ) from None


def _rows(path: Path, names: tuple[str, ...]) -> list[dict[str, str]]:
    with _opened(path) as file:
        rows = list(csv.DictReader(file))
    if not rows or any(name not in rows[0] for name in names):
        raise InputError(
            Problem(str(path), "", "lacks a column", f"needed: {', '.join(names)}", "check the file")
        )
    return rows
