"""Which devices have kernel tables, and whose curves the families without one take over."""

from __future__ import annotations

from dataclasses import dataclass

PRIOR_SOURCE = "regularised fit to public training rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A device with a kernel table."""

    table: str
    family: str
    peak_flop_per_s: float
    num_processors: int
    bandwidth_bytes_per_s: float
    training_ratio: float
    training_spread: float
    attention_from: str | None = None
    """Device whose attention curve is taken over, where this one has no table."""


MEASURED = {
    "a100-sxm-80": Measured(
        table="a100_sxm",
        family="ampere",
        peak_flop_per_s=312e12,
        num_processors=108,
        bandwidth_bytes_per_s=2.039e12,
        training_ratio=1.02,
        training_spread=0.08,
    ),
    "h100-sxm": Measured(
        table="h100_sxm",
        family="hopper",
        peak_flop_per_s=989.4e12,
        num_processors=132,
        bandwidth_bytes_per_s=3.35e12,
        training_ratio=1.19,
        training_spread=0.1,
    ),
    "h200-sxm": Measured(
        table="h200_sxm",
        family="hopper",
        peak_flop_per_s=989.4e12,
        num_processors=132,
        bandwidth_bytes_per_s=4.8e12,
        training_ratio=1.09,
        training_spread=0.1,
    ),
    "b200-sxm": Measured(
        table="b200_sxm",
        family="blackwell",
        peak_flop_per_s=2250e12,
        num_processors=148,
        bandwidth_bytes_per_s=8e12,
        training_ratio=1.26,
        training_spread=0.12,
    ),
    "gb200": Measured(
        table="gb200",
        family="blackwell",
        peak_flop_per_s=2500e12,
        num_processors=148,
        bandwidth_bytes_per_s=8e12,
        training_ratio=1.26,
        training_spread=0.12,
        attention_from="b200-sxm",
    ),
    "l40s": Measured(
        table="l40s",
        family="ada",
        peak_flop_per_s=362e12,
        num_processors=142,
        bandwidth_bytes_per_s=0.864e12,
        training_ratio=1.1,
        training_spread=0.15,
        attention_from="a100-sxm-80",
    ),
}
"""Peak, processors and bandwidth as in the profiles; a test compares them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """A family without a table of its own."""

    nearest: str
    """Measured device whose curves it takes over."""
    training_ratio: float
    training_spread: float
    why: str
    """Source of the training ratio."""
    peak_frac: float | None = None
    """Share of the peak rate, where another source knows it better than the nearest device."""
    peak_spread: float = 0.15
    peak_source: str = ""


_MAMF = "best of many matrix shapes, stas00/ml-engineering"
_JUDGED = "no training rows: the middle of those that have some, widened"
INHERITED = {
    "pascal": Inherited(nearest="a100-sxm-80", training_ratio=1.1, training_spread=0.25, why=_JUDGED),
    "volta": Inherited(nearest="a100-sxm-80", training_ratio=1.07, training_spread=0.15, why=PRIOR_SOURCE),
    "turing": Inherited(nearest="a100-sxm-80", training_ratio=1.1, training_spread=0.25, why=_JUDGED),
    "ampere": Inherited(nearest="a100-sxm-80", training_ratio=1.02, training_spread=0.1, why=PRIOR_SOURCE),
    "ampere-ga10x": Inherited(nearest="l40s", training_ratio=1.1, training_spread=0.2, why=_JUDGED),
    "ada": Inherited(nearest="l40s", training_ratio=1.1, training_spread=0.2, why=_JUDGED),
    "hopper": Inherited(nearest="h100-sxm", training_ratio=1.19, training_spread=0.12, why=PRIOR_SOURCE),
    "blackwell": Inherited(
        nearest="b200-sxm",
        training_ratio=1.16,
        training_spread=0.15,
        why=f"{PRIOR_SOURCE}: B300 1.16, GB300 1.00",
    ),
    "blackwell-consumer": Inherited(nearest="l40s", training_ratio=1.1, training_spread=0.25, why=_JUDGED),
    "rubin": Inherited(
        nearest="b200-sxm", training_ratio=1.26, training_spread=0.3, why="as B200, not shipped yet"
    ),
    "cdna1": Inherited(
        nearest="a100-sxm-80",
        training_ratio=1.3,
        training_spread=0.3,
        why=_JUDGED,
        peak_frac=0.6,
        peak_source="between MI300X and A100",
        peak_spread=0.25,
    ),
    "cdna2": Inherited(
        nearest="a100-sxm-80",
        training_ratio=1.3,
        training_spread=0.3,
        why=_JUDGED,
        peak_frac=0.6,
        peak_source="between MI300X and A100",
        peak_spread=0.25,
    ),
    "cdna3": Inherited(
        nearest="h100-sxm",
        training_ratio=1.4,
        training_spread=0.25,
        why=f"{PRIOR_SOURCE}: MI300X 2.3 over an NVIDIA curve",
        peak_frac=0.52,
        peak_source=f"{_MAMF}: MI300X 668 of 1307 TFLOP/s",
    ),
    "cdna4": Inherited(
        nearest="h100-sxm",
        training_ratio=1.4,
        training_spread=0.3,
        why="as MI300X",
        peak_frac=0.65,
        peak_source=f"{_MAMF}: MI355X 1565 of 2516 TFLOP/s",
    ),
    "cdna5": Inherited(
        nearest="h100-sxm",
        training_ratio=1.4,
        training_spread=0.35,
        why="as MI300X, not shipped yet",
        peak_frac=0.65,
        peak_source="as MI355X",
        peak_spread=0.25,
    ),
    "gaudi": Inherited(
        nearest="h100-sxm",
        training_ratio=1.2,
        training_spread=0.25,
        why=_JUDGED,
        peak_frac=0.8,
        peak_source=f"{_MAMF}: Gaudi 2 0.97, Gaudi 3 0.74 of peak",
    ),
    "xe-hpc": Inherited(
        nearest="a100-sxm-80",
        training_ratio=1.3,
        training_spread=0.3,
        why=_JUDGED,
        peak_frac=0.6,
        peak_source="no measurement",
        peak_spread=0.3,
    ),
    "tpu": Inherited(
        nearest="h100-sxm",
        training_ratio=0.95,
        training_spread=0.13,
        why=f"{PRIOR_SOURCE}: v4 0.84, v5e 0.86, v5p 0.91, v6e 1.16, v7x 0.96; their mean",
    ),
    "trainium": Inherited(
        nearest="h100-sxm",
        training_ratio=1.3,
        training_spread=0.3,
        why=_JUDGED,
        peak_frac=0.7,
        peak_source="no measurement",
        peak_spread=0.25,
    ),
    "wafer": Inherited(
        nearest="h100-sxm",
        training_ratio=1.3,
        training_spread=0.4,
        why=_JUDGED,
        peak_frac=0.5,
        peak_source="no measurement",
        peak_spread=0.4,
    ),
    "ascend": Inherited(
        nearest="a100-sxm-80",
        training_ratio=1.3,
        training_spread=0.3,
        why=_JUDGED,
        peak_frac=0.65,
        peak_source="no measurement",
        peak_spread=0.25,
    ),
    "apple": Inherited(
        nearest="l40s",
        training_ratio=1.2,
        training_spread=0.3,
        why=_JUDGED,
        peak_frac=0.7,
        peak_source="no measurement",
        peak_spread=0.25,
    ),
    "cpu": Inherited(
        nearest="l40s",
        training_ratio=1.2,
        training_spread=0.4,
        why=_JUDGED,
        peak_frac=0.5,
        peak_source="no measurement",
        peak_spread=0.4,
    ),
}
