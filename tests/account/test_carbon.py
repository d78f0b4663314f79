"""Carbon: by hand, conserved, and never of two minds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given

from simtool.account.carbon import (
    carbon_embodied,
    carbon_operational,
    embodied_notes,
    total_carbon,
)
from simtool.account.own import Hardware
from simtool.errors import InputError
from simtool.ledger import Ledger
from simtool.signals import Basis, Signal
from simtool.units import SECONDS_PER_YEAR
from tests.account.builders import HOUR_S, accelerator, ledgers, node, number, pattern, step_signals

LIFETIME, UTILISATION = number(5 * SECONDS_PER_YEAR, "s"), number(0.9)
HARDWARE = Hardware(accelerator=accelerator(), node=node())


def hour_of_1000() -> Ledger:
    ledger = Ledger()
    ledger.append(0.0, HOUR_S, "job", pattern("work", ("compute", 1.0, (700.0, 300.0, 45.0))), 1000)
    return ledger


def test_an_accelerator_hour_by_hand() -> None:
    # 1.045 kW x PUE 1.2 x 350 g/kWh = 439 g an hour; (164 + 5700 / 8) kg / (5 years x 0.9) = 22.2 g an hour.
    intensity = Signal.constant(0.35, "kgCO2e/kWh", basis=Basis.AVERAGE)
    operational = carbon_operational(hour_of_1000(), intensity, number(1.2))
    assert operational.amount_kgco2e == pytest.approx(438.9, rel=1e-4)
    embodied = carbon_embodied(hour_of_1000(), HARDWARE, LIFETIME, UTILISATION)
    assert math.fsum(line.amount_kgco2e for line in embodied) == pytest.approx(22.2, rel=2e-3)
    assert [line.name for line in embodied] == ["making of accelerators", "making of hosts"]
    assert total_carbon([operational, *embodied]).value == pytest.approx(461.1, rel=1e-3)


@given(ledgers(), step_signals("kgCO2e/kWh", Basis.AVERAGE_LIFE_CYCLE))
def test_portions_sum_to_their_line(ledger: Ledger, intensity: Signal) -> None:
    lines = [
        carbon_operational(ledger, intensity, number(1.3)),
        *carbon_embodied(ledger, HARDWARE, LIFETIME, UTILISATION),
    ]
    for line in lines:
        assert math.fsum(p.amount for p in line.portions) == pytest.approx(line.amount_kgco2e, rel=1e-12)
        assert all(portion.amount >= 0 for portion in line.portions)
    total = total_carbon(lines)
    assert total.value == math.fsum(line.amount_kgco2e for line in lines)


def test_average_and_marginal_are_two_totals() -> None:
    average = Signal.constant(0.35, "kgCO2e/kWh", basis=Basis.AVERAGE)
    marginal = Signal.constant(0.6, "kgCO2e/kWh", basis=Basis.MARGINAL)
    lines = [carbon_operational(hour_of_1000(), signal, number(1.0)) for signal in (average, marginal)]
    with pytest.raises(InputError, match="average and marginal"):
        total_carbon(lines)
    embodied = carbon_embodied(hour_of_1000(), HARDWARE, LIFETIME, UTILISATION)
    with pytest.raises(InputError, match="embodied"):
        total_carbon([lines[1], *embodied])
    assert total_carbon([lines[1]]).value == pytest.approx(1000 * 1.045 * 0.6)
    assert total_carbon([lines[0], *embodied]).value > lines[0].amount_kgco2e


def test_a_price_is_no_intensity() -> None:
    with pytest.raises(ValueError, match="kgCO2e/kWh"):
        carbon_operational(hour_of_1000(), Signal.constant(0.1, "USD/kWh"), number(1.0))


def test_what_no_profile_states_is_left_out_and_said() -> None:
    bare = Hardware(accelerator=accelerator(embodied=None), node=node(embodied_host=None))
    assert carbon_embodied(hour_of_1000(), bare, LIFETIME, UTILISATION) == ()
    assert len(embodied_notes(bare)) == 2
    assert embodied_notes(HARDWARE) == ()
    assert "hosts" in embodied_notes(Hardware(accelerator=accelerator()))[0]


def test_the_line_explains_itself() -> None:
    intensity = Signal.constant(number(0.35, "kgCO2e/kWh"), basis=Basis.AVERAGE_DIRECT)
    line = carbon_operational(hour_of_1000(), intensity, number(1.2))
    names = [entry.name for _, entry in line.amount.walk()]
    assert "average direct carbon intensity" in names
    assert "PUE" in names
    assert "energy_it_j" in names
