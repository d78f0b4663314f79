"""Swings of jobs and sites, beside ranks that are really drawn and summed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.facility.swings import (
    UNIFORM_WIDTH,
    JobLoad,
    job_swing,
    mean_course,
    site_swing,
)
from simtool.rng import stream
from simtool.step.waveform import Waveform, with_stops

STEP = Waveform.of_phases([("forward", 1.0, 680.0), ("backward", 2.1, 720.0), ("wait", 0.9, 180.0)])
phases = st.lists(st.tuples(st.floats(0.05, 5.0), st.floats(0.0, 1000.0)), min_size=2, max_size=6)
shares = st.floats(0.0, 1.0)


def wave_of(pieces):
    return Waveform.of_phases([(str(i), *piece) for i, piece in enumerate(pieces)])


def drawn(job, *, seed, num_times=128, num_runs=300):
    """Power of the job at even times, one row a run: every rank with an offset of its own."""
    draw = stream(seed, "job", "offsets")
    shape = (num_runs, job.num_ranks)
    in_step = draw.random(shape) < math.sqrt(job.coherence)
    near = (draw.random(shape) - 0.5) * UNIFORM_WIDTH * job.jitter_s
    offset = np.where(in_step, near, draw.random(shape) * job.waveform.period_s)
    times = (np.arange(num_times) + 0.5) / num_times * job.waveform.period_s
    total = np.zeros((num_runs, num_times))
    for rank in range(job.num_ranks):
        total += job.waveform.at(times[None, :] + offset[:, rank, None])
    return total


@pytest.mark.parametrize("coherence", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("jitter_s", [0.0, 0.1, 0.6])
def test_swing_is_that_of_ranks_that_are_drawn(coherence, jitter_s):
    job = JobLoad(waveform=STEP, num_ranks=32, coherence=coherence, jitter_s=jitter_s)
    found, total = job_swing(job), drawn(job, seed=7)
    assert total.mean() == pytest.approx(found.mean_w, rel=0.01)
    assert np.mean((total - found.mean_w) ** 2) ** 0.5 == pytest.approx(found.std_w, rel=0.05)
    low, high = np.quantile(total, [0.985, 0.995])
    slack = 0.01 * found.mean_w
    assert low - slack <= found.p99_w <= high + slack
    assert total.max() <= found.peak_w + 0.02 * found.mean_w
    # in the mean over offsets, the power follows the mean course of the job
    course = mean_course(job).at((np.arange(128) + 0.5) / 128 * STEP.period_s)
    assert np.max(np.abs(total.mean(axis=0) - course)) < 6.0 * 270.0 * (32 / 300) ** 0.5 + 1e-6


@given(phases, st.integers(1, 10_000), shares, shares, st.floats(0.0, 3.0))
def test_coherence_never_lowers_the_swing_and_jitter_never_raises_it(pieces, num, one, other, jitter_s):
    wave = wave_of(pieces)
    low, high = sorted((one, other))
    loose, tight = (
        job_swing(JobLoad(waveform=wave, num_ranks=num, coherence=c, jitter_s=jitter_s)) for c in (low, high)
    )
    rounding_w = 1e-7 * num * wave.peak_w  # a variance is a difference of squares
    assert loose.std_w <= tight.std_w * (1 + 1e-9) + rounding_w
    assert loose.mean_w == tight.mean_w == pytest.approx(num * wave.mean_w, rel=1e-12)
    sharp = job_swing(JobLoad(waveform=wave, num_ranks=num, coherence=high))
    assert tight.std_w <= sharp.std_w * (1 + 1e-9) + rounding_w


@given(phases, st.integers(1, 100_000))
def test_independent_ranks_swing_as_the_root_of_their_number(pieces, num):
    wave = wave_of(pieces)
    swing = job_swing(JobLoad(waveform=wave, num_ranks=num, coherence=0.0))
    rounding_w = 1e-7 * num * wave.peak_w
    assert swing.std_w == pytest.approx(math.sqrt(num) * wave.std_w, rel=1e-9, abs=rounding_w)
    in_step = job_swing(JobLoad(waveform=wave, num_ranks=num))
    assert in_step.std_w == pytest.approx(num * wave.std_w, rel=1e-9, abs=rounding_w)


@given(phases, st.integers(1, 10_000), shares, st.floats(0.0, 3.0))
def test_levels_stand_in_order_and_within_what_all_ranks_can_draw(pieces, num, coherence, jitter_s):
    wave = wave_of(pieces)
    swing = job_swing(JobLoad(waveform=wave, num_ranks=num, coherence=coherence, jitter_s=jitter_s))
    slack = 1e-6 * num * wave.peak_w + 1e-6
    assert swing.p99_w <= swing.peak_w + slack
    assert swing.peak_w <= num * wave.peak_w + slack
    assert swing.peak_w >= mean_course(
        JobLoad(waveform=wave, num_ranks=num, coherence=coherence, jitter_s=jitter_s)
    ).mean_w - max(slack, 0.5 * swing.std_w)
    assert 0.0 <= swing.ramp_w_per_s <= num * wave.lagged_ramp(0.02)[0] + slack


def test_a_job_in_step_is_its_waveform_times_its_ranks():
    swing = job_swing(JobLoad(waveform=STEP, num_ranks=16_384))
    assert swing.p99_w == swing.peak_w == pytest.approx(16_384 * 720.0, rel=1e-9)
    assert swing.ramp_w_per_s == pytest.approx(16_384 * 540.0 / 0.02, rel=1e-6)


def test_p99_is_met_only_by_what_lasts_a_hundredth_of_the_time():
    spike = Waveform.of_phases([("base", 99.5, 100.0), ("spike", 0.5, 1000.0)])
    swing = job_swing(JobLoad(waveform=spike, num_ranks=10))
    assert swing.p99_w == pytest.approx(1000.0, rel=1e-9)
    assert swing.peak_w == pytest.approx(10_000.0, rel=1e-9)


def test_jobs_superpose_without_coherence():
    big = JobLoad(waveform=STEP, num_ranks=300, jitter_s=0.05)
    other = JobLoad(waveform=wave_of([(2.0, 700.0), (1.3, 200.0)]), num_ranks=200, coherence=0.9)
    site = site_swing([big, other], base_w=1e5)
    single = [job_swing(job) for job in (big, other)]
    assert site.mean_w == pytest.approx(1e5 + sum(swing.mean_w for swing in single))
    assert site.std_w == pytest.approx(math.hypot(*(swing.std_w for swing in single)))
    draw = stream(3, "site", "phases")
    mixed = [drawn(job, seed=seed, num_runs=60) for seed, job in enumerate((big, other))]
    total = 1e5 + sum(part[draw.integers(0, 60, 40_000), draw.integers(0, 128, 40_000)] for part in mixed)
    assert np.mean(total > site.p99_w) == pytest.approx(0.01, abs=0.006)
    assert total.max() <= site.peak_w + 0.01 * site.mean_w
    assert site.peak_w <= 1e5 + 300 * STEP.peak_w + 200 * 700.0


def test_many_alike_jobs_are_close_to_normal():
    job = JobLoad(waveform=wave_of([(1.0, 600.0), (1.0, 200.0)]), num_ranks=100)
    site = site_swing([job] * 64)
    # a binomial distribution in steps of the 40 kW by which one job moves
    assert site.p99_w == pytest.approx(site.mean_w + 2.326 * site.std_w, abs=4e4)
    assert site.peak_w < site.mean_w + 4.9 * site.std_w


def test_stops_between_many_steps_swing_more_than_the_steps():
    wave = with_stops(STEP, num_steps=450, stop_s=20.0, power_w=150.0)
    job = JobLoad(waveform=wave, num_ranks=16_384, coherence=0.95, jitter_s=0.05)
    site = site_swing([job, JobLoad(waveform=STEP, num_ranks=1024)], base_w=3e7)
    assert (
        site.std_w > job_swing(JobLoad(waveform=STEP, num_ranks=16_384, coherence=0.9, jitter_s=0.05)).std_w
    )


@pytest.mark.parametrize(
    "wrong", [{"num_ranks": 0}, {"coherence": 1.1}, {"coherence": math.nan}, {"jitter_s": -1.0}]
)
def test_what_cannot_be_a_job_is_told(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        JobLoad(**{"waveform": STEP, "num_ranks": 4, **wrong})


def test_a_site_without_jobs_and_a_load_with_ramps_are_told():
    with pytest.raises(InputError, match="no job"):
        site_swing([])
    ramp = Waveform(seconds=np.array([1.0]), start_w=np.array([0.0]), end_w=np.array([1.0]))
    with pytest.raises(InputError, match="constant within"):
        JobLoad(waveform=ramp, num_ranks=2)
