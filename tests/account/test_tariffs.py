"""What every part of a tariff owes its customers, over the whole table of parts."""

from __future__ import annotations

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.account.bill import Bill, bill
from simtool.account.metered import BillLine, PowerSteps, energies_j, step_energy_j
from simtool.account.split import NOBODY, split
from simtool.account.tariff import TARIFFS, Part, Tariff, energy_usd, tariff_of
from simtool.account.tariffs.real_time import RealTime
from simtool.errors import InputError
from simtool.signals import Signal
from simtool.signals.local_time import LocalTime

HOUR_S, DAY_S = 3600.0, 86400.0
EXACT = 1e-9
ZONE = "America/New_York"
every_part = pytest.mark.parametrize("name", list(TARIFFS))
BY_BLOCKS = {"tiered"}
"""Parts whose energy costs what the month's energy makes of it; the next kWh is that of the last block."""
starts = st.sampled_from(
    [
        datetime(2025, 3, 8, 21, 7, tzinfo=ZoneInfo(ZONE)),  # into the day of 23 hours
        datetime(2024, 11, 2, 3, tzinfo=ZoneInfo(ZONE)),  # into that of 25
        datetime(2025, 1, 30, 12, tzinfo=ZoneInfo(ZONE)),
    ]
)


def whole(name: str, **terms: object) -> Tariff:
    """A tariff around the example of one part: whatever it needs besides is there."""
    part: Part = TARIFFS[name].example()
    priced = () if part.marginal_price(_calendar(), 0.0, 1.0) is not None else (TARIFFS["flat"].example(),)
    return Tariff(parts=(part, *priced), timezone=ZONE, contract_power_w=2e6, **terms)  # type: ignore[arg-type]


def _calendar():  # type: ignore[no-untyped-def]
    clock = LocalTime(start=datetime(2025, 1, 1, tzinfo=ZoneInfo(ZONE)), zone=ZONE)
    return Tariff(parts=()).calendar(clock)


@st.composite
def loads(draw: st.DrawFn, most_s: float = 40 * DAY_S) -> PowerSteps:
    lengths = draw(st.lists(st.floats(1.0, most_s / 6), min_size=1, max_size=6))
    watts = st.one_of(st.just(0.0), st.floats(1.0, 5e7))
    power = draw(st.lists(watts, min_size=len(lengths), max_size=len(lengths)))
    return PowerSteps(breakpoints_s=np.cumsum([0.0, *lengths]), power_w=np.array(power))


def finer(load: PowerSteps, cuts: list[float]) -> PowerSteps:
    begin, end = load.span_s
    times = np.unique([*load.breakpoints_s, *(begin + cut * (end - begin) for cut in cuts)])
    piece = np.searchsorted(load.breakpoints_s, times[:-1], side="right") - 1
    return PowerSteps(breakpoints_s=times, power_w=load.power_w[piece])


def key(line: BillLine) -> tuple[str, str]:
    return line.month, line.name


def amounts(found: Bill, kind: str = "") -> dict[tuple[str, str], float]:
    return {key(line): line.amount_usd for line in found.lines if kind in ("", line.kind)}


def close(first: float, second: float, scale: float) -> bool:
    return abs(first - second) <= EXACT * scale + 1e-12


def test_the_table_holds_what_tariffs_are_made_of() -> None:
    kinds = {"flat", "real_time", "tiered", "time_of_use", "demand", "fixed", "power_purchase"}
    assert kinds <= set(TARIFFS)
    assert all(TARIFFS.summaries().values())
    with pytest.raises(InputError, match="did you mean 'flat'"):
        TARIFFS["flatt"]


@every_part
@given(load=loads(), start=starts, cuts=st.lists(st.floats(0.0, 1.0), max_size=20))
def test_no_line_sees_how_the_load_is_cut(
    name: str, load: PowerSteps, start: datetime, cuts: list[float]
) -> None:
    tariff = whole(name, minimum_usd_per_month=5000.0)
    plain, cut = bill(load, tariff, start), bill(finer(load, cuts), tariff, start)
    assert list(map(key, plain.lines)) == list(map(key, cut.lines))
    for one, other in zip((*plain.lines, *plain.after), (*cut.lines, *cut.after), strict=True):
        scale = abs(one.amount_usd) + load.energy_j / 3.6e6
        assert close(one.amount_usd, other.amount_usd, scale)
        assert close(one.quantity, other.quantity, one.quantity)


