"""Matrix-multiply time on one accelerator: tiles in waves, a set-up cost, and a memory floor."""

from __future__ import annotations

from typing import Protocol, SupportsFloat

import numpy as np

from simtool.machine.correction import Correction, product_factor
from simtool.stepgraph import Number

TILES: tuple[tuple[int, int], ...] = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64))
"""Output tiles (rows, columns) among which a matrix-multiply library chooses, the largest first.
These are the thread-block tiles that CUTLASS and cuBLAS ship for tensor cores of every generation
since Volta; a library picks the fastest for a shape, and so does `gemm_time_s`."""

_LARGEST_PERIMETER = 1 / TILES[0][0] + 1 / TILES[0][1]


class GemmCurve(Protocol):
    """The coefficients of `gemm_time_s`: `profiles.curves.Gemm`, or plain floats during a fit."""

    @property
    def peak_frac(self) -> SupportsFloat:
        """Share of the peak rate in the limit."""

    @property
    def k_half(self) -> SupportsFloat:
        """Inner size whose work equals the set-up [element]."""

    @property
    def tile_half(self) -> SupportsFloat:
        """Cost of small tiles [element]."""

    @property
    def wave_frac(self) -> SupportsFloat:
        """Paid share of the idle part of the last wave."""

    @property
    def bandwidth_frac(self) -> SupportsFloat:
        """Share of the memory bandwidth."""

    @property
    def latency(self) -> SupportsFloat:
        """Time of the smallest kernel [s]."""


def gemm_time_s(
    m: Number,
    n: Number,
    k: Number,
    *,
    peak_flop_per_s: Number,
    num_processors: int | None,
    bandwidth_bytes_per_s: Number,
    element_bytes: Number,
    curve: GemmCurve,
    batch: Number = 1.0,
    moved_bytes: Number | None = None,
    correction: Correction | None = None,
) -> Number:
    r"""Time of ``batch`` products of an (m, k) by a (k, n) matrix [s].

    ::

        waves   = batch ceil(m/rows) ceil(n/columns) / num_processors
        paid    = (1 - wave_frac) waves + wave_frac ceil(waves)
        shape   = 1 + tile_half ((1/rows + 1/columns) - (1/256 + 1/128))
        compute = min over tiles of  paid x 2 rows columns (k + k_half) shape
                                     / (peak / num_processors x peak_frac)
        memory  = batch (m k + k n + m n) element_bytes / (bandwidth x bandwidth_frac)
        time    = (compute^3 + memory^3)^(1/3) + latency

    Large tiles reuse each operand more often (traffic to a processor per unit of work goes as
    1/rows + 1/columns), small tiles waste less of the matrix edge and of the last wave: the minimum
    is the library's trade-off. The cubic norm is a soft maximum, since a kernel near the ridge point
    overlaps its loads imperfectly. The time never undercuts the rooflines
    ``2 batch m n k / peak`` and ``bytes / bandwidth``, and never falls as m, n, k or batch grow.

    With a `correction` the time is multiplied by what the device's table shows beyond this form, and still
    undercuts neither roofline. Real libraries are not monotone, and within the anchors neither is it then.

    Form: tile and wave quantisation as in Lee et al., NeuSight (arXiv:2407.13853), with bounded
    coefficients instead of a network, so that unseen shapes and devices extrapolate.

    Args:
        m: rows of the product [element]; arrays broadcast.
        n: columns of the product [element].
        k: inner size, summed over [element].
        peak_flop_per_s: dense peak rate at the precision [FLOP/s].
        num_processors: streaming multiprocessors, compute units or cores; None leaves the waves out
            and keeps the tiles.
        bandwidth_bytes_per_s: device memory bandwidth [byte/s].
        element_bytes: size of an element of operands and product [byte].
        curve: the efficiency coefficients.
        batch: independent products in one kernel.
        moved_bytes: what is read and written in all, in place of operands and product: a convolution reads
            its input once, although it meets it in every position of its window [byte].
        correction: the grids of the device's table, if it has one.

    >>> from types import SimpleNamespace
    >>> ideal = SimpleNamespace(
    ...     peak_frac=1.0, k_half=0.0, tile_half=0.0, wave_frac=0.0, bandwidth_frac=1.0, latency=0.0
    ... )
    >>> time_s = gemm_time_s(8192, 8192, 8192, peak_flop_per_s=1e15, num_processors=128,
    ...                      bandwidth_bytes_per_s=1e13, element_bytes=2, curve=ideal)
    >>> round(float(time_s) * 1e3, 3)  # 2 x 8192^3 / 1e15 = 1.1 ms
    1.1
    """
    rows_m, columns_n, inner = np.asarray(m, float), np.asarray(n, float), np.asarray(k, float)
    wave_frac, tile_half = float(curve.wave_frac), float(curve.tile_half)
    cheapest: Number = np.inf
    for rows, columns in TILES:
        tiles = batch * np.ceil(rows_m / rows) * np.ceil(columns_n / columns)
        if num_processors is not None:
            # in units of tiles, so that the processor's share of the peak rate cancels
            whole = num_processors * np.ceil(tiles / num_processors)
            tiles = (1 - wave_frac) * tiles + wave_frac * whole
        shape = 1 + tile_half * (1 / rows + 1 / columns - _LARGEST_PERIMETER)
        cheapest = np.minimum(cheapest, tiles * (2 * rows * columns * shape))
    compute_s = cheapest * (inner + float(curve.k_half)) / (peak_flop_per_s * float(curve.peak_frac))
    if moved_bytes is None:
        moved_bytes = batch * (rows_m * inner + inner * columns_n + rows_m * columns_n) * element_bytes
    memory_s = moved_bytes / (bandwidth_bytes_per_s * float(curve.bandwidth_frac))
    time_s: Number = np.cbrt(compute_s**3 + memory_s**3) + float(curve.latency)
    if correction is None:
        return time_s
    time_s = time_s * product_factor(
        correction, rows_m, columns_n, inner, batch=batch, num_processors=num_processors
    )
    least_s = np.maximum(
        2.0 * batch * rows_m * columns_n * inner / peak_flop_per_s, moved_bytes / bandwidth_bytes_per_s
    )
    return np.asarray(np.maximum(time_s, least_s))
