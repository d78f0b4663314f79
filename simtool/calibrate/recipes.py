"""How each efficiency file is put together: own curves, or whose are taken over, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAMF = "best of many matrix shapes, stas00/ml-engineering 744d01e"
TRAINING_ROWS = "regularised fit to public training rows"
"""Source of what isolated kernels cannot show: the ratio of sustained training to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Sustained training over isolated kernels, as a fit to training rows found it."""

    value: float
    spread: float
    source: str
    over: str = ""
    """Device whose curve the ratio was found over; it is restated over the file's own curve. Empty
    where it is already one over the own curve."""
    is_assumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Share of the peak rate that large products reach, where another source knows it better."""

    value: float
    spread: float
    source: str
    is_assumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EfficiencyFile:
    """How one efficiency file is put together: whose curves, own or taken over."""

    family: str
    gemm: str = ""
    """Measured device; empty for the analytic form."""
    attention: str = ""
    memory: str = ""
    backward: str = ""
    peak: Share | None = None
    ratio: Ratio
    distance: float = 0.2
    """Least spread of numbers that are taken over from another device."""
    corrected: tuple[str, ...] = ()
    """Op classes whose correction is taken along with the coefficients: the same silicon, or the same at
    another bandwidth."""
    waves: bool = True
    """False: one operation runs on the whole device at once, so nothing waits for a last wave."""


def _trained(value: float, spread: float, over: str = "", note: str = "") -> Ratio:
    return Ratio(value=value, spread=spread, source=f"{TRAINING_ROWS}: {note or f'{value:.2f}'}", over=over)


def _judged(value: float, spread: float, why: str) -> Ratio:
    return Ratio(value=value, spread=spread, source=f"no training rows: {why}", is_assumed=True)


def _assumed_share(value: float, spread: float, why: str) -> Share:
    return Share(value=value, spread=spread, source=why, is_assumed=True)


