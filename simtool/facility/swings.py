"""Power of a job of many ranks, and of a site of many jobs, at second scale: mean, spread, p99, peak and ramp.

Ranks that compute and wait at the same moment add their swings; ranks that do not, mostly cancel. Of every rank, the
begin of its step relative to the job's is a random offset:

- with probability ``sqrt(coherence)`` it keeps step with the job, up to a spread of standard deviation `jitter_s`
  (the stages of a pipeline, stragglers), taken uniform; so two ranks are in step with probability `coherence`;
- otherwise any offset within the period is as likely as any other.

Then harmonic k of N ranks of the waveform c has the mean square (over time and offsets)

    |c_k|^2 (N + N (N - 1) coherence sinc^2(k w / T)),   w = sqrt(12) jitter_s

and the power at a moment is close to normal around the job's mean course, which is again a waveform: moving average
over w, times sqrt(coherence) N. All sums over harmonics are taken as integrals over pieces, so none is cut off.
Jobs have periods of their own and superpose without coherence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.errors import InputError, Problem
from simtool.step.estimate import StepEstimate
from simtool.step.waveform import SUPPLY_LAG_S, Waveform, averaged

FloatArray = NDArray[np.float64]

P99_SHARE = 0.01
PEAK_SHARE = 1e-6
"""Share of time in which `Swing.peak_w` is exceeded: half a minute a year."""
PEAK_SIGMAS = 4.753
"""Of a normal distribution, exceeded with probability `PEAK_SHARE`."""
SHORTEST_FRAC = 1e-9
"""Of the period: begins that lie closer are one."""
UNIFORM_WIDTH = math.sqrt(12.0)
"""Width of a uniform distribution over its standard deviation."""
NUM_CUTS = 16
"""Parts of a piece within which the variance between ranks counts as constant."""
NUM_BINS = 8192
"""Of the power axis where the loads of several jobs are added as distributions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLoad:
    """A job as its power is seen from outside."""

    waveform: Waveform
    """Of one rank; power constant within every piece."""
    num_ranks: int
    coherence: float = 1.0
    """Probability that two ranks are in step: 1 in a synchronous job, 0 for ranks that know nothing of each other."""
    jitter_s: float = 0.0
    """Standard deviation of the begin of a rank's step, of those in step [s]."""

    def __post_init__(self) -> None:
        wrong = [
            Problem("", f"job.{name}", f"found {found:g}", f"allowed: {allowed}", "correct it")
            for name, found, allowed, fits in (
                ("num_ranks", self.num_ranks, "1 or more", self.num_ranks >= 1),
                ("coherence", self.coherence, "0 to 1", 0.0 <= self.coherence <= 1.0),
                ("jitter_s", self.jitter_s, "0 s or more", 0.0 <= self.jitter_s < math.inf),
            )
            if not fits
        ]
        if np.any(self.waveform.start_w != self.waveform.end_w):
            found = "power is not constant within every piece"
            wrong.append(
                Problem("", "job.waveform", found, "", "give the waveform of a step, before mitigation")
            )
        if wrong:
            raise InputError(wrong)

    @property
    def in_step_frac(self) -> float:
        """Share of the ranks that keep step with the job."""
        return math.sqrt(self.coherence)

    @property
    def width_s(self) -> float:
        """Over which the begins of ranks in step are spread."""
        width_s = UNIFORM_WIDTH * self.jitter_s
        return width_s if width_s > SHORTEST_FRAC * self.waveform.period_s else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """How the power of a job or a site moves."""

    mean_w: float
    std_w: float
    """Standard deviation over time and over what is random."""
    p99_w: float
    """Exceeded in 1 % of the time."""
    peak_w: float
    """Exceeded in a millionth of the time."""
    ramp_w_per_s: float
    """Fastest change behind the supplies, either way; of several jobs, all at once."""

    @property
    def std_frac(self) -> float:
        """Of the mean."""
        return self.std_w / self.mean_w


def pipeline_jitter_s(estimate: StepEstimate) -> float:
    """Spread of the begins of a job's ranks by their place in the pipeline [s].

    The last stage begins when the first micro-batch reaches it and ends when the pipeline drains: from stage to
    stage the step is shifted by equal parts of the bubble. Standard deviation of a uniform spread over it.
    """
    return float(np.asarray(estimate.seconds["bubble"])) / UNIFORM_WIDTH


def mean_course(job: JobLoad) -> Waveform:
    """Mean over all offsets of the job's power, as it goes with the phase of the job's step.

    >>> wave = Waveform.of_phases([("compute", 3.0, 700.0), ("wait", 1.0, 100.0)])
    >>> mean_course(JobLoad(waveform=wave, num_ranks=10)).peak_w
    7000.0
    >>> mean_course(JobLoad(waveform=wave, num_ranks=10, coherence=0.25)).peak_w    # half in step: 3500 + 2750
    6250.0
    """
    share = job.in_step_frac
    loose_w = (1.0 - share) * job.num_ranks * job.waveform.mean_w
    return averaged(job.waveform, job.width_s).scaled(share * job.num_ranks, offset_w=loose_w)


