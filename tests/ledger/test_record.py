"""The ledger: what goes in comes out, summed in every way, and nothing that is wrong goes in."""

from __future__ import annotations

import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import SimtoolError
from simtool.ledger import COMPONENTS, LEDGER_STATES, Ledger, Pattern, Share, lost


def pattern(name: str, *shares: tuple[str, float, tuple[float, float, float]]) -> Pattern:
    return Pattern(
        name=name,
        shares=tuple(Share(state=state, device_frac=frac, power_w=watts) for state, frac, watts in shares),
    )


WORK = pattern(
    "step", ("compute", 0.75, (600.0, 100.0, 20.0)), ("exposed_communication", 0.25, (200.0, 100.0, 40.0))
)
IDLE = pattern("idle", ("idle", 1.0, (70.0, 50.0, 5.0)))
SAVE = pattern("save", ("checkpoint", 1.0, (100.0, 80.0, 10.0)))


def example() -> Ledger:
    """Job a on 4 devices for 10 s, then saving for 2 s; job b on 2 devices; the rest of 6 devices idle."""
    ledger = Ledger()
    ledger.append(0.0, 10.0, "a", WORK, 4)
    ledger.append(10.0, 12.0, "a", SAVE, 4)
    ledger.append(4.0, 12.0, "b", WORK, 2)
    ledger.append(0.0, 4.0, "", IDLE, 2)
    return ledger


def test_sums_by_hand() -> None:
    ledger = example()
    assert ledger.device_s() == 72.0
    assert ledger.device_s_by("state") == {
        "compute": 0.75 * 56,
        "exposed_communication": 0.25 * 56,
        "checkpoint": 8.0,
        "idle": 8.0,
    }
    assert ledger.device_s_by("job") == {"": 8.0, "a": 48.0, "b": 16.0}
    assert ledger.energy_j(job="a", state="checkpoint") == 8.0 * 190.0
    assert ledger.energy_j(component="network") == 42 * 20.0 + 14 * 40.0 + 8 * 10.0 + 8 * 5.0
    assert ledger.energy_j(state=("idle", "checkpoint")) == 8 * 125.0 + 8 * 190.0
    assert ledger.energy_j(state=[]) == 0.0
    assert ledger.group("energy_j", ("job", "component"), state="compute") == {
        ("a", "accelerator"): 30 * 600.0,
        ("a", "host"): 30 * 100.0,
        ("a", "network"): 30 * 20.0,
        ("b", "accelerator"): 12 * 600.0,
        ("b", "host"): 12 * 100.0,
        ("b", "network"): 12 * 20.0,
    }
    assert ledger.jobs == ("a", "b")


def test_power_over_time_by_hand() -> None:
    ledger = example()
    step_w = 0.75 * 720.0 + 0.25 * 340.0
    assert ledger.breakpoints_s.tolist() == [0.0, 4.0, 10.0, 12.0]
    assert ledger.power_w().tolist() == [4 * step_w + 2 * 125.0, 6 * step_w, 4 * 190.0 + 2 * step_w]
    assert ledger.power_w(job="b").tolist() == [0.0, 2 * step_w, 2 * step_w]
    assert ledger.power_w(state="idle", component="host").tolist() == [100.0, 0.0, 0.0]
    assert ledger.power_w(component=("host", "network")).tolist()[0] == 4 * (100.0 + 25.0) + 2 * 55.0


def test_columns_by_hand() -> None:
    ledger = Ledger()
    ledger.append(5.0, 15.0, "a", SAVE, 4)
    columns = ledger.columns()
    rows = list(zip(*(columns[name].tolist() for name in columns), strict=True))
    assert list(columns) == ["t0_s", "t1_s", "quantity", "component", "job", "state", "rate", "amount"]
    assert rows == [
        (5.0, 15.0, "device_s", "device", "a", "checkpoint", 4.0, 40.0),
        (5.0, 15.0, "energy_j", "accelerator", "a", "checkpoint", 400.0, 4000.0),
        (5.0, 15.0, "energy_j", "host", "a", "checkpoint", 320.0, 3200.0),
        (5.0, 15.0, "energy_j", "network", "a", "checkpoint", 40.0, 400.0),
    ]


