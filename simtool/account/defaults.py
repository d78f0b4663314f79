"""Economic numbers that stand where a scenario leaves them open, each with its source.

They live in ``data/economics.yaml``; nothing economic is a constant in code.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from simtool.config.fields import Fraction, Quantity, Ratio, Strict, Usd
from simtool.config.load import load_document, validate
from simtool.config.scenario import PositiveSeconds
from simtool.provenance import Sourced

FILE = Path(__file__).resolve().parent / "data" / "economics.yaml"

PerYear = Annotated[Sourced, Quantity("", minimum=-1.0)]


class Trends(Strict):
    """Relative change a year of what a run is paid with; the spread of each is absolute."""

    rental_price: PerYear
    """Of one accelerator type, at one seller."""
    electricity_price: PerYear
    carbon_intensity: PerYear
    hardware_efficiency: PerYear
    """Energy that the same work needs on each year's new accelerators."""


class Economics(Strict):
    """File kind ``simtool/economics/1``."""

    schema_: Literal["simtool/economics/1"] = Field(alias="schema")
    facility_price: Annotated[Sourced, Quantity("USD/W")]
    facility_lifetime: PositiveSeconds
    hardware_lifetime: PositiveSeconds
    """Over which the making of hardware is spread where the scenario rents."""
    utilisation: Annotated[Sourced, Quantity("", above=0, maximum=1.0)]
    """The same, share of the lifetime that the hardware works for somebody."""
    interest_per_year: Fraction
    residual_value: Fraction
    maintenance_per_year: Fraction
    network_share: Fraction
    staff_per_megawatt: Ratio
    """Full-time staff for a megawatt of IT power."""
    staff_cost_per_year: Usd
    """Of one of them, with what the employer pays besides."""
    insurance_per_year: Fraction
    """Insurance and property tax, as a fraction of all capital."""
    reserved_one_year_frac: Fraction
    """Price of an accelerator-hour reserved for a year, over that on demand."""
    reserved_three_years_frac: Fraction
    spot_frac: Fraction
    """Price of a spot accelerator-hour over that on demand."""
    inflation_per_year: PerYear
    """Its spread is absolute."""
    trends: Trends


@cache
def economics() -> Economics:
    """The shipped numbers."""
    return validate(load_document(FILE), Economics, {})


def default_trends(hardware: Literal["same", "newest"] = "same") -> dict[str, Sourced]:
    """Trends for a projection over the start year.

    Args:
        hardware: ``"same"``: the run waits and then takes the same accelerators, whose rental price moves.
            ``"newest"``: it takes the accelerators of its year, which need less energy and time for the
            work; their price per hour is taken to be that of today's new ones. The two are alternatives:
            an old accelerator gets cheaper because newer ones do more.
    """
    trends = economics().trends
    common = {
        "electricity_price": trends.electricity_price,
        "carbon_intensity": trends.carbon_intensity,
    }
    if hardware == "newest":
        return common | {"hardware_efficiency": trends.hardware_efficiency}
    return common | {"rental_price": trends.rental_price}