def job_swing(job: JobLoad, *, lag_s: float = SUPPLY_LAG_S.value) -> Swing:
    """Swing of one job.

    ::

        variance = N (var + (N - 1) coherence var_w),   var_w of the waveform averaged over w

    Args:
        job: its ranks.
        lag_s: time constant of the supplies, for the ramp [s].

    >>> wave = Waveform.of_phases([("compute", 1.0, 3.0), ("wait", 1.0, 1.0)])       # standard deviation 1 W
    >>> job_swing(JobLoad(waveform=wave, num_ranks=100)).std_w
    100.0
    >>> job_swing(JobLoad(waveform=wave, num_ranks=100, coherence=0.0)).std_w        # sqrt(100)
    10.0
    """
    spread = averaged(job.waveform, job.width_s)
    variance = job.num_ranks * (
        job.waveform.std_w**2 + (job.num_ranks - 1.0) * job.coherence * spread.std_w**2
    )
    course = mean_course(job)
    weights, means_w, stds_w, slopes_w = _moments(job, course)
    highest_w = job.num_ranks * job.waveform.peak_w
    levels = [
        min(_exceeded(share, weights, means_w, stds_w, slopes_w), highest_w)
        for share in (P99_SHARE, PEAK_SHARE)
    ]
    own, in_step = job.waveform.lagged_ramp(lag_s)[1], spread.lagged_ramp(lag_s)[1]
    loose = math.sqrt(max(job.num_ranks * (own**2 - job.coherence * in_step**2), 0.0))
    fastest = course.lagged_ramp(lag_s)[0] + (0.0 if _is_sure(job) else PEAK_SIGMAS * loose)
    return Swing(
        mean_w=job.num_ranks * job.waveform.mean_w,
        std_w=math.sqrt(variance),
        p99_w=levels[0],
        peak_w=levels[1],
        ramp_w_per_s=min(fastest, job.num_ranks * job.waveform.lagged_ramp(lag_s)[0]),
    )


def site_swing(jobs: Sequence[JobLoad], *, base_w: float = 0.0, lag_s: float = SUPPLY_LAG_S.value) -> Swing:
    """Swing of jobs that know nothing of each other's steps, with a load that does not change.

    Means and variances add; for p99 and peak the distributions are convolved. The ramp is that of all jobs at once:
    edges of different jobs meet sooner or later.

    Args:
        jobs: at least one.
        base_w: of all else [W].
        lag_s: as in `job_swing` [s].

    >>> wave = Waveform.of_phases([("compute", 1.0, 3.0), ("wait", 1.0, 1.0)])
    >>> both = site_swing([JobLoad(waveform=wave, num_ranks=30), JobLoad(waveform=wave, num_ranks=40)])
    >>> round(both.mean_w, 9), round(both.std_w, 9)                                   # 3, 4, 5
    (140.0, 50.0)
    """
    if not jobs:
        raise InputError(
            Problem("", "jobs", "found no job", "allowed: 1 or more", "give the jobs of the site")
        )
    swings = [job_swing(job, lag_s=lag_s) for job in jobs]
    mean_w = base_w + sum(swing.mean_w for swing in swings)
    if len(jobs) == 1:
        p99_w, peak_w = swings[0].p99_w + base_w, swings[0].peak_w + base_w
    else:
        p99_w, peak_w = (level + base_w for level in _exceeded_together(jobs))
    return Swing(
        mean_w=mean_w,
        std_w=math.sqrt(sum(swing.std_w**2 for swing in swings)),
        p99_w=p99_w,
        peak_w=peak_w,
        ramp_w_per_s=sum(swing.ramp_w_per_s for swing in swings),
    )


def _is_sure(job: JobLoad) -> bool:
    """Whether nothing of the job's power is random."""
    return job.coherence == 1.0 and job.width_s == 0.0