FILES: Mapping[str, EfficiencyFile] = {
    # with kernel tables of their own
    "a100-sxm-80": EfficiencyFile(
        family="ampere",
        corrected=("gemm", "attention"),
        gemm="a100-sxm-80",
        attention="a100-sxm-80",
        memory="a100-sxm-80",
        backward="a100-sxm-80",
        ratio=_trained(1.02, 0.08),
    ),
    "h100-sxm": EfficiencyFile(
        family="hopper",
        corrected=("gemm", "attention"),
        gemm="h100-sxm",
        attention="h100-sxm",
        memory="h100-sxm",
        backward="b200-sxm",
        ratio=_trained(1.19, 0.1),
    ),
    "h200-sxm": EfficiencyFile(
        family="hopper",
        corrected=("gemm", "attention"),
        gemm="h200-sxm",
        attention="h200-sxm",
        memory="h100-sxm",
        backward="b200-sxm",
        ratio=_trained(1.09, 0.1, over="h100-sxm"),
        distance=0.1,
    ),
    "b200-sxm": EfficiencyFile(
        family="blackwell",
        corrected=("gemm", "attention"),
        gemm="b200-sxm",
        attention="b200-sxm",
        backward="b200-sxm",
        ratio=_trained(1.26, 0.12, over="h100-sxm"),
    ),
    "gb200": EfficiencyFile(
        family="blackwell",
        corrected=("gemm", "attention"),
        gemm="gb200",
        attention="b200-sxm",
        backward="b200-sxm",
        ratio=_trained(1.26, 0.12, over="h100-sxm"),
        distance=0.1,
    ),
    "l40s": EfficiencyFile(
        family="ada",
        corrected=("gemm",),
        gemm="l40s",
        attention="a100-sxm-80",
        memory="a40",
        backward="a100-sxm-80",
        ratio=_judged(1.1, 0.15, "between A100 and H100"),
    ),
    # families, NVIDIA
    "pascal": EfficiencyFile(
        family="pascal",
        peak=_assumed_share(0.85, 0.15, "no matrix units; their absence makes the peak rate easier to reach"),
        ratio=_judged(1.1, 0.2, "between A100 and H100"),
    ),
    "volta": EfficiencyFile(
        family="volta",
        gemm="a100-sxm-80",
        attention="a100-sxm-80",
        memory="a100-sxm-80",
        backward="a100-sxm-80",
        ratio=_trained(1.07, 0.15),
    ),
    "turing": EfficiencyFile(
        family="turing",
        gemm="a100-sxm-80",
        attention="a100-sxm-80",
        memory="a40",
        backward="a100-sxm-80",
        ratio=_judged(1.4, 0.3, "a board of 70 W cannot hold its clock under matrix work"),
    ),
    "ampere": EfficiencyFile(
        family="ampere",
        corrected=("gemm", "attention"),
        gemm="a100-sxm-80",
        attention="a100-sxm-80",
        memory="a100-sxm-80",
        backward="a100-sxm-80",
        ratio=_trained(1.02, 0.1, note="1.02 on A100 SXM"),
        distance=0.05,
    ),
    "ampere-ga10x": EfficiencyFile(
        family="ampere-ga10x",
        gemm="a40",
        attention="a100-sxm-80",
        memory="a40",
        backward="a100-sxm-80",
        ratio=_judged(1.1, 0.2, "between A100 and H100"),
        distance=0.1,
    ),
    "ada": EfficiencyFile(
        family="ada",
        corrected=("gemm",),
        gemm="l40s",
        attention="a100-sxm-80",
        memory="a40",
        backward="a100-sxm-80",
        ratio=_judged(1.1, 0.2, "between A100 and H100"),
        distance=0.1,
    ),
    "hopper": EfficiencyFile(
        family="hopper",
        corrected=("gemm", "attention"),
        gemm="h100-sxm",
        attention="h100-sxm",
        memory="h100-sxm",
        backward="b200-sxm",
        ratio=_trained(1.19, 0.12, note="1.19 on H100 SXM, 1.16 on H100 of 500 W"),
        distance=0.05,
    ),
    "blackwell": EfficiencyFile(
        family="blackwell",
        corrected=("gemm", "attention"),
        gemm="b200-sxm",
        attention="b200-sxm",
        backward="b200-sxm",
        ratio=_trained(1.08, 0.12, over="h100-sxm", note="B300 1.16, GB300 1.00; their mean"),
        distance=0.1,
    ),
    "blackwell-consumer": EfficiencyFile(
        family="blackwell-consumer",
        gemm="l40s",
        attention="a100-sxm-80",
        memory="a40",
        backward="a100-sxm-80",
        ratio=_judged(1.1, 0.25, "between A100 and H100"),
    ),
    "rubin": EfficiencyFile(
        family="rubin",
        gemm="b200-sxm",
        attention="b200-sxm",
        backward="b200-sxm",
        ratio=_judged(
            1.0, 0.2, "not shipped; B200 and B300 train about as fast as the kernels in long loops"
        ),
        distance=0.3,
    ),
    # families, AMD
    "cdna1": EfficiencyFile(
        family="cdna1",
        gemm="mi210",
        ratio=_judged(1.3, 0.3, "between NVIDIA and MI300X"),
        distance=0.2,
    ),
    "cdna2": EfficiencyFile(
        family="cdna2",
        gemm="mi210",
        ratio=_judged(1.3, 0.3, "between NVIDIA and MI300X"),
        distance=0.1,
    ),
    "cdna3": EfficiencyFile(
        family="cdna3",
        peak=Share(value=0.55, spread=0.1, source=f"{MAMF}: MI300X 0.51, MI325X 0.60 of peak; their mean"),
        ratio=_trained(2.3, 0.25, over="h100-sxm", note="MI300X 2.3"),
    ),
    "cdna4": EfficiencyFile(
        family="cdna4",
        peak=Share(value=0.62, spread=0.1, source=f"{MAMF}: MI355X 1565 of 2516 TFLOP/s"),
        ratio=_judged(1.4, 0.3, "as MI300X"),
    ),
    "cdna5": EfficiencyFile(
        family="cdna5",
        peak=_assumed_share(0.62, 0.2, "not shipped; as MI355X"),
        ratio=_judged(1.4, 0.35, "not shipped; as MI300X"),
    ),
    # others
    "gaudi": EfficiencyFile(
        family="gaudi",
        peak=Share(value=0.86, spread=0.14, source=f"{MAMF}: Gaudi 2 0.97, Gaudi 3 0.74 of peak; their mean"),
        ratio=_judged(1.2, 0.25, "as H100"),
    ),
    "xe-hpc": EfficiencyFile(
        family="xe-hpc",
        peak=_assumed_share(0.6, 0.25, "no table; between MI300X and A100"),
        ratio=_judged(1.3, 0.3, "between NVIDIA and MI300X"),
    ),
    "tpu": EfficiencyFile(
        family="tpu",
        peak=_assumed_share(0.92, 0.08, "no table; a systolic array that the compiler fills"),
        ratio=_trained(
            0.95,
            0.13,
            over="h100-sxm",
            note="v4 0.84, v5e 0.86, v5p 0.91, v6e 1.16, v7x 0.96; their mean, v2 and v3 unknown",
        ),
        waves=False,
    ),
    "trainium": EfficiencyFile(
        family="trainium",
        peak=_assumed_share(0.7, 0.25, "no table"),
        ratio=_judged(1.3, 0.3, "between NVIDIA and MI300X"),
        waves=False,
    ),
    "wafer": EfficiencyFile(
        family="wafer",
        peak=_assumed_share(0.5, 0.4, "no table"),
        ratio=_judged(1.3, 0.4, "between NVIDIA and MI300X"),
        waves=False,
    ),
    "ascend": EfficiencyFile(
        family="ascend",
        peak=_assumed_share(0.65, 0.25, "no table; between MI300X and A100"),
        ratio=_judged(1.3, 0.3, "between NVIDIA and MI300X"),
    ),
    "apple": EfficiencyFile(
        family="apple",
        peak=_assumed_share(0.7, 0.25, "no table; ordinary units, easier to fill than matrix units"),
        ratio=_judged(1.2, 0.3, "as H100"),
    ),
    "cpu": EfficiencyFile(
        family="cpu",
        peak=_assumed_share(0.5, 0.4, "no table; matrix units and clocks of servers differ widely"),
        ratio=_judged(1.2, 0.4, "as H100"),
    ),
}
"""All shipped efficiency files by name: first the devices with tables, then every family."""