@every_part
@given(load=loads(), start=starts)
def test_lines_sum_to_the_bill_and_are_quantity_times_rate(
    name: str, load: PowerSteps, start: datetime
) -> None:
    found = bill(load, whole(name, minimum_usd_per_month=100.0), start)
    gross = math.fsum(abs(line.amount_usd) for line in found.lines) + 1e-12
    for total in (found.month_usd(), found.by_name(), found.by_kind()):
        assert close(math.fsum(total.values()), found.total_usd, gross)
    for line in found.lines:
        expected = line.quantity * line.rate_usd * line.month_frac
        assert close(line.amount_usd, expected, abs(line.amount_usd) + line.quantity)
    energy = math.fsum(line.amount_usd for line in found.lines if line.kind == "energy")
    assert close(float(found.energy_usd.sum()), energy, gross + load.energy_j / 3.6e6)


@pytest.mark.parametrize("name", [name for name in TARIFFS if name not in BY_BLOCKS])
@given(first=loads(3 * DAY_S), second=loads(3 * DAY_S), start=starts)
def test_lines_of_energy_are_additive_over_loads(
    name: str, first: PowerSteps, second: PowerSteps, start: datetime
) -> None:
    end = min(first.span_s[1], second.span_s[1])
    times = np.unique([*first.breakpoints_s, *second.breakpoints_s])
    times = times[times <= end]
    power = [
        load.power_w[np.searchsorted(load.breakpoints_s, times[:-1], side="right") - 1]
        for load in (first, second)
    ]
    one, other, both = (
        amounts(bill(PowerSteps(breakpoints_s=times, power_w=watts), whole(name), start), "energy")
        for watts in (power[0], power[1], power[0] + power[1])
    )
    for line in both:
        assert close(one[line] + other[line], both[line], 5e7 * end / 3.6e6)


@every_part
@given(start=starts, days=st.floats(0.1, 70.0))
def test_no_load_pays_fees_contract_and_standing_ratchet_and_no_energy(
    name: str, start: datetime, days: float
) -> None:
    part = TARIFFS[name].example()
    idle = PowerSteps(breakpoints_s=np.array([0.0, days * DAY_S]), power_w=np.zeros(1))
    plain = bill(idle, whole(name), start)
    assert all(line.amount_usd == 0 for line in plain.lines if line.kind == "energy")
    stands = bill(idle, whole(name, standing={part.name: [3e6, 1e6]}), start)
    for line in plain.lines:
        share = line.month_frac
        if line.name == "customer charge":
            assert line.amount_usd == pytest.approx(1000.0 * share)
        if line.name == "demand":  # 60 % of 2 MW under contract, 80 % of 3 MW remembered
            assert line.amount_usd == pytest.approx(0.6 * 2000 * 18.0 * share)
            assert amounts(stands)[key(line)] == pytest.approx(0.8 * 3000 * 18.0 * share)
    if name in ("fixed", "demand"):
        assert plain.total_usd > 0
    else:
        assert plain.total_usd == 0


@every_part
def test_no_time_is_answered(name: str) -> None:
    empty = PowerSteps(breakpoints_s=np.zeros(0), power_w=np.zeros(0))
    found = bill(empty, whole(name), datetime(2025, 1, 1, tzinfo=ZoneInfo(ZONE)))
    assert (found.lines, found.total_usd, empty.peak_w, empty.span_s) == ((), 0.0, 0.0, (0.0, 0.0))
    assert split(found, empty.breakpoints_s, {}) == {}


@every_part
@given(load=loads(), start=starts, parts=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4))
def test_a_bill_is_split_without_rest(
    name: str, load: PowerSteps, start: datetime, parts: list[float]
) -> None:
    shares = np.array([*parts, 0.5]) / sum([*parts, 0.5])
    found = bill(load, whole(name, minimum_usd_per_month=700.0), start)
    powers = {index: load.power_w * share for index, share in enumerate(shares)}
    by_cause = split(found, load.breakpoints_s, powers)
    gross = math.fsum(abs(line.amount_usd) for line in found.lines) + load.energy_j / 3.6e6
    total = math.fsum(amount for causes in by_cause.values() for amount in causes.values())
    assert close(total, found.total_usd, gross)
    for causes in by_cause.values():
        line = math.fsum(amount for cause, amount in causes.items() if cause != NOBODY)
        for index, share in enumerate(shares):
            if index in causes:
                assert close(causes[index], share * line, gross)