def _moments(job: JobLoad, course: Waveform) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Cuts of the course: share of time, mean at the middle, standard deviation between ranks, change across."""
    seconds = np.repeat(course.seconds / NUM_CUTS, NUM_CUTS)
    part = (np.arange(NUM_CUTS) + 0.5) / NUM_CUTS
    start, end = course.start_w[:, None], course.end_w[:, None]
    means = (start + (end - start) * part).ravel()
    slopes = np.repeat((course.end_w - course.start_w) / NUM_CUTS, NUM_CUTS)
    weights = seconds / course.period_s
    if _is_sure(job):
        return _merged(weights, means, np.zeros_like(means), slopes)
    times = np.cumsum(seconds) - seconds / 2.0
    rank = job.waveform
    squares = averaged(
        Waveform(seconds=rank.seconds, start_w=rank.start_w**2, end_w=rank.end_w**2), job.width_s
    )
    share, num = job.in_step_frac, job.num_ranks
    second = share * squares.at(times) + (1.0 - share) * squares.mean_w
    variances = num * np.maximum(second - (means / num) ** 2, 0.0)
    return _merged(weights, means, np.sqrt(variances), slopes)


def _merged(
    weights: FloatArray, means: FloatArray, stds: FloatArray, slopes: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Cuts that are alike as one: the same step returns many times between two checkpoints."""
    table = np.column_stack((means, stds, np.abs(slopes)))
    scale = max(float(np.max(np.abs(means))), 1e-300)
    _, first, place = np.unique(np.round(table / scale, 9), axis=0, return_index=True, return_inverse=True)
    shares = np.asarray(np.bincount(place.ravel(), weights=weights), float)
    return shares, means[first], stds[first], slopes[first]


def _share_above(
    level_w: ArrayLike, weights: FloatArray, means: FloatArray, stds: FloatArray, slopes: FloatArray
) -> FloatArray:
    """Share of time above every level: a normal distribution whose mean moves evenly across each cut.

    ``1/h int Phi((m + u - x) / s) du`` over a change h is ``s/h (G(z1) - G(z0))``, G(z) = z Phi(z) + phi(z).
    """
    from scipy.special import ndtr

    def antiderivative(z: FloatArray) -> FloatArray:
        return np.asarray(z * ndtr(z) + np.exp(-0.5 * np.minimum(z * z, 1e4)) / math.sqrt(2.0 * math.pi))

    gap = means[None, :] - np.asarray(level_w, float)[:, None]
    floor = max(float(np.max(np.abs(means))), 1e-300) * 1e-13
    wide = np.abs(slopes)
    s = np.maximum(stds, floor)
    still = ndtr(gap / s)
    low, high = (gap - wide / 2.0) / s, (gap + wide / 2.0) / s
    moving = s / np.maximum(wide, floor) * (antiderivative(high) - antiderivative(low))
    # far below both ends the antiderivatives are large and nearly equal: then the mean of both ends is exact
    inside = (wide > 0.05 * s) & (np.abs(low) < 1e6) & (np.abs(high) < 1e6)
    ramp = np.clip(0.5 + gap / np.maximum(wide, floor), 0.0, 1.0)
    above = np.where(wide <= 0.05 * s, still, np.where(inside, np.clip(moving, 0.0, 1.0), ramp))
    return np.asarray(above @ weights)


def _exceeded(
    share: float, weights: FloatArray, means: FloatArray, stds: FloatArray, slopes: FloatArray
) -> float:
    """Level that is exceeded in `share` of the time; of a load that takes few values, the least such value."""
    low = float(np.min(means - np.abs(slopes) - 10.0 * stds))
    high = float(np.max(means + np.abs(slopes) / 2.0 + 10.0 * stds))
    while high - low > 1e-12 * max(abs(high), abs(low), 1e-300):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if float(_share_above(np.array([middle]), weights, means, stds, slopes)[0]) > share:
            low = middle
        else:
            high = middle
    return high


def _exceeded_together(jobs: Sequence[JobLoad]) -> tuple[float, float]:
    """p99 and peak of the sum of independent jobs: their distributions on one grid, convolved."""
    parts = [_moments(job, mean_course(job)) for job in jobs]
    ends = [
        (
            float(np.min(means - np.abs(slopes) - 8.0 * stds)),
            min(
                float(np.max(means + np.abs(slopes) / 2.0 + 8.0 * stds)),
                job.num_ranks * job.waveform.peak_w,
            ),
        )
        for job, (_, means, stds, slopes) in zip(jobs, parts, strict=True)
    ]
    span = sum(high - low for low, high in ends)
    if span <= 0.0:
        total = sum(low for low, _ in ends)
        return total, total
    width = span / NUM_BINS
    density = np.ones(1)
    origin = 0.0
    for (low, high), moments in zip(ends, parts, strict=True):
        num = math.ceil((high - low) / width) + 2
        edges = low + width * (np.arange(num + 1) - 0.5)
        above = _share_above(edges, *moments)
        above[0], above[-1] = 1.0, 0.0
        density = np.convolve(density, np.maximum(-np.diff(above), 0.0))
        origin += low
    tail = np.cumsum(density[::-1])[::-1] / np.sum(density)
    levels = origin + width * np.arange(len(density))
    found = [float(levels[np.nonzero(tail > share)[0][-1]]) for share in (P99_SHARE, PEAK_SHARE)]
    highest = sum(job.num_ranks * job.waveform.peak_w for job in jobs)
    return min(found[0], highest), min(found[1], highest)