def test_arrow_holds_the_same_columns() -> None:
    ledger = example()
    table, columns = ledger.to_arrow(), ledger.columns()
    assert table.column_names == list(columns)
    for name, values in columns.items():
        assert table.column(name).to_pylist() == values.tolist()


def test_an_empty_ledger_has_empty_answers() -> None:
    ledger = Ledger()
    assert (len(ledger), ledger.device_s(), ledger.energy_j(), ledger.meter_j) == (0, 0.0, 0.0, 0.0)
    assert ledger.power_w().size == ledger.breakpoints_s.size == ledger.columns()["amount"].size == 0
    assert ledger.to_arrow().num_rows == 0
    assert ledger.group("energy_j", ("state", "job")) == {}
    ledger.check_conservation(0.0, 8)


def test_neighbours_grow_together_and_nothing_leaves_no_trace() -> None:
    ledger = Ledger()
    for begin_s, end_s in pairwise(range(0, 100, 10)):
        ledger.append(float(begin_s), float(end_s), "", IDLE, 8)
        ledger.append(float(begin_s), float(end_s), "a", WORK, 2)
    ledger.append(90.0, 90.0, "", IDLE, 8)
    ledger.append(90.0, 95.0, "", IDLE, 0)
    assert len(ledger) == 2
    ledger.append(90.0, 95.0, "", IDLE, 7)
    assert len(ledger) == 3
    assert ledger.device_s(state="idle") == 90.0 * 8 + 5.0 * 7


def test_answers_follow_what_is_appended_later() -> None:
    ledger = example()
    before_j = ledger.energy_j()
    ledger.append(12.0, 13.0, "c", IDLE, 6)
    assert ledger.energy_j() == before_j + 6 * 125.0
    assert ledger.jobs == ("a", "b", "c")


def test_a_ledger_that_was_sent_to_another_process_goes_on() -> None:
    ledger = pickle.loads(pickle.dumps(example()))  # noqa: S301 - our own
    assert ledger.energy_j_by("state") == example().energy_j_by("state")
    ledger.append(12.0, 13.0, "a", pattern("new", ("restart", 1.0, (1.0, 1.0, 1.0))), 6)
    assert ledger.energy_j(state="restart") == 18.0


def power_at(ledger: Ledger, times_s: np.ndarray) -> list[float]:
    places = np.searchsorted(ledger.breakpoints_s, times_s, side="right") - 1
    found: list[float] = ledger.power_w()[places].tolist()
    return found


segments = st.tuples(
    st.floats(0.0, 1e7),
    st.floats(1e-3, 1e6),
    st.sampled_from(["", "a", "b"]),
    st.sampled_from([WORK, IDLE, SAVE, lost(WORK)]),
    st.integers(1, 20_000),
)


