"""Measured kernels as arrays; what is read here is never shipped, only what is fitted to it."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem

FloatArray = NDArray[np.float64]
TRAINING_ROWS, TRAINING_FLOP = 512, 10e9
"""A kernel is of training size from this many rows (or tokens) and this much work on."""
MAX_TRAINING_KERNELS, MAX_OTHER_KERNELS = 4000, 1000
"""Kernels that one fit uses; more of the same grid add time, not knowledge."""
MIN_SEQUENCE, MAX_HEAD = 128, 256
"""Attention below this length or above this head size is no part of training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTable:
    """Measured kernels of one device and class."""

    columns: dict[str, FloatArray]
    """Arguments of the kernel's model, by name."""
    time_s: FloatArray
    work: FloatArray
    """Operations [FLOP], or bytes of a memory-bound kernel."""
    group: NDArray[np.intp]
    """Kernels of one shape (an (n, k) pair, a head layout, a band of sizes) carry one number. Whole
    groups are held out, so a residual is one of transfer between shapes, not of interpolation."""
    is_training: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def num_groups(self) -> int:
        """Distinct shapes."""
        return len(np.unique(self.group))

    def where(self, chosen: NDArray[np.bool_]) -> KernelTable:
        """The kernels that are chosen."""
        return KernelTable(
            columns={name: column[chosen] for name, column in self.columns.items()},
            time_s=self.time_s[chosen],
            work=self.work[chosen],
            group=self.group[chosen],
            is_training=self.is_training[chosen],
        )

    def thinned(self) -> KernelTable:
        """At most `MAX_TRAINING_KERNELS` and `MAX_OTHER_KERNELS`, evenly over the table, always the same."""
        chosen = np.zeros(len(self), dtype=bool)
        for part, most in ((self.is_training, MAX_TRAINING_KERNELS), (~self.is_training, MAX_OTHER_KERNELS)):
            places = np.flatnonzero(part)
            if len(places) > most:
                places = places[np.arange(most) * len(places) // most]
            chosen[places] = True
        return self.where(chosen)


def gemm_table(m: FloatArray, n: FloatArray, k: FloatArray, time_s: FloatArray) -> KernelTable:
    """Matrix products of (m, k) by (k, n); one group for each (n, k), the weight's shape."""
    flop = 2.0 * m * n * k
    return KernelTable(
        columns={"m": m, "n": n, "k": k},
        time_s=time_s,
        work=flop,
        group=groups(n, k),
        is_training=(m >= TRAINING_ROWS) & (flop > TRAINING_FLOP),
    )


def read_gemm(path: Path) -> KernelTable:
    """Matrix products from a table of NVIDIA aiconfigurator."""
    table = read_columns(path, ("m", "n", "k", "latency"))
    return gemm_table(table["m"], table["n"], table["k"], table["latency"] * 1e-3)


def read_attention(path: Path) -> KernelTable:
    """Causal attention, forward, from a table of NVIDIA aiconfigurator; one group for each head layout."""
    names = ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "latency")
    table = read_columns(path, names)
    batch, tokens, heads = table["batch_size"], table["isl"], table["num_heads"]
    flop = 2.0 * batch * heads * tokens**2 * table["head_dim"]
    return KernelTable(
        columns={
            "batch": batch,
            "num_heads": heads,
            "seq_len": tokens,
            "head_dim": table["head_dim"],
            "num_kv_heads": table["num_key_value_heads"],
        },
        time_s=table["latency"] * 1e-3,
        work=flop,
        group=groups(heads, table["num_key_value_heads"], table["head_dim"]),
        is_training=(tokens >= TRAINING_ROWS) & (flop > TRAINING_FLOP),
    ).where((tokens >= MIN_SEQUENCE) & (table["head_dim"] <= MAX_HEAD))


def memory_table(num_bytes: FloatArray, time_s: FloatArray, cache_bytes: float) -> KernelTable:
    """Streaming kernels; one group for each quarter of an octave of size.

    Sizes between what launches hide and what the cache cannot hold are left out: they time the cache.
    """
    large = num_bytes > 2.0 * cache_bytes
    return KernelTable(
        columns={"num_bytes": num_bytes},
        time_s=time_s,
        work=num_bytes,
        group=groups(np.floor(4.0 * np.log2(num_bytes))),
        is_training=large,
    ).where(large | (num_bytes < 1e6))


def read_columns(path: Path, names: Sequence[str]) -> dict[str, FloatArray]:
    """Columns of a CSV file, packed or not, without the rows in which one of them is not above 0.

    Raises:
        InputError: the file cannot be read, or lacks a column, or holds text where a number belongs.
    """
    try:
        with _open_text(path) as file:
            rows = csv.reader(file)
            head = next(rows, [])
            if missing := [name for name in names if name not in head]:
                raise _problem(path, f"lacks column {missing[0]!r}", f"needed: {', '.join(names)}")
            places = [head.index(name) for name in names]
            values = np.array([[float(row[place]) for place in places] for row in rows]).reshape(
                -1, len(names)
            )
    except (OSError, EOFError, ValueError, IndexError, csv.Error, zlib.error) as error:
        raise _problem(path, f"cannot be read as numbers: {error}", "") from None
    sound = np.all(np.isfinite(values) & (values > 0), axis=1)
    if not sound.any():
        raise _problem(path, "holds no row", "")
    return {name: values[sound, i] for i, name in enumerate(names)}


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _problem(path: Path, found: str, allowed: str) -> InputError:
    return InputError(Problem(str(path), "", found, allowed, "give the folder of the reference data"))


def read_words(path: Path, name: str) -> list[str]:
    """One column of text.

    Raises:
        InputError: the file cannot be read or lacks the column.
    """
    try:
        with _open_text(path) as file:
            rows = csv.reader(file)
            place = next(rows, []).index(name)
            return [row[place] for row in rows]
    except (OSError, EOFError, ValueError, IndexError, csv.Error, zlib.error) as error:
        raise _problem(path, f"column {name!r} cannot be read: {error}", "") from None


def groups(*keys: FloatArray) -> NDArray[np.intp]:
    """One number for all rows with the same keys."""
    _, group = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)
    return np.asarray(group.reshape(-1), dtype=np.intp)


def joined(tables: Sequence[Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    """Rows of several tables with the same columns."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
