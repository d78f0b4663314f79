"""The signals that a scenario's site means, and the accounts on them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simtool.account.carbon import carbon_embodied, carbon_operational, total_carbon
from simtool.account.costs import electricity_cost, total_cost
from simtool.account.energy import energy_scopes
from simtool.account.own import Hardware, own_cost
from simtool.account.site import site_signals
from simtool.errors import InputError
from simtool.ledger import Ledger
from simtool.signals import Basis
from tests.account.builders import HOUR_S, MONEY, accelerator, node, own, pattern, site

HARDWARE = Hardware(accelerator=accelerator(), node=node())
END_S = 100 * HOUR_S


def record() -> Ledger:
    ledger = Ledger()
    work = pattern("work", ("compute", 0.9, (650.0, 120.0, 30.0)), ("bubble", 0.1, (250.0, 120.0, 30.0)))
    ledger.append(0.0, END_S, "job", work, 64)
    ledger.append(0.0, END_S, "", pattern("idle", ("idle", 1.0, (70.0, 60.0, 10.0))), 8)
    return ledger


def test_numbers_of_a_site_are_constants_with_their_source() -> None:
    both = {"average": "400 gCO2e/kWh", "marginal": "0.6 kgCO2e/kWh"}
    signals = site_signals(site(carbon=both), END_S)
    assert signals.price.sourced(0.0, END_S).source == "scenario"
    assert [signal.basis for signal in signals.carbon] == [Basis.AVERAGE, Basis.MARGINAL]
    assert [float(signal.at(0.0)) for signal in signals.carbon] == pytest.approx([0.4, 0.6])


def test_owning_pays_electricity_apart() -> None:
    place = site()
    ledger, signals = record(), site_signals(place, END_S)
    lines = [
        *own_cost(ledger, own(), HARDWARE),
        *electricity_cost(ledger, signals.price, place.cooling.pue, MONEY),
    ]
    assert [line.name for line in lines] == ["hardware", "facility", "maintenance", "electricity"]
    facility_kwh = energy_scopes(ledger, place.cooling.pue)["facility"].value / 3.6e6
    assert lines[-1].amount_usd == pytest.approx(facility_kwh * 0.08)
    explained = [entry.name for _, entry in total_cost(lines).walk()]
    assert {"PUE", "price", "economics.node_price", "utilisation", "lifetime n"} <= set(explained)


def test_a_constant_load_pays_the_mean_of_a_series() -> None:
    place = site(price={"series": "price-ercot"}, carbon={"average": {"series": "carbon-ercot"}})
    ledger, signals = record(), site_signals(place, END_S)
    facility_kwh = energy_scopes(ledger, place.cooling.pue)["facility"].value / 3.6e6
    (line,) = electricity_cost(ledger, signals.price, place.cooling.pue, MONEY)
    assert line.amount_usd == pytest.approx(facility_kwh * float(signals.price.mean(0.0, END_S)))
    (intensity,) = signals.carbon
    carbon = carbon_operational(ledger, intensity, place.cooling.pue)
    assert carbon.amount_kgco2e == pytest.approx(facility_kwh * float(intensity.mean(0.0, END_S)))
    assert carbon.basis is Basis.AVERAGE_LIFE_CYCLE
    embodied = carbon_embodied(ledger, HARDWARE, own().lifetime, own().utilisation)
    total = total_carbon([carbon, *embodied]).value
    assert total == math.fsum(one.amount_kgco2e for one in (carbon, *embodied))


def test_the_start_and_the_end_must_lie_inside_the_series() -> None:
    place = site(start="2024-12-31T00:00Z", price={"series": "price-ercot"})
    site_signals(place, 24 * HOUR_S)
    with pytest.raises(InputError, match=r"price-ercot: site\.price: .*covers 2022-01-01T00:00Z"):
        site_signals(place, 25 * HOUR_S)
    with pytest.raises(InputError, match=r"site\.price"):
        site_signals(site(start="2021-06-01T00:00Z", price={"series": "price-ercot"}), 0.0)
    again = site(start="2024-12-31T00:00Z", price={"series": "price-ercot", "repeat": "yearly"})
    assert site_signals(again, 1000 * HOUR_S).price.covers(0.0, 1000 * HOUR_S)


def test_a_series_of_ones_own(tmp_path: Path) -> None:
    moments = [datetime(2022, 1, 1, hour, tzinfo=UTC).isoformat() for hour in range(5)]
    rows = "".join(f"{moment},{600 + hour}\n" for hour, moment in enumerate(moments))
    (tmp_path / "my.csv").write_text(f"time_utc,carbon_marginal_gco2e_per_kwh\n{rows}", "utf-8")
    place = site(carbon={"marginal": {"series": "my.csv"}})
    (signal,) = site_signals(place, 4 * HOUR_S, tmp_path).carbon
    assert signal.basis is Basis.MARGINAL
    assert float(signal.mean(0.0, 2 * HOUR_S)) == pytest.approx(0.6005)
    wrong = site(carbon={"average": {"series": "my.csv"}})
    with pytest.raises(InputError, match=r"site\.carbon\.average"):
        site_signals(wrong, 4 * HOUR_S, tmp_path)


@pytest.mark.parametrize("repeat", [{}, {"repeat": "yearly"}])
def test_a_run_that_ends_after_the_calendar_is_refused_at_its_start(repeat: dict[str, str]) -> None:
    place = site(start="9999-12-31T23:00Z", price={"series": "price-ercot", **repeat})
    with pytest.raises(InputError, match=r"site\.start: found 9999-12-31T23:00Z .* ends after year 9999"):
        site_signals(place, 2 * HOUR_S)
    assert site_signals(site(start="9999-12-31T23:00Z"), 1e20).price.is_constant