@given(st.lists(segments, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_every_way_of_summing_agrees(
    rows: list[tuple[float, float, str, Pattern, int]], chance: object
) -> None:
    ledger, shuffled = Ledger(), Ledger()
    for begin_s, length_s, job, what, num_devices in rows:
        ledger.append(begin_s, begin_s + length_s, job, what, num_devices)
    chance.shuffle(rows)  # type: ignore[attr-defined]
    for begin_s, length_s, job, what, num_devices in rows:
        shuffled.append_many(np.array([begin_s]), np.array([begin_s + length_s]), job, what, num_devices)
    columns = ledger.columns()
    is_energy = columns["quantity"] == "energy_j"
    total_j = math.fsum(columns["amount"][is_energy])
    assert total_j == pytest.approx(ledger.meter_j, rel=1e-12)
    assert math.fsum(columns["amount"][~is_energy]) == pytest.approx(ledger.device_s(), rel=1e-12)
    for by in (("state",), ("component",), ("job",), ("job", "component", "state")):
        assert math.fsum(ledger.group("energy_j", by).values()) == pytest.approx(total_j, rel=1e-12)
    for component in COMPONENTS:
        power_w = ledger.power_w(component=component)
        integral_j = math.fsum(power_w * np.diff(ledger.breakpoints_s))
        assert integral_j == pytest.approx(ledger.energy_j(component=component), rel=1e-12)
        assert power_w.min() >= 0.0
    for state in LEDGER_STATES:
        mine = is_energy & (columns["state"] == state)
        assert ledger.energy_j(state=state) == pytest.approx(math.fsum(columns["amount"][mine]), rel=1e-12)
    at_s = np.union1d(ledger.breakpoints_s, shuffled.breakpoints_s)[:-1]
    assert power_at(shuffled, at_s) == pytest.approx(power_at(ledger, at_s), rel=1e-12)
    assert shuffled.energy_j() == pytest.approx(total_j, rel=1e-12)


def test_a_long_record_loses_no_digit() -> None:
    """A year in 300,000 intervals, of which each is a rounded time."""
    edges_s = np.linspace(0.0, 3.15e7, 300_001)
    ledger = Ledger()
    ledger.append_many(edges_s[0:-1:2], edges_s[1::2], "a", WORK, 16_384)
    ledger.append_many(edges_s[1::2], edges_s[2::2], "a", SAVE, 16_384)
    ledger.check_conservation(3.15e7, 16_384)
    assert ledger.device_s() == pytest.approx(3.15e7 * 16_384, rel=1e-13)
    assert ledger.power_w()[-1] == 16_384 * 190.0


@pytest.mark.parametrize(
    ("begin_s", "end_s", "num_devices"),
    [(1.0, 0.5, 8), (0.0, math.inf, 8), (math.nan, 1.0, 8), (0.0, math.nan, 8), (0.0, 1.0, -1)],
)
def test_wrong_intervals_are_refused(begin_s: float, end_s: float, num_devices: int) -> None:
    ledger = Ledger()
    with pytest.raises(SimtoolError, match="ledger: 'a'"):
        ledger.append(begin_s, end_s, "a", WORK, num_devices)
    with pytest.raises(SimtoolError, match="ledger: 'a'"):
        ledger.append_many(np.array([begin_s]), np.array([end_s]), "a", WORK, num_devices)
    assert len(ledger) == 0


def test_questions_about_what_does_not_exist_are_refused() -> None:
    ledger = example()
    with pytest.raises(SimtoolError, match="unknown state 'compote'; did you mean 'compute'"):
        ledger.energy_j(state="compote")
    with pytest.raises(SimtoolError, match="unknown job 'c'"):
        ledger.power_w(job="c")
    with pytest.raises(SimtoolError, match="unknown component 'gpu'"):
        ledger.energy_j(component=("host", "gpu"))
    with pytest.raises(SimtoolError, match="cannot group by 'colour'"):
        ledger.group("energy_j", ("colour",))  # type: ignore[arg-type]


def test_conservation_holds() -> None:
    example().check_conservation(12.0, 6)


@pytest.mark.parametrize(("wall_s", "num_devices"), [(12.0, 7), (13.0, 6), (11.0, 6)])
def test_a_wrong_total_is_found(wall_s: float, num_devices: int) -> None:
    with pytest.raises(SimtoolError, match=r"device-seconds by state sum to 72\.0"):
        example().check_conservation(wall_s, num_devices)


def test_a_gap_and_an_overlap_of_equal_size_are_found() -> None:
    ledger = Ledger()
    ledger.append(0.0, 6.0, "a", WORK, 4)
    ledger.append(4.0, 8.0, "a", SAVE, 4)
    assert ledger.device_s() == 10.0 * 4
    with pytest.raises(SimtoolError, match=r"8 of 4 devices are recorded from 4\.0 s to 6\.0 s"):
        ledger.check_conservation(10.0, 4)


def test_a_meter_that_disagrees_is_found() -> None:
    ledger = example()
    ledger._meter[0] *= 1.0 + 1e-6
    with pytest.raises(SimtoolError, match="energy by component sum to"):
        ledger.check_conservation(12.0, 6)
