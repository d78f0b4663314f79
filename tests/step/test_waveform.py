"""The waveform of a step: its mean is the estimate's, and every sum over it is an integral."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from simtool.config.scenario import Cluster
from simtool.layout.layouts import Layouts
from simtool.machine.build import build_machine
from simtool.profiles.find import default_library
from simtool.step.estimate import STEP_PARTS
from simtool.step.step import Job, estimate_step
from simtool.step.waveform import SPREAD_PARTS, Waveform, averaged, step_waveform, with_stops

LIBRARY = default_library()
JOB = Job(
    model=LIBRARY.get("model", "llama3.1-70b").shape(),
    seq_len=8192,
    precision="bf16",
    recompute="selective",
    attention="flash",
)
LAYOUT = Layouts(
    tp=8.0, pp=4.0, vpp=1.0, dp=8.0, zero=1.0, micro_batch=1.0, sequence_parallel=True, num_micro_batches=8.0
)
MACHINE = build_machine(
    LIBRARY,
    Cluster(accelerator="h100-sxm", num_nodes=32),
    "megatron-core",
    attention=None,
    power_limit_w=None,
    locate=str,
)
ESTIMATE = estimate_step(JOB, LAYOUT, MACHINE)

phases = st.lists(st.tuples(st.floats(0.01, 5.0), st.floats(0.0, 1000.0)), min_size=1, max_size=7)


def wave_of(pieces):
    return Waveform.of_phases([(str(i), *piece) for i, piece in enumerate(pieces)])


def fine(wave, num=400_000):
    """Power at the middles of many equal parts."""
    return wave.at((np.arange(num) + 0.5) / num * wave.period_s)


@given(
    st.dictionaries(st.sampled_from(STEP_PARTS), st.floats(0.0, 10.0)),
    st.sets(st.sampled_from((*SPREAD_PARTS, "data_communication", "straggler"))),
)
def test_the_mean_is_the_estimates_mean(changed, spread):
    seconds = {**ESTIMATE.seconds, "forward": 1.0, **changed, "backward_weight": 0.5}
    estimate = replace(ESTIMATE, seconds=seconds)
    wave = step_waveform(estimate, spread_parts=tuple(spread))
    expected_w = float(np.asarray(estimate.energy_it_j / estimate.step_time_s / estimate.num_devices))
    assert wave.mean_w == pytest.approx(expected_w, rel=1e-12)
    assert wave.period_s == pytest.approx(float(np.asarray(estimate.step_time_s)), rel=1e-12)


def test_phases_stand_in_their_order_and_gaps_are_low():
    wave = step_waveform(ESTIMATE)
    assert wave.names == (
        "forward",
        "backward",
        "bubble",
        "straggler",
        "exposed_communication",
        "optimizer",
        "host",
    )
    watts = dict(zip(wave.names, wave.start_w.tolist(), strict=True))
    assert watts["bubble"] < watts["forward"] <= wave.peak_w
    board = step_waveform(ESTIMATE, scope="accelerator")
    assert board.peak_w < wave.peak_w
    assert board.peak_w <= MACHINE.power_limit_w


def test_waits_between_layers_lower_the_passes_and_are_no_phase():
    mixed, apart = step_waveform(ESTIMATE), step_waveform(ESTIMATE, spread_parts=())
    assert "exposed_communication" in apart.names
    assert mixed.start_w[0] < apart.start_w[0]


def test_many_layouts_have_no_one_waveform():
    many = estimate_step(JOB, replace(LAYOUT, dp=np.array([8.0, 16.0])), MACHINE)
    with pytest.raises(ValueError, match="pick it first"):
        step_waveform(many)
    with pytest.raises(ValueError, match="nonsense"):
        step_waveform(ESTIMATE, spread_parts=("nonsense",))


@given(phases)
def test_moments_are_those_of_many_samples(pieces):
    wave = wave_of(pieces)
    seconds, watts = (np.array(column) for column in zip(*pieces, strict=True))
    mean = np.average(watts, weights=seconds)
    assert wave.mean_w == pytest.approx(mean, rel=1e-12, abs=1e-12)
    assert wave.std_w == pytest.approx(np.sqrt(np.average((watts - mean) ** 2, weights=seconds)), abs=1e-6)
    assert wave.rms_w == pytest.approx(np.sqrt(np.average(watts**2, weights=seconds)), rel=1e-9, abs=1e-9)
    assert wave.trough_w - 1e-9 <= wave.mean_w <= wave.peak_w + 1e-9


@given(phases, st.floats(0.01, 10.0))
def test_the_harmonics_hold_the_variance(pieces, window):
    wave = averaged(wave_of(pieces), window)
    total = 2.0 * np.sum(np.abs(wave.harmonics(4000)) ** 2)
    assert total == pytest.approx(wave.std_w**2, rel=1e-3, abs=1e-3 * max(wave.peak_w, 1.0))


def test_harmonics_are_those_of_a_discrete_transform():
    wave = averaged(wave_of([(1.0, 700.0), (0.5, 100.0), (2.0, 400.0)]), 0.3)
    sampled = np.fft.fft(fine(wave, 2**18)) / 2**18
    phase = np.exp(-1j * np.pi * np.arange(1, 6) / 2**18)  # samples are of middles
    assert wave.harmonics(5) == pytest.approx(sampled[1:6] * phase, abs=1e-5)


@given(phases, st.floats(0.01, 20.0))
def test_a_moving_average_keeps_the_mean_and_never_adds_swing(pieces, window):
    wave = wave_of(pieces)
    even = averaged(wave, window)
    assert even.mean_w == pytest.approx(wave.mean_w, rel=1e-9, abs=1e-9)
    assert even.std_w <= wave.std_w + 1e-6
    assert even.peak_w <= wave.peak_w + 1e-6
    assert even.period_s == pytest.approx(wave.period_s, rel=1e-9)


def test_a_moving_average_by_samples():
    wave = wave_of([(1.0, 700.0), (0.5, 100.0), (2.5, 400.0)])
    even = averaged(wave, 1.7)
    times = np.linspace(0.0, 4.0, 41)
    around = np.linspace(-0.85, 0.85, 200_001)
    assert even.at(times) == pytest.approx([np.mean(wave.at(t + around)) for t in times], abs=0.02)
    with pytest.raises(ValueError, match="constant within"):
        averaged(even, 1.0)


def test_an_average_over_periods_leaves_nothing():
    assert averaged(wave_of([(1.0, 5.0), (3.0, 1.0)]), 8.0).std_w == pytest.approx(0.0, abs=1e-9)


@given(phases, st.floats(0.005, 2.0))
def test_ramps_behind_a_lag(pieces, lag):
    """Beside the differential equation stepped through in small steps."""
    wave = wave_of(pieces)
    highest, rms = wave.lagged_ramp(lag)
    assert rms <= highest + 1e-9
    assert highest <= (wave.peak_w - wave.trough_w) / lag + 1e-9
    num = 20_000
    step = wave.period_s / num
    load = wave.at((np.arange(num) + 0.5) * step)
    keep = np.exp(-step / lag)
    level = wave.mean_w
    settled, _ = lfilter(
        [1.0 - keep], [1.0, -keep], np.tile(load, 3 + int(30 * lag / wave.period_s)), zi=[keep * level]
    )
    slopes = np.diff(settled[-num - 1 :]) / step
    tolerance = 0.02 * (wave.peak_w - wave.trough_w) / lag * max(1.0, step / lag * 50) + 1e-6
    assert np.max(np.abs(slopes)) <= highest + tolerance
    if step < lag / 20:
        assert np.sqrt(np.mean(slopes**2)) == pytest.approx(rms, abs=tolerance)


@given(phases, st.integers(1, 20), st.floats(0.1, 30.0), st.floats(0.0, 500.0))
def test_stops_add_their_energy(pieces, num_steps, stop_s, power_w):
    wave = wave_of(pieces)
    stopped = with_stops(wave, num_steps=num_steps, stop_s=stop_s, power_w=power_w)
    assert stopped.energy_j == pytest.approx(num_steps * wave.energy_j + stop_s * power_w, rel=1e-12)
    assert stopped.period_s == pytest.approx(num_steps * wave.period_s + stop_s, rel=1e-12)
    assert stopped.names[-1] == "stop"
    assert with_stops(wave, num_steps=num_steps, stop_s=0.0, power_w=power_w) is wave


@pytest.mark.parametrize(
    ("seconds", "watts"), [([], []), ([0.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0], [np.nan])]
)
def test_a_waveform_is_whole(seconds, watts):
    with pytest.raises(ValueError, match="waveform"):
        Waveform(seconds=np.array(seconds), start_w=np.array(watts), end_w=np.array(watts))
