"""How much of its peak rates an accelerator reaches: the constants of the kernel models."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from simtool.config.fields import Fraction, Ratio, Seconds
from simtool.config.refusals import Complaint
from simtool.profiles.section import Section

Basis = Literal["measured", "transferred", "analytic"]
"""How an efficiency curve came about: measured on this device, taken over from the nearest
architecture, or from the analytic form with prior constants."""


class Table(Section):
    """Numbers at anchor sizes: what `machine.grid` is linear between, in the logarithm of the size."""

    axes: dict[str, str]
    """Anchor sizes along each axis, ascending, with spaces between."""
    rows: tuple[str, ...]
    """Thousandths, with spaces between: along the last axis in a row, the second last axis fastest."""

    def complaints(self) -> Iterator[Complaint]:
        """Sizes that are no ascending numbers, and rows that do not fill the grid."""
        yield from super().complaints()
        lengths = []
        for name, written in self.axes.items():
            sizes = _numbers(written)
            if sizes is None or len(sizes) < 2 or sizes[0] <= 0.0 or sorted(set(sizes)) != sizes:
                yield Complaint(
                    member="axes",
                    found=f"found {name} as {written!r}",
                    allowed="allowed: two or more ascending sizes above 0",
                    mend="write them as text, e.g. '64 512 4096'",
                )
                return
            lengths.append(len(sizes))
        wide, high = (lengths or [0])[-1], math.prod(lengths[:-1])
        if len(self.rows) != high or any(
            (numbers := _numbers(row)) is None or len(numbers) != wide for row in self.rows
        ):
            yield Complaint(
                member="rows",
                found=f"found {len(self.rows)} rows",
                allowed=f"the axes ask for {high} rows of {wide} numbers",
                mend="calibrate again",
            )


def _numbers(text: str) -> list[float] | None:
    try:
        found = [float(word) for word in text.split()]
    except ValueError:
        return None
    return found if all(math.isfinite(number) for number in found) else None


class Correction(Section):
    """Log of measured over modelled time, of which the coefficients know nothing: `machine.correction`.

    Holds between the anchors; beyond them the outermost value stays, and the model extrapolates.
    """

    source: str
    """Table behind it."""
    sizes: Table
    """By the sizes of operands: m, n, k of products; seq_len, sequences (heads of all sequences),
    heads_per_key, head_dim of attention."""
    idle: Table
    """By tile or block, number of waves, and k or head_dim; counts by log(whole waves / waves)."""
    edge: Table | None = None
    """Of products; counts by log(padded size / size)."""


class CollectiveCorrection(Section):
    """Log of measured over modelled time of collectives in one domain; held at the outermost anchors."""

    source: str
    """Table behind it."""
    kinds: dict[str, Table]
    """By kind of collective, over ranks and the size of the buffer [byte]."""


class Gemm(Section):
    """Matrix-multiply time: tiles in waves over the processors, see `machine.gemm`."""

    peak_frac: Fraction
    """Share of the peak rate that full waves of the largest tiles reach at a long inner size."""
    k_half: Ratio
    """Inner size at which a tile's set-up costs as much as its work [element]."""
    tile_half: Ratio
    """Cost of small tiles: time grows by this times the perimeter over the area of the tile, beyond
    that of the largest tile [element]."""
    wave_frac: Fraction
    """Share of the idle part of the last wave that is paid: 0, other work fills it; 1, none does."""
    bandwidth_frac: Fraction
    """Share of the memory bandwidth that reading the operands and writing the product reaches."""
    latency: Seconds
    """Time of the smallest kernel."""
    weight_gradient_ratio: Ratio
    """Time of a weight gradient over a forward product of the same shape: transposed operands and a
    sum kept in fp32."""
    basis: Basis
    residual_p50: float | None = None
    """Median |relative error| on held-out shapes of training size (m >= 512, above 10 GFLOP)."""
    residual_p90: float | None = None
    residual_all_p50: float | None = None
    """The same on held-out shapes of every size, single-row products of inference included."""
    residual_all_p90: float | None = None
    num_measured: int = 0
    """Kernels in the table behind the fit."""
    correction: Correction | None = None
    """What the coefficients miss, where a large table shows it."""


class Attention(Section):
    """Flash-attention time by work, sequence length, head size and blocks in flight: `machine.attention`."""

    peak_frac: Fraction
    """Share of the peak rate at long sequences, wide heads and many blocks."""
    seq_half: Ratio
    """Sequence length at which half of that is reached [token]."""
    head_half: Ratio
    """Head size at which softmax takes as long as the matrix products [element]."""
    tail_waves: Ratio
    """Waves of query blocks lost at the uneven end, when not all processors are busy."""
    latency: Seconds
    """Time of the smallest kernel."""
    backward_ratio: Ratio
    """Time of the backward over the forward."""
    basis: Basis
    residual_p50: float | None = None
    """Median |relative error| on held-out head layouts of training size (seq_len >= 512, above 10 GFLOP)."""
    residual_p90: float | None = None
    residual_all_p50: float | None = None
    """The same on held-out head layouts of every sequence length."""
    residual_all_p90: float | None = None
    num_measured: int = 0
    correction: Correction | None = None
    """What the coefficients miss, where a large table shows it."""


class MemoryBound(Section):
    """Time of memory-bound work: bytes / (bandwidth x frac) + latency, see `machine.memory_bound`."""

    bandwidth_frac: Fraction
    """Share of the memory bandwidth that streaming kernels reach."""
    latency: Seconds
    """Time of the smallest kernel."""
    basis: Basis
    residual_p50: float | None = None
    """Median |relative error| on held-out sizes that the cache cannot hold."""
    residual_p90: float | None = None
    num_measured: int = 0


class Efficiency(Section):
    """How much of the peak rates real kernels reach."""

    gemm: Gemm
    attention: Attention
    memory: MemoryBound
    grouped_gemm: Basis = "analytic"
    """Of experts' grouped products, priced by `gemm` and the software's ratio: measured where a table of training
    kernels holds them on this device, transferred where only plain products were measured."""
    convolution: Basis = "analytic"
    """Of convolutions, priced by `gemm` and the software's ratio; no table holds any, so never measured."""
    training_ratio: Ratio
    """Time of a matrix product inside sustained training over the isolated kernel of `gemm`
    (throttling, memory layouts, neighbours in the cache); below 1 where the kernels were measured
    hotter than training runs."""
    ordinary_ratio: Ratio | None = None
    """Time of fp32 products, which run on the ordinary units, over the same curve at their rate; 1 if not given."""
