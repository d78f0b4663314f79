"""Power laid over ops: by the time of day, by zone, by load, or not at all, and with an error that holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.rng import stream
from simtool.trace import import_trace, read_trace, summarise
from simtool.trace.alignment import Alignment, Busy, align
from simtool.trace.intervals import covered
from simtool.trace.power_clean import CleanLog, clean
from simtool.trace.power_log import ClockKind, PowerLog
from tests.trace.kineto_files import Recorder, write
from tests.trace.power_files import BEGAN, nvidia_smi, put, rocm_csv, zeus_power


def busy_of(seed: int, span_s: float, *, periodic: bool = False, zero_unix_s: float | None = None) -> Busy:
    generator = stream(seed, "test", "load")
    begins, ends, now = [], [], 0.0
    while now < span_s:
        length, pause = (0.3, 0.2) if periodic else generator.uniform(0.05, 0.8, 2)
        begins.append(now)
        ends.append(now + length)
        now += length + pause
    return Busy(begins_s=np.array(begins), ends_s=np.array(ends), zero_unix_s=zero_unix_s)


def power_of(
    busy: Busy, begin_s: float, num: int, offset_s: float, *, period_s: float = 0.05, noise_w: float = 15.0,
    clock: ClockKind = "relative", seed: int = 1,
) -> CleanLog:  # fmt: skip
    """Readings of a device at that load, by a clock that lies `offset_s` before that of the ops."""
    at_s = begin_s + period_s * np.arange(num)
    shares = covered(busy.begins_s, busy.ends_s, at_s + period_s) - covered(
        busy.begins_s, busy.ends_s, at_s - period_s
    )
    powers = 80 + 300 * shares / (2 * period_s) + stream(seed, "test", "noise").normal(0, noise_w, num)
    log = PowerLog(
        format="test", device="gpu0", clock=clock, times_s=at_s - offset_s,
        columns={"power_w": np.maximum(powers, 1.0)}, resolution_s=1e-3,
    )  # fmt: skip
    return clean(log, "log")


@given(offset=st.floats(-1e4, 1e4), begin=st.floats(-6, 3), seed=st.integers(0, 10))
def test_an_irregular_load_is_found_within_the_error(offset: float, begin: float, seed: int) -> None:
    busy = busy_of(seed, 12.0)
    found = align(busy, power_of(busy, begin, 400, offset, seed=seed))
    assert isinstance(found, Alignment)
    assert found.method == "cross-correlation"
    assert found.error_s is not None
    assert abs(found.offset_s - offset) <= 2 * found.error_s
    assert found.error_s < 0.5


def test_steps_that_are_all_alike_leave_an_error_of_several_steps() -> None:
    whole = busy_of(0, 40.0, periodic=True)
    seen = (whole.begins_s > 10) & (whole.ends_s < 14)
    profile = Busy(begins_s=whole.begins_s[seen], ends_s=whole.ends_s[seen], zero_unix_s=None)
    found = align(profile, power_of(whole, 1.0, 700, 100.0))
    assert isinstance(found, Alignment)
    assert found.error_s is not None
    assert found.error_s > 5 * 0.5
    assert abs(found.offset_s - 100.0) <= found.error_s + 0.1
    assert (
        abs((found.offset_s - 100.0) / 0.5 - round((found.offset_s - 100.0) / 0.5)) < 0.1
    )  # whole steps away


def test_power_that_has_nothing_to_do_with_the_load_is_not_laid_over_it() -> None:
    found = align(busy_of(0, 12.0), power_of(busy_of(99, 12.0), 0.0, 240, 5.0))
    assert isinstance(found, str)
    assert "--power-offset" in found
    flat = clean(
        PowerLog(
            format="t",
            device="gpu0",
            clock="relative",
            times_s=np.arange(50.0),
            columns={"power_w": np.full(50, 70.0)},
        ),
        "log",
    )
    assert "shows no change of power" in str(align(busy_of(0, 12.0), flat))
    few = PowerLog(
        format="t",
        device="gpu0",
        clock="relative",
        times_s=np.arange(3.0),
        columns={"power_w": np.arange(1.0, 4.0)},
    )
    assert "too few" in str(align(busy_of(0, 12.0), clean(few, "log")))


def test_the_time_of_day_is_taken_where_both_tell_it() -> None:
    busy = busy_of(0, 12.0, zero_unix_s=BEGAN)
    found = align(busy, power_of(busy, -2.0, 300, -BEGAN, clock="utc"))
    assert isinstance(found, Alignment)
    assert (found.method, found.offset_s) == ("wall clock", -BEGAN)
    assert found.error_s == pytest.approx(0.05, rel=1e-3)
    early = align(busy, power_of(busy, -9000.0, 300, -BEGAN, clock="utc"))
    assert isinstance(early, str)
    assert "no time in common with the ops: it ends 8985 s before them" in early


@pytest.mark.parametrize("hours", [-7.0, 0.0, 5.5])
def test_a_clock_of_an_unknown_zone_is_found(hours: float) -> None:
    busy = busy_of(3, 12.0, zero_unix_s=BEGAN)
    found = align(busy, power_of(busy, -2.0, 300, -BEGAN - hours * 3600, clock="local"))
    assert isinstance(found, Alignment)
    assert found.offset_s == -BEGAN - hours * 3600


def test_a_long_log_of_an_unknown_zone_is_told_apart_by_the_power() -> None:
    busy = busy_of(3, 12.0, zero_unix_s=BEGAN)
    long = power_of(busy, -4000.0, 40_000, -BEGAN - 2 * 3600, clock="local", period_s=0.2)
    found = align(busy, long)
    assert isinstance(found, Alignment)
    assert (found.offset_s, found.method) == (-BEGAN - 2 * 3600, "wall clock, zone by power")


# --------------------------------------------------------------------------------------- whole imports


def trace_of(path: Path, busy: Busy, **header: object) -> Path:
    """A trace whose device works at these times, in steps of 3 s."""
    recorder = Recorder()
    for step in range(4):
        recorder.step(step, 1e6 + 3e6 * step, 3e6)
    for begin, end in zip(busy.begins_s, busy.ends_s, strict=True):
        recorder.product(1e6 + begin * 1e6, duration_us=(end - begin) * 1e6)
    return write(path, recorder.document(**header))


def test_each_step_gets_its_energy(tmp_path: Path) -> None:
    busy = busy_of(5, 12.0)
    trace = trace_of(tmp_path / "t.json", busy, baseTimeNanoseconds=int((BEGAN - 1) * 1e9))
    seconds = np.arange(-1.0, 15.0, 0.05)
    share = (
        covered(busy.begins_s, busy.ends_s, seconds + 0.05)
        - covered(busy.begins_s, busy.ends_s, seconds - 0.05)
    ) / 0.1
    log = put(tmp_path / "power.csv", rocm_csv(list(seconds), list(80 + 300 * share)))
    imported = import_trace([trace, log])
    clock, power = imported.manifest.clock, imported.manifest.power
    assert (clock.alignment, clock.power) == ("wall clock", "utc")
    assert clock.offset_s == pytest.approx(0.0, abs=1e-3)
    assert clock.offset_error_s == pytest.approx(0.05, rel=0.1)
    assert power.coverage_frac == 1.0
    for step in imported.steps:
        busy_s = float(np.diff(covered(busy.begins_s, busy.ends_s, np.array([step.begin_s, step.end_s])))[0])
        assert step.energy_j == pytest.approx(80 * step.duration_s + 300 * busy_s, rel=0.02)
    written = read_trace(imported.write(tmp_path / "out"))
    assert written.device_steps["energy_j"].to_pylist() == [step.energy_j for step in imported.steps]


def test_clocks_that_nobody_compared_are_laid_over_each_other(tmp_path: Path) -> None:
    busy = busy_of(6, 12.0)
    trace = trace_of(tmp_path / "t.json", busy)
    seconds = np.arange(-3.0, 15.0, 0.05)
    share = (
        covered(busy.begins_s, busy.ends_s, seconds + 0.05)
        - covered(busy.begins_s, busy.ends_s, seconds - 0.05)
    ) / 0.1
    log = put(tmp_path / "power.csv", zeus_power(list(seconds), list(80 + 300 * share)))
    imported = import_trace([trace, log])
    clock = imported.manifest.clock
    assert clock.alignment == "cross-correlation"
    assert clock.offset_error_s is not None
    assert clock.offset_s == pytest.approx(
        -3.0, abs=2 * clock.offset_error_s
    )  # the log's first reading is its 0
    assert imported.steps[0].energy_j is not None
    given = import_trace([trace, log], power_offset_s=-3.0 - BEGAN + 3.0)
    assert given.manifest.clock.alignment == "given"
    assert given.manifest.clock.offset_error_s is None
    assert given.manifest.clock.offset_s == pytest.approx(-3.0, abs=1e-6)
    told_s = summarise(imported).power_offset_s
    assert told_s == pytest.approx(-BEGAN, abs=2 * clock.offset_error_s)  # of times as the log writes them
    again = import_trace([trace, log], power_offset_s=told_s)
    assert [step.energy_j for step in again.steps] == pytest.approx(
        [step.energy_j for step in imported.steps]
    )


def test_a_log_of_another_day_is_refused(tmp_path: Path) -> None:
    busy = busy_of(5, 12.0)
    trace = trace_of(tmp_path / "t.json", busy, baseTimeNanoseconds=int((BEGAN + 3e6) * 1e9))
    log = put(tmp_path / "power.csv", nvidia_smi(list(range(30)), [100.0] * 30))
    with pytest.raises(
        InputError, match=r"power.csv: has no time in common with the ops: it ends 34.* d before"
    ):
        import_trace([trace, log])


def test_a_log_that_covers_a_part_tells_the_part(tmp_path: Path) -> None:
    busy = busy_of(5, 12.0)
    trace = trace_of(tmp_path / "t.json", busy, baseTimeNanoseconds=int((BEGAN - 1) * 1e9))
    seconds = list(np.arange(4.5, 20.0, 0.1))
    imported = import_trace([trace, put(tmp_path / "p", rocm_csv(seconds, [300.0] * len(seconds)))])
    assert imported.manifest.power.coverage_frac == pytest.approx(
        (imported.steps[-1].end_s - 4.5) / imported.steps[-1].end_s, rel=0.01
    )
    energies = [step.energy_j for step in imported.steps]
    assert energies[:2] == [None, None]
    assert energies[2:] == pytest.approx([300.0 * step.duration_s for step in imported.steps[2:]], rel=1e-6)


def test_readings_that_are_too_coarse_give_no_energy_of_steps(tmp_path: Path) -> None:
    busy = busy_of(5, 12.0)
    trace = trace_of(tmp_path / "t.json", busy, baseTimeNanoseconds=int((BEGAN - 1) * 1e9))
    seconds = list(np.arange(-4.0, 20.0, 1.0))
    imported = import_trace([trace, put(tmp_path / "p", rocm_csv(seconds, [300.0] * len(seconds)))])
    assert imported.manifest.power.coverage_frac == 1.0
    assert {step.energy_j for step in imported.steps} == {None}
    assert any("the readings are too coarse" in note for note in imported.notes)
