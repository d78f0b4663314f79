"""How long a profile from 400,000 kernel rows takes: tables of known kernels, fitted with held-out residuals.

Run with ``python benchmarks/kernel_fit.py [ROWS]``. Matrix products and attention of one made-up device are timed
by known coefficients with noise, written as tables, read again and fitted, with the correction on anchors and five
folds, and put into the text of a profile's file. Told are the processor seconds.
"""

# ruff: noqa: INP001, T201 - a script that prints

from __future__ import annotations

import csv
import gzip
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from simtool.calibrate.corrections import section
from simtool.calibrate.fit import Device, Fit, fit_attention, fit_gemm
from simtool.calibrate.tables import FloatArray, read_attention, read_gemm
from simtool.config.dump import dump_yaml
from simtool.machine.attention import attention_time_s
from simtool.machine.gemm import gemm_time_s
from simtool.rng import stream

NUM_ROWS, ATTENTION_PART = 400_000, 0.1
NOISE = 0.03
DEVICE = Device(peak_flop_per_s=989.4e12, num_processors=132, bandwidth_bytes_per_s=3.35e12, cache_bytes=50e6)
PRICED: dict[str, Any] = {
    "peak_flop_per_s": DEVICE.peak_flop_per_s,
    "num_processors": DEVICE.num_processors,
    "bandwidth_bytes_per_s": DEVICE.bandwidth_bytes_per_s,
    "element_bytes": DEVICE.element_bytes,
}
PRODUCT = SimpleNamespace(
    peak_frac=0.8, k_half=150.0, tile_half=5.0, wave_frac=0.4, bandwidth_frac=0.85, latency=3e-6
)
FLASH = SimpleNamespace(
    peak_frac=0.8, seq_half=700.0, head_half=40.0, tail_waves=0.5, latency=1e-5, backward_ratio=2.5
)


def products(count: int) -> tuple[list[str], FloatArray]:
    """Columns and rows of a table of products, every eighth of an octave in either direction."""
    rng = stream(1, "products", "sizes")
    m = np.rint(2.0 ** rng.uniform(0, 15, count))
    n, k = (np.rint(2.0 ** (rng.integers(40, 128, count) / 8.0)) for _ in range(2))
    time_s = gemm_time_s(m, n, k, curve=PRODUCT, **PRICED) * np.exp(NOISE * rng.standard_normal(count))
    return ["m", "n", "k", "latency"], np.stack([m, n, k, time_s * 1e3], axis=1)


def attention(count: int) -> tuple[list[str], FloatArray]:
    """Columns and rows of a table of causal attention."""
    rng = stream(1, "attention", "sizes")
    batch, tokens = (2.0 ** rng.integers(*ends, count).astype(float) for ends in ((0, 8), (7, 15)))
    heads = 4.0 * rng.integers(1, 25, count).astype(float)
    keys = heads / 2.0 ** rng.integers(0, 3, count)
    width = 64.0 * rng.integers(1, 4, count).astype(float)
    time_s = attention_time_s(batch, heads, tokens, width, curve=FLASH, num_kv_heads=keys, **PRICED)
    names = ["batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "latency"]
    noisy_ms = time_s * 1e3 * np.exp(NOISE * rng.standard_normal(count))
    return names, np.stack([batch, tokens, heads, keys, width, noisy_ms], axis=1)


def write(path: Path, names: list[str], rows: FloatArray) -> None:
    """As a packed table."""
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows.tolist())


def text(fit: Fit) -> str:
    """What a profile's file holds of a fit."""
    written: dict[str, object] = dict(fit.values)
    if fit.shape is not None and fit.anchors is not None:
        written["correction"] = section(fit.shape.terms, fit.anchors, "made up")
    return dump_yaml(written)


def main() -> None:
    """Make, write, read, fit, tell."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else NUM_ROWS
    few = int(count * ATTENTION_PART)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.csv.gz" for name in ("products", "attention")]
        write(paths[0], *products(count - few))
        write(paths[1], *attention(few))
        begin = time.process_time()
        tables = [read_gemm(paths[0]), read_attention(paths[1])]
        print(f"read {count} rows: {time.process_time() - begin:.1f} s")
        fits = [fit_gemm(tables[0], DEVICE), fit_attention(tables[1], DEVICE)]
        size = sum(len(text(fit)) for fit in fits)
        taken_s = time.process_time() - begin
        print(f"profile from {count} rows: {taken_s:.1f} s, {size / 1e3:.0f} kB of text")
    for name, fit in zip(("products", "attention"), fits, strict=True):
        print(f"{name}: held out {fit.everywhere.p50:.1%} median, {fit.everywhere.p90:.1%} p90")


if __name__ == "__main__":
    main()