@pytest.mark.parametrize("name", [name for name in TARIFFS if name not in BY_BLOCKS])
@given(load=loads(9 * DAY_S), start=starts)
def test_one_more_kwh_costs_the_marginal_price(name: str, load: PowerSteps, start: datetime) -> None:
    part = TARIFFS[name].example()
    begin, end = load.span_s
    price = part.marginal_price(_calendar_of(start), begin, end)
    covered = name != "power_purchase"
    more = PowerSteps(breakpoints_s=load.breakpoints_s, power_w=load.power_w + 1000.0)
    tariff = Tariff(parts=(part,), timezone=ZONE, contract_power_w=0.0)
    extra = bill(more, tariff, start).by_kind()["energy"] - bill(load, tariff, start).by_kind()["energy"]
    if price is not None and covered:
        expected = float(energy_usd(price, begin, end, 1000.0))
        assert abs(extra - expected) <= 1e-9 * (load.energy_j / 3.6e6 + end / HOUR_S)
    elif covered:
        assert extra == 0


def _calendar_of(start: datetime):  # type: ignore[no-untyped-def]
    return Tariff(parts=()).calendar(LocalTime(start=start, zone=ZONE))


@given(loads(), st.lists(st.floats(-1e5, 4e6), min_size=2, max_size=30, unique=True))
def test_energy_between_any_edges_by_brute_force(load: PowerSteps, written: list[float]) -> None:
    edges = np.array(sorted(written))
    times = load.breakpoints_s
    for energy, low, high in zip(step_energy_j(load, edges), edges[:-1], edges[1:], strict=True):
        overlap = np.clip(np.minimum(times[1:], high) - np.maximum(times[:-1], low), 0.0, None)
        expected = math.fsum(load.power_w * overlap)
        assert abs(energy - expected) <= 1e-12 * (load.energy_j + 1)


def test_two_loads_are_merged_once() -> None:
    times, edges = np.array([0.0, 10.0, 30.0]), np.array([0.0, 20.0, 40.0])
    one, two = energies_j(times, [np.array([1.0, 2.0]), np.array([0.0, 5.0])], edges)
    assert (one.tolist(), two.tolist()) == ([30.0, 20.0], [50.0, 50.0])


def test_a_bare_price_is_flat_or_real_time() -> None:
    constant = Signal.constant(0.1, "USD/kWh")
    steps = Signal.from_steps([0.0, 10.0], [0.1, 0.1], end_s=20.0, unit="USD/kWh")
    kinds = [type(tariff_of(signal).parts[0]).__name__ for signal in (constant, steps)]
    assert kinds == ["Flat", "RealTime"]
    load = PowerSteps(breakpoints_s=np.array([0.0, 20.0]), power_w=np.array([5e3]))
    start = datetime(2025, 1, 1, tzinfo=ZoneInfo(ZONE))
    flat, real = (bill(load, tariff_of(signal), start).total_usd for signal in (constant, steps))
    assert flat == pytest.approx(real, rel=1e-14)


def test_another_unit_is_no_price() -> None:
    with pytest.raises(ValueError, match="USD/kWh"):
        TARIFFS["flat"](Signal.constant(0.1, "USD/h"))  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="USD/kWh"):
        RealTime(Signal.constant(0.1, "USD/h"))


@pytest.mark.parametrize(
    ("times", "power"),
    [
        ([0.0, 1.0], [1.0, 2.0]),
        ([0.0, 0.0], [1.0]),
        ([1.0, 0.0], [1.0]),
        ([0.0, 1.0], [-5.0]),
        ([0.0, 1.0], [np.nan]),
    ],
)
def test_what_is_no_load(times: list[float], power: list[float]) -> None:
    with pytest.raises(ValueError, match=r"breakpoints|power"):
        PowerSteps(breakpoints_s=np.array(times), power_w=np.array(power))
