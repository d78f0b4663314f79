"""Bills worked by hand: ratchets, daylight saving, blocks, shaved peaks, contracts, purchases."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from simtool.account.bill import Bill, bill
from simtool.account.bill_text import COLUMNS, bill_rows, bill_text
from simtool.account.metered import PowerSteps
from simtool.account.split import NOBODY, split
from simtool.account.tariff import Part, Tariff
from simtool.account.tariff_file import read_tariff
from simtool.account.tariffs.demand import Demand, Ratchet
from simtool.account.tariffs.fixed import Fixed
from simtool.account.tariffs.flat import Flat
from simtool.account.tariffs.power_purchase import PowerPurchase
from simtool.account.tariffs.real_time import NamedSeries, RealTime
from simtool.account.tariffs.tiered import Tier, Tiered
from simtool.account.tariffs.time_of_use import Period, TimeOfUse
from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.signals import Signal, find_series
from simtool.signals.holidays import Holidays
from simtool.signals.local_time import LocalTime
from simtool.signals.windows import Window, parse_days, parse_hours, parse_months

HOUR_S, DAY_S = 3600.0, 86400.0
CHICAGO = "America/Chicago"


def at(zone: str, *moment: int) -> datetime:
    return datetime(*moment, tzinfo=ZoneInfo(zone))  # type: ignore[misc]


def steps(*pairs: tuple[float, float]) -> PowerSteps:
    """A load from pairs of length [s] and power [W]."""
    lengths, power = zip(*pairs, strict=True)
    return PowerSteps(breakpoints_s=np.cumsum([0.0, *lengths]), power_w=np.array(power))


def flat(usd_per_kwh: float, **terms: object) -> Flat:
    return Flat(Signal.constant(usd_per_kwh, "USD/kWh"), **terms)  # type: ignore[arg-type]


def by_month(found: Bill, name: str) -> dict[str, float]:
    return {line.month: line.amount_usd for line in found.lines if line.name == name}


def months_of(peaks_kw: list[float], start: datetime, zone: str) -> PowerSteps:
    """Whole months, each at 1 kW with one quarter of an hour at its peak."""
    edges = (
        LocalTime(start=start, zone=zone).months(0.0, len(peaks_kw) * 29 * DAY_S).edges_s[: len(peaks_kw) + 1]
    )
    times, power = [0.0], []
    for begin, end, peak in zip(edges[:-1], edges[1:], peaks_kw, strict=True):
        times += [begin + 10 * DAY_S, begin + 10 * DAY_S + 900.0, end]
        power += [1e3, peak * 1e3, 1e3]
    return PowerSteps(breakpoints_s=np.array(times), power_w=np.array(power))


def test_a_ratchet_over_fourteen_months() -> None:
    peaks = [10, 12, 30, 12, 11, 14, 26, 12, 12, 12, 12, 12, 12, 12]
    load = months_of([float(peak) for peak in peaks], at(CHICAGO, 2024, 1, 1), CHICAGO)
    part = Demand(price_usd_per_kw_month=10.0, ratchet=Ratchet(share=0.8))
    found = bill(load, Tariff(parts=(part,), timezone=CHICAGO), at(CHICAGO, 2024, 1, 1))
    # March's 30 kW stand for the eleven months after it at 24 kW; July's own 26 are more.
    billed = [10, 12, 30, 24, 24, 24, 26, 24, 24, 24, 24, 24, 24, 24]
    assert [line.quantity for line in found.lines] == pytest.approx(billed)
    assert [line.amount_usd for line in found.lines] == pytest.approx([10.0 * kw for kw in billed])
    assert found.lines[-1].month == "2025-02"
    assert found.lines[-1].note == "ratchet: 80% of the peak of 2024-03"
    # Afterwards July is remembered until June (20.8 kW), then the 12 kW of February until January (9.6 kW).
    assert [line.quantity for line in found.after] == pytest.approx([20.8] * 4 + [9.6] * 7)
    assert [found.after[0].month, found.after[-1].month] == ["2025-03", "2026-01"]
    assert found.total_usd == pytest.approx(10.0 * sum(billed))
    charged = bill(
        load, Tariff(parts=(part,), timezone=CHICAGO), at(CHICAGO, 2024, 1, 1), after_end="charged"
    )
    assert charged.total_usd == pytest.approx(found.total_usd + found.after_usd)
    assert charged.month_usd()["2026-01"] == pytest.approx(96.0)


def test_a_ratchet_of_summer_peaks_and_of_peaks_before_the_load() -> None:
    load = months_of([20.0, 20.0, 20.0], at("UTC", 2025, 1, 1), "UTC")
    summer = Ratchet(share=0.5, num_months=11, months=parse_months("june-september"))
    part = Demand(price_usd_per_kw_month=1.0, ratchet=summer)
    before = [100.0, 0.0, 60.0, 0.0, 0.0, 0.0, 900.0]  # June 2024 to December: kW
    tariff = Tariff(parts=(part,), standing={"demand": [1e3 * kw for kw in before]})
    found = bill(load, tariff, at("UTC", 2025, 1, 1))
    # 100 kW of June bill 50 kW; December's 900 kW are no summer peak.
    assert [line.quantity for line in found.lines] == pytest.approx([50.0, 50.0, 50.0])
    # June is forgotten after May: July has 0, August 60 kW, remembered through July.
    assert [line.quantity for line in found.after] == pytest.approx([50.0, 50.0, 30.0, 30.0])
    assert [line.month for line in found.after] == ["2025-04", "2025-05", "2025-06", "2025-07"]


def test_a_week_of_time_of_use_into_daylight_saving() -> None:
    # Monday 3 to Sunday 9 March 2025, New York; on Sunday the clock goes from 02:00 to 03:00.
    night, day = "00:00-06:00", "06:00-24:00"
    periods = tuple(
        Period(
            name=name,
            window=Window(days=parse_days(days), clock_s=parse_hours(hours)),
            price_usd_per_kwh=price,
        )
        for name, days, hours, price in (
            ("night", "weekdays", night, 0.05),
            ("day", "weekdays", day, 0.15),
            ("weekend night", "weekends", night, 0.02),
            ("weekend day", "weekends", day, 0.04),
        )
    )
    tariff = Tariff(parts=(TimeOfUse(periods=periods),), timezone="America/New_York")
    start = at("America/New_York", 2025, 3, 3)
    found = bill(steps((167 * HOUR_S, 1e3)), tariff, start)  # 1 kW: kWh are hours
    hours = {line.name: line.quantity for line in found.lines}
    assert hours == pytest.approx(
        {"energy, night": 30, "energy, day": 90, "energy, weekend night": 11, "energy, weekend day": 36}
    )
    assert found.total_usd == pytest.approx(30 * 0.05 + 90 * 0.15 + 11 * 0.02 + 36 * 0.04)
    # The week of November that has an hour twice: the weekend's night is 13 hours long.
    autumn = bill(steps((169 * HOUR_S, 1e3)), tariff, at("America/New_York", 2025, 10, 27))
    assert sum(
        line.quantity for line in autumn.lines if line.name == "energy, weekend night"
    ) == pytest.approx(13)
    # A holiday on Wednesday is charged as a Sunday.
    free = Tariff(parts=tariff.parts, timezone=tariff.timezone, holidays=Holidays(rules=("03-05",)))
    assert {
        line.name: line.quantity for line in bill(steps((167 * HOUR_S, 1e3)), free, start).lines
    } == pytest.approx(
        {"energy, night": 24, "energy, day": 72, "energy, weekend night": 17, "energy, weekend day": 54}
    )


def test_blocks_are_crossed_in_the_middle_of_a_month() -> None:
    tiers = (
        Tier(up_to_kwh=1000.0, price_usd_per_kwh=0.20),
        Tier(up_to_kwh=2000.0, price_usd_per_kwh=0.10),
        Tier(up_to_kwh=np.inf, price_usd_per_kwh=0.05),
    )
    tariff = Tariff(parts=(Tiered(tiers=tiers),))
    # 2 kW from 1 April: 1,440 kWh, the second block begins after 500 hours. May: 15.5 days of half the blocks.
    load = steps((30 * DAY_S, 2e3), (15.5 * DAY_S, 5e3))
    found = bill(load, tariff, datetime(2025, 4, 1, tzinfo=UTC))
    lines = [(line.month, line.quantity, line.amount_usd) for line in found.lines]
    assert lines == [
        ("2025-04", pytest.approx(1000), pytest.approx(200)),
        ("2025-04", pytest.approx(440), pytest.approx(44)),
        ("2025-05", pytest.approx(500), pytest.approx(100)),
        ("2025-05", pytest.approx(500), pytest.approx(50)),
        ("2025-05", pytest.approx(860), pytest.approx(43)),
    ]
    in_full = Tariff(parts=tariff.parts, part_month="full")
    assert bill(load, in_full, datetime(2025, 4, 1, tzinfo=UTC)).month_usd() == pytest.approx(
        {"2025-04": 244.0, "2025-05": 200.0 + 86.0}
    )


def test_a_peak_is_the_mean_of_a_quarter_of_an_hour_by_the_clock() -> None:
    part = Demand(price_usd_per_kw_month=20.0)
    tariff = Tariff(parts=(part,), part_month="full")
    start = datetime(2025, 6, 2, 0, 7, tzinfo=UTC)  # seven minutes after the quarter
    # 10 MW, and 14 MW from 12:00 to 12:05: the meter sees 10 + 4 x 5/15 MW.
    noon = 12 * HOUR_S - 7 * 60
    load = steps((noon, 10e6), (300.0, 14e6), (8 * HOUR_S, 10e6))
    (line,) = bill(load, tariff, start).lines
    assert line.quantity == pytest.approx(10_000 + 4_000 / 3)
    assert line.peak_s == (noon, noon + 900.0)
    # The same five minutes across the quarter: two intervals take half each.
    moved = steps((noon - 150.0, 10e6), (300.0, 14e6), (8 * HOUR_S, 10e6))
    assert bill(moved, tariff, start).lines[0].quantity == pytest.approx(10_000 + 4_000 / 6)
    five = Tariff(parts=(Demand(price_usd_per_kw_month=20.0, interval_s=300.0),), part_month="full")
    assert bill(load, five, start).lines[0].quantity == pytest.approx(14_000)


def test_a_battery_that_shaves_a_peak_saves_what_it_shaves() -> None:
    # 10 MW, an hour at 14 MW every day; a battery holds 11 MW there, and charges at 1 MW for the 3 hours after it.
    raw, shaved = [], []
    for _ in range(30):
        raw += [(12 * HOUR_S, 10e6), (HOUR_S, 14e6), (3 * HOUR_S, 10e6), (8 * HOUR_S, 10e6)]
        shaved += [(12 * HOUR_S, 10e6), (HOUR_S, 11e6), (3 * HOUR_S, 11e6), (8 * HOUR_S, 10e6)]
    tariff = Tariff(parts=(Demand(price_usd_per_kw_month=20.0), flat(0.05)))
    before, after = (bill(steps(*load), tariff, datetime(2025, 6, 1, tzinfo=UTC)) for load in (raw, shaved))
    assert before.by_kind()["energy"] == pytest.approx(after.by_kind()["energy"])  # no losses here
    assert before.total_usd - after.total_usd == pytest.approx(3_000 * 20.0)


def test_demand_charges_at_the_scale_of_a_datacenter() -> None:
    # 500 MW at 7.45 USD/kW and month are 44.7 million USD a year; a load factor of 0.9 makes 20 USD/kW 0.030 USD/kWh.
    year = steps((365 * DAY_S, 500e6))
    transmission = Tariff(parts=(Demand(price_usd_per_kw_month=7.45),), timezone=CHICAGO)
    found = bill(year, transmission, at(CHICAGO, 2025, 1, 1))
    assert found.total_usd == pytest.approx(44.7e6)
    assert len(found.lines) == 12
    days = [(12 * HOUR_S, 100e6), (12 * HOUR_S, 80e6)] * 365
    twenty = bill(
        steps(*days), Tariff(parts=(Demand(price_usd_per_kw_month=20.0),)), datetime(2025, 1, 1, tzinfo=UTC)
    )
    assert twenty.total_usd / (0.9 * 100e3 * 8760) == pytest.approx(20 / (730 * 0.9), rel=1e-9)


def test_a_contracted_minimum_is_billed_while_nothing_runs() -> None:
    part = Demand(price_usd_per_kw_month=10.0, contract_minimum_frac=0.85)
    tariff = Tariff(parts=(part, Fixed(amount_usd_per_month=600.0)), contract_power_w=100e6)
    load = steps((15 * DAY_S, 0.0), (15 * DAY_S, 0.0), (15.5 * DAY_S, 120e6))
    found = bill(load, tariff, datetime(2025, 4, 1, tzinfo=UTC))
    assert by_month(found, "demand") == pytest.approx({"2025-04": 850_000.0, "2025-05": 1_200_000.0 / 2})
    assert by_month(found, "customer charge") == pytest.approx({"2025-04": 600.0, "2025-05": 300.0})
    assert "85% of 100,000 kW" in found.lines[0].note
    bare = Tariff(name="mine", parts=(part,))
    with pytest.raises(InputError, match=r"mine: contract_power: demand bills 0\.85 of the contracted power"):
        bill(load, bare, datetime(2025, 4, 1, tzinfo=UTC))
    assert bill(load, bare.with_contract(200e6), datetime(2025, 4, 1, tzinfo=UTC)).total_usd > 0


def test_the_least_total_of_a_month() -> None:
    tariff = Tariff(parts=(flat(0.1),), minimum_usd_per_month=1000.0)
    load = steps((30 * DAY_S, 1e3), (31 * DAY_S, 20e3))  # 72 USD in April, 1,488 in May
    found = bill(load, tariff, datetime(2025, 4, 1, tzinfo=UTC))
    assert by_month(found, "minimum bill") == pytest.approx({"2025-04": 928.0})
    assert found.month_usd() == pytest.approx({"2025-04": 1000.0, "2025-05": 1488.0})


def test_a_purchase_as_produced_and_its_shortfall() -> None:
    # The plant gives 6 MW for 12 hours, then nothing; the load is 4 MW, then 10 MW.
    profile = Signal.from_steps([0.0, 12 * HOUR_S], [6e6, 0.0], end_s=DAY_S, unit="W")
    wind = PowerPurchase(price_usd_per_kwh=0.04, profile=profile, surplus_usd_per_kwh=0.01, name="wind")
    tariff = Tariff(parts=(wind, flat(0.10), flat(0.02, name="delivery", charged_on="all")))
    load = steps((6 * HOUR_S, 4e6), (18 * HOUR_S, 10e6))
    found = bill(load, tariff, datetime(2025, 4, 1, tzinfo=UTC))
    assert found.by_name() == pytest.approx(
        {
            "wind": 72_000 * 0.04,
            "wind, surplus sold": -12_000 * 0.01,
            "energy": (6 * 4_000 + 12 * 10_000) * 0.10,
            "delivery": (24_000 + 180_000) * 0.02,
        }
    )
    # A plant that is paid while nothing is drawn is nobody's energy.
    idle = bill(steps((12 * HOUR_S, 0.0)), tariff, datetime(2025, 4, 1, tzinfo=UTC))
    assert idle.total_usd == pytest.approx(72_000 * (0.04 - 0.01))
    assert split(idle, np.array([0.0, 12 * HOUR_S]), {"job": np.zeros(1)})["energy"] == pytest.approx(
        {"job": 0.0, NOBODY: idle.total_usd}
    )


def test_two_purchases_follow_each_other() -> None:
    first = PowerPurchase(price_usd_per_kwh=0.03, share=0.5, name="first")
    second = PowerPurchase(price_usd_per_kwh=0.05, share=0.5, name="second")
    load = steps((10 * HOUR_S, 8e6))
    found = bill(load, Tariff(parts=(first, second, flat(0.2))), datetime(2025, 4, 1, tzinfo=UTC))
    assert found.by_name() == pytest.approx(
        {"first": 40_000 * 0.03, "second": 20_000 * 0.05, "energy": 20_000 * 0.2}
    )


def test_a_purchase_of_two_kinds_or_none_is_refused() -> None:
    with pytest.raises(InputError, match="neither of share and profile"):
        PowerPurchase(price_usd_per_kwh=0.03)
    with pytest.raises(InputError, match="both of share and profile"):
        PowerPurchase(price_usd_per_kwh=0.03, share=0.5, profile=Signal.constant(1.0, "W"))


def test_a_market_price_by_its_name() -> None:
    start, load = datetime(2023, 8, 10, tzinfo=UTC), steps((20 * DAY_S, 50e6), (20 * DAY_S, 20e6))
    part = RealTime(NamedSeries(series="price-ercot"), adder_usd_per_kwh=0.004)
    found = bill(load, Tariff(parts=(part,), timezone=CHICAGO), start)
    price = find_series("price-ercot", start, "USD/kWh")
    expected = float(price.integrate_product(load.breakpoints_s, load.power_w)) / 3.6e6
    assert found.total_usd == pytest.approx(expected + 0.004 * load.energy_j / 3.6e6, rel=1e-12)
    assert [line.month for line in found.lines] == ["2023-08", "2023-09"]
    with pytest.raises(InputError, match="the series covers"):
        bill(load, Tariff(parts=(part,)), datetime(2024, 12, 20, tzinfo=UTC))


def test_a_july_of_pacific_gas_and_electric() -> None:
    # 1 MW throughout July 2025: 23 working days, 8 days of weekends.
    tariff = read_tariff("pge-industrial-tou", default_library())
    found = bill(
        steps((31 * DAY_S, 1e6)), tariff, at("America/Los_Angeles", 2025, 7, 1), "America/Los_Angeles"
    )
    assert found.by_name() == pytest.approx(
        {
            "customer charge": 1352.6313,
            "peak demand, summer": 21.19e3,
            "half-peak demand, summer": 5.88e3,
            "demand, any hour": 21.3e3,
            "energy, summer peak": 23 * 6e3 * 0.16299,
            "energy, summer half-peak": 23 * 7e3 * 0.1196,
            "energy, summer off-peak": 23 * 11e3 * 0.08981,
            "energy, summer weekend": 8 * 24e3 * 0.08981,
        }
    )


def test_a_rate_4b_of_new_mexico_in_and_outside_peak_hours() -> None:
    tariff = read_tariff("pnm-large-power-tou", default_library())
    weekend = steps((3 * DAY_S, 2e6), (DAY_S, 5e6), (27 * DAY_S, 2e6))  # 5 MW on Saturday 4 January 2025
    found = bill(weekend, tariff, at("America/Denver", 2025, 1, 1))
    assert found.by_name()["on-peak demand"] == pytest.approx(2_000 * 28.44)
    assert found.by_name()["off-peak demand"] == pytest.approx(5_000 * 19.79)


@pytest.mark.parametrize(
    ("periods", "message"),
    [
        ((("06:00-22:00", 0.1),), "Mondays in January from 00:00 to 06:00: found no price"),
        ((("all", 0.1), ("12:00-13:00", 0.2)), "from 12:00 to 13:00: found two prices, 'p0' and 'p1'"),
    ],
)
def test_an_hour_without_a_price_or_with_two(periods: tuple[tuple[str, float], ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TimeOfUse(
            periods=tuple(
                Period(name=f"p{index}", window=Window(clock_s=parse_hours(hours)), price_usd_per_kwh=price)
                for index, (hours, price) in enumerate(periods)
            )
        )


def test_parts_that_cannot_be() -> None:
    with pytest.raises(InputError, match="a last block without an end"):
        Tiered(tiers=(Tier(up_to_kwh=10.0, price_usd_per_kwh=0.1),))
    with pytest.raises(InputError, match="limits that rise"):
        Tiered(tiers=tuple(Tier(up_to_kwh=limit, price_usd_per_kwh=0.1) for limit in (10.0, 10.0, np.inf)))
    with pytest.raises(InputError, match="turns at 08:30 and intervals of 60 min"):
        Demand(
            price_usd_per_kw_month=1.0,
            windows=(Window(clock_s=parse_hours("08:30-12:00")),),
            interval_s=HOUR_S,
        )
    with pytest.raises(InputError, match="a whole part of a day"):
        Demand(price_usd_per_kw_month=1.0, interval_s=7 * 60.0)
    with pytest.raises(InputError, match="two parts called 'energy'"):
        Tariff(parts=(flat(0.1), flat(0.2)))
    with pytest.raises(InputError, match="found peaks of 'demad'"):
        Tariff(parts=(Demand.example(),), standing={"demad": [1.0]})


def test_the_next_kilowatt_hour_of_several_parts() -> None:
    series = Signal.from_steps([0.0, HOUR_S], [0.03, 0.05], end_s=DAY_S, unit="USD/kWh")
    parts: tuple[Part, ...] = (
        RealTime(series),
        flat(0.02, name="delivery"),
        Demand.example(),
        Tiered.example(),
    )
    tariff = Tariff(parts=(*parts[:3], Tiered(tiers=Tiered.example().tiers, name="tax")))
    price = tariff.marginal_price(
        LocalTime(start=datetime(2025, 1, 1, tzinfo=UTC), zone="UTC"), 0.0, 2 * HOUR_S
    )
    assert price.at([0.0, HOUR_S]).tolist() == pytest.approx([0.03 + 0.02 + 0.07, 0.05 + 0.02 + 0.07])


def test_the_one_who_was_there_at_the_peak_pays_for_it() -> None:
    tariff = Tariff(
        parts=(Demand(price_usd_per_kw_month=10.0), flat(0.1), Fixed.example()), part_month="full"
    )
    times = np.array([0.0, HOUR_S, 2 * HOUR_S])
    powers = {"steady": np.array([1e6, 1e6]), "spike": np.array([0.0, 3e6])}
    load = PowerSteps(breakpoints_s=times, power_w=np.sum(list(powers.values()), axis=0))
    parts = split(bill(load, tariff, datetime(2025, 1, 1, tzinfo=UTC)), times, powers)
    assert parts["demand"] == pytest.approx({"steady": 10_000.0, "spike": 30_000.0})
    assert parts["energy"] == pytest.approx({"steady": 200.0, "spike": 300.0})
    assert parts["customer charge"] == pytest.approx({"steady": 400.0, "spike": 600.0})


def test_two_million_breakpoints_take_a_couple_of_seconds() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    lengths = rng.uniform(1.0, 30.0, 2_000_000)
    times = np.concatenate(([0.0], np.cumsum(lengths))) * (365 * DAY_S / lengths.sum())
    load = PowerSteps(breakpoints_s=times, power_w=rng.uniform(50e6, 100e6, lengths.size))
    tariff = read_tariff("pge-industrial-tou", default_library())
    before = os.times()
    found = bill(load, tariff, at("America/Los_Angeles", 2025, 1, 1))
    after = os.times()
    assert after.user + after.system - before.user - before.system < 2.0
    assert found.energy_j.sum() == pytest.approx(load.energy_j, rel=1e-12)


def test_a_bill_as_rows_and_as_a_page() -> None:
    ratchet = Demand(price_usd_per_kw_month=10.0, ratchet=Ratchet(share=0.5, num_months=1))
    tariff = Tariff(name="mine", parts=(flat(0.1), ratchet, Fixed(amount_usd_per_month=60.0)))
    found = bill(steps((30 * DAY_S, 1e3), (15.5 * DAY_S, 2e3)), tariff, datetime(2025, 4, 1, tzinfo=UTC))
    rows = bill_rows(found)
    assert [tuple(row) for row in rows] == [COLUMNS] * 6
    assert sum(float(row["amount_usd"]) for row in rows) == pytest.approx(found.total_usd)
    page = bill_text(found).splitlines()
    assert page[0] == "mine, 2025-04"
    assert page[2].split() == ["energy", "720.0", "kWh", "0.10000", "72.00"]
    assert "customer charge (50.0% of a month)" in bill_text(found, "2025-05")
    assert page[5].split() == ["total", "142.00"]
    assert page[-3].split() == ["total", "of", "all", "months", "256.40"]
    assert page[-1] == (
        "not charged: 10.00 USD that ratchets ask for from 2025-06 to 2025-06, "
        "if no other load takes the place of this one"
    )
