"""The device time of a model on one accelerator from its trace on another, against its own trace there.

Constants of the transfer are fitted to the other models. Beside it the ratios that a person takes without a
model: the same time, that of the peak rates, that of the memory bandwidths.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simtool.profiles.find import ProfileLibrary
from simtool.profiles.schema import Accelerator
from simtool.transfer.pairs import HeldOut, leave_one_out, read_pairs
from simtool.units import MEGA
from simtool.validate.check import CHECKS, Outcome

PAIRS = Path("data/kineto")
COLUMNS = ("model", "from", "to", "measured", "projected", "error", "same", "peak", "bandw.")


@CHECKS.register("kineto-pairs")
def kineto_pairs(reference: Path, library: ProfileLibrary) -> Outcome:
    """Project every trace that has a partner to its partner's device, with its model left out of the fit.

    Args:
        reference: folder that holds ``data/kineto``.
        library: finds the devices' profiles.

    Raises:
        InputError: no pair is there, or a trace cannot be read.
    """
    held_out = list(leave_one_out(read_pairs(reference / PAIRS, library), library))
    figures: dict[str, float] = {}
    rows, baselines, covered = [], [], []
    for one in held_out:
        interval, measured_s = one.projection.whole.device_time_interval_s, one.target.traced.device_time_s
        others = _without_a_model(one)
        baselines.append(others)
        covered.append(interval[0] <= measured_s <= interval[1])
        here, there = one.projection.source, one.projection.target
        figures[f"{one.model}_{here}_to_{there}_error_frac".replace("-", "_")] = one.error_frac
        times = (_us(measured_s), _us(one.projection.whole.device_time_s))
        shown = (f"{error:+.0%}" for error in (one.error_frac, *others))
        rows.append((one.model, here, there, *times, *shown))
    errors = np.abs([one.error_frac for one in held_out])
    same, peak, bandwidth = np.mean(np.abs(baselines), axis=0)
    figures |= {
        "time_error_mean_frac": float(errors.mean()),
        "time_error_max_frac": float(errors.max()),
        "same_time_error_mean_frac": float(same),
        "peak_ratio_error_mean_frac": float(peak),
        "bandwidth_ratio_error_mean_frac": float(bandwidth),
        "interval_coverage_frac": float(np.mean(covered)),
        "num_projections": float(len(held_out)),
    }
    return Outcome(
        title="device time of a trace on another device, constants fitted without its model",
        columns=COLUMNS,
        rows=tuple(rows),
        figures=figures,
        notes=(
            _means(errors, same, peak, bandwidth),
            f"{sum(covered)} of {len(covered)} within the interval from the 10th to the 90th percentile",
            "times are sums over all kernels, in microseconds; an error is projected over measured, less 1",
            "same, peak, bandw.: the same time, by peak bf16 rates, by memory bandwidths",
        ),
    )


def _means(errors: NDArray[np.float64], same: float, peak: float, bandwidth: float) -> str:
    return (
        f"mean of |error| {errors.mean():.1%}, largest {errors.max():.1%}; same time {same:.1%}, by peak rates "
        f"{peak:.1%}, by bandwidths {bandwidth:.1%}"
    )


def _without_a_model(one: HeldOut) -> tuple[float, float, float]:
    """Errors of the same time, and of times that go with the peak bf16 rate and with the bandwidth."""
    source, target = one.source.accelerator, one.target.accelerator
    ratio = one.source.traced.device_time_s / one.target.traced.device_time_s
    bandwidth = float(source.memory.bandwidth) / float(target.memory.bandwidth)
    return ratio - 1.0, ratio * _peak(source) / _peak(target) - 1.0, ratio * bandwidth - 1.0


def _peak(accelerator: Accelerator) -> float:
    return float(accelerator.peak["bf16"])


def _us(seconds: float) -> str:
    return f"{seconds * MEGA:,.0f}"
