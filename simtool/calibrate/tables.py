"""Measured kernels as arrays; what is read here is never shipped, only what is fitted to it."""

from __future__ import annotations

import csv
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem

FloatArray = NDArray[np.float64]
MAX_ROWS = 6000
"""Rows that a fit uses; more of the same grid add time, not knowledge."""
TRAINING_ROWS, TRAINING_FLOP = 512, 10e9
"""A kernel is of training size from this many rows (or tokens) and this much work on."""
HELD_OUT_IN = 5
"""One stratum in this many is held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTable:
    """Measured kernels of one device and class: columns by name, time, work, and which are held out."""

    columns: dict[str, FloatArray]
    time_s: FloatArray
    flop: FloatArray
    held_out: NDArray[np.bool_]
    """Whole strata (an (n, k) shape, a head layout), so that the residual is one of transfer between
    shapes and not of interpolation between neighbours."""
    is_training: NDArray[np.bool_]

    def where(self, chosen: NDArray[np.bool_]) -> KernelTable:
        """The rows that are chosen."""
        return KernelTable(
            columns={name: column[chosen] for name, column in self.columns.items()},
            time_s=self.time_s[chosen],
            flop=self.flop[chosen],
            held_out=self.held_out[chosen],
            is_training=self.is_training[chosen],
        )


def read_gemm(path: Path) -> KernelTable:
    """Matrix products: m, n, k and the latency in ms."""
    table = _read(path, ("m", "n", "k", "latency"))
    m, n, k = table["m"], table["n"], table["k"]
    flop = 2.0 * m * n * k
    return _table(
        {"m": m, "n": n, "k": k},
        time_s=table["latency"] * 1e-3,
        flop=flop,
        strata=np.stack([n, k], axis=1),
        is_training=(m >= TRAINING_ROWS) & (flop > TRAINING_FLOP),
    )


def read_attention(path: Path) -> KernelTable:
    """Causal flash attention, forward: sequences, tokens, heads and the latency in ms."""
    names = ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "latency")
    table = _read(path, names)
    batch, tokens, heads = table["batch_size"], table["isl"], table["num_heads"]
    flop = 2.0 * batch * heads * tokens**2 * table["head_dim"]
    kept = tokens >= 128
    found = _table(
        {
            "batch": batch,
            "num_heads": heads,
            "seq_len": tokens,
            "head_dim": table["head_dim"],
            "num_kv_heads": table["num_key_value_heads"],
        },
        time_s=table["latency"] * 1e-3,
        flop=flop,
        strata=np.stack([heads, table["num_key_value_heads"], table["head_dim"]], axis=1),
        is_training=(tokens >= TRAINING_ROWS) & (flop > TRAINING_FLOP),
    )
    return found.where(kept)


def thinned(table: KernelTable) -> KernelTable:
    """At most `MAX_ROWS` rows, evenly over the table; the same ones every time."""
    count = len(table.time_s)
    if count <= MAX_ROWS:
        return table
    chosen = np.zeros(count, dtype=bool)
    chosen[np.linspace(0, count - 1, MAX_ROWS).astype(int)] = True
    return table.where(chosen)


def _table(
    columns: dict[str, FloatArray],
    *,
    time_s: FloatArray,
    flop: FloatArray,
    strata: FloatArray,
    is_training: NDArray[np.bool_],
) -> KernelTable:
    names, which = np.unique(strata, axis=0, return_inverse=True)
    out = np.array(
        [zlib.crc32(" ".join(f"{x:g}" for x in name).encode()) % HELD_OUT_IN == 0 for name in names]
    )
    return KernelTable(
        columns=columns,
        time_s=time_s,
        flop=flop,
        held_out=out[which.reshape(-1)],
        is_training=np.asarray(is_training),
    )


def _read(path: Path, names: tuple[str, ...]) -> dict[str, FloatArray]:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(
            Problem(str(path), "", f"cannot be read: {error}", "", "give the reference folder")
        ) from None
    if not rows or any(name not in rows[0] for name in names):
        raise InputError(
            Problem(str(path), "", "lacks a column", f"needed: {', '.join(names)}", "check the file")
        )
    columns = {name: np.array([float(row[name]) for row in rows]) for name in names}
    sound = np.all([np.isfinite(column) & (column > 0) for column in columns.values()], axis=0)
    return {name: column[sound] for name, column in columns.items()}
