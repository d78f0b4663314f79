"""What a tariff file may hold. File kind ``simtool/tariff/1``.

A tariff is a list of parts, each of one kind: ``flat``, ``real_time``, ``tiered``, ``time_of_use``, ``demand``,
``fixed``, ``power_purchase``. Months, days and hours are text (``june-september``, ``weekdays``, ``08:30-12:00``),
every price is a sourced number. `simtool.account` charges by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from simtool.config.fields import Fraction, Kgco2ePerKwh, Quantity, Usd, UsdPerKwh, Watts
from simtool.config.refusals import Complaint, refusal
from simtool.errors import InputError
from simtool.profiles.section import Names, Profile, Section
from simtool.provenance import Sourced
from simtool.signals.holidays import WEEKDAYS, holiday
from simtool.signals.local_time import time_zone
from simtool.signals.windows import Window, clock_text, first_hole, parse_days, parse_hours, parse_months
from simtool.units import parse

UsdPerKilowatt = Annotated[Sourced, Quantity("USD/kW")]
EnergyPerMonth = Annotated[Sourced, Quantity("kWh", above=0)]


def _text(read: Callable[[str], object], allowed: str, example: str) -> AfterValidator:
    """A text that `read` understands; it raises ValueError where not."""

    def check(written: str) -> str:
        try:
            read(written)
        except ValueError as error:
            mend = f"write e.g. {example}"
            raise refusal(
                Complaint(found=f"found {error}", allowed=f"allowed: {allowed}", mend=mend)
            ) from None
        return written

    return AfterValidator(check)


def _zone(name: str) -> None:
    try:
        time_zone(name)
    except InputError as error:
        raise ValueError(f"{name!r}; {error.problems[0].mend}") from None


MonthsText = Annotated[str, _text(parse_months, "all, or months", "june-september")]
DaysText = Annotated[str, _text(parse_days, "all, weekdays, weekends, or names of days", "weekdays")]
HoursText = Annotated[str, _text(parse_hours, "all, or spans of the clock", "'08:30-12:00, 18:00-21:30'")]
HolidayText = Annotated[
    str, _text(lambda rule: holiday(rule, 2024), "a date or a rule", "12-25 or last monday of may")
]
ZoneText = Annotated[str, _text(_zone, "a zone of the IANA data base", "America/Los_Angeles")]
ChargedOn = Literal["shortfall", "all"]


class When(Section):
    """A window of local time."""

    months: MonthsText = "all"
    days: DaysText = "all"
    """Days of the week; holidays count as the tariff says."""
    hours: HoursText = "all"
    """By the local clock, ends excluded; 22:00-06:00 goes over midnight."""

    def window(self) -> Window:
        """The window."""
        return Window(
            months=parse_months(self.months), days=parse_days(self.days), clock_s=parse_hours(self.hours)
        )


class FlatPart(Section):
    """One price for every kWh."""

    kind: Literal["flat"]
    name: str = "energy"
    price: UsdPerKwh
    charged_on: ChargedOn = "shortfall"
    """What power purchase agreements leave over; ``all`` for delivery and taxes."""


class RealTimePart(Section):
    """A price that changes with the market."""

    kind: Literal["real_time"]
    name: str = "energy, real time"
    series: str
    """Name of a shipped series, or a path, relative to this file."""
    repeat: Literal["yearly"] | None = None
    adder: UsdPerKwh | None = None
    """On top of the market's price."""
    charged_on: ChargedOn = "shortfall"


class PeriodOfUse(When):
    """One price and when it holds."""

    name: str
    price: UsdPerKwh


class TimeOfUsePart(Section):
    """Prices by season, day and hour; together the periods take every hour once."""

    kind: Literal["time_of_use"]
    name: str = "energy"
    periods: Annotated[tuple[PeriodOfUse, ...], Field(min_length=1)]
    charged_on: ChargedOn = "shortfall"

    def complaints(self) -> Iterator[Complaint]:
        """An hour without a price, or with two."""
        yield from super().complaints()
        hole = first_hole([period.window() for period in self.periods])
        if hole is not None:
            names = " and ".join(repr(self.periods[index].name) for index in hole.takers)
            yield Complaint(
                member="periods",
                found=f"{hole.when}: found {f'two prices, {names}' if names else 'no price'}",
                allowed="one price for every hour of the year",
                mend="let one of them end earlier" if names else "add a period for it, or make one longer",
            )


class Block(Section):
    """One block of energy."""

    up_to: EnergyPerMonth | None = None
    """Energy of a month at which it ends; the last block has no end."""
    price: UsdPerKwh


class TieredPart(Section):
    """Blocks of energy of a month."""

    kind: Literal["tiered"]
    name: str = "energy"
    tiers: Annotated[tuple[Block, ...], Field(min_length=1)]
    charged_on: ChargedOn = "shortfall"

    def complaints(self) -> Iterator[Complaint]:
        """Limits that do not rise, or a last block that ends."""
        yield from super().complaints()
        limits = [tier.up_to.value if tier.up_to else None for tier in self.tiers]
        if limits[-1] is not None:
            found = f"found no price above {limits[-1]:g} kWh a month"
            mend = "leave up_to out of the last block"
            yield Complaint(member="tiers", found=found, allowed="a last block without an end", mend=mend)
        rising = [limit for limit in limits[:-1] if limit is not None]
        if len(rising) < len(limits) - 1 or sorted(set(rising)) != rising:
            found = "found limits that do not rise, or a block in between without one"
            yield Complaint(
                member="tiers", found=found, mend="order the blocks, each but the last with up_to"
            )


class RatchetTerms(Section):
    """A peak that is billed on for months."""

    share: Fraction
    """Of the highest peak of the months before."""
    num_months: Annotated[int, Field(ge=1, le=60)] = 11
    """How long a peak is remembered."""
    months: MonthsText = "all"
    """Months of the year whose peaks are remembered."""


class DemandPart(Section):
    """A charge on the highest mean power of a month inside some windows."""

    kind: Literal["demand"]
    name: str = "demand"
    when: Annotated[tuple[When, ...], Field(min_length=1)] = (When(),)
    """Windows, taken together; their months are those in which the charge exists. Always if not given."""
    price: UsdPerKilowatt
    """Per kW and month."""
    interval: Literal["5 min", "15 min", "30 min", "60 min"] = "15 min"
    """Of the meter."""
    ratchet: RatchetTerms | None = None
    contract_minimum: Fraction | None = None
    """Share of the contracted power that is billed in any case."""

    def complaints(self) -> Iterator[Complaint]:
        """A window that turns inside an interval of the meter."""
        yield from super().complaints()
        turns = [turn for when in self.when for turn in when.window().turns_s]
        uneven = [turn for turn in turns if turn % parse(self.interval, "s")]
        if uneven:
            found = f"found a window that turns at {clock_text(uneven[0])} and intervals of {self.interval}"
            mend = "let windows begin and end with an interval, or shorten the interval"
            yield Complaint(member="when", found=found, allowed="whole intervals", mend=mend)


class FixedPart(Section):
    """The same amount every month."""

    kind: Literal["fixed"]
    name: str = "customer charge"
    amount: Usd
    """Per month."""


class PowerPurchasePart(Section):
    """Energy at a fixed price, for a share of the load or as a plant produces it."""

    kind: Literal["power_purchase"]
    name: str = "power purchase"
    price: UsdPerKwh
    share: Fraction | None = None
    """Of every kWh."""
    profile: str | None = None
    """Name of the power over time that whoever reads the tariff supplies."""
    surplus_price: UsdPerKwh | None = None
    """For what is produced beyond the load; nothing if not given."""
    intensity: Kgco2ePerKwh | None = None
    """Of its energy, for the market-based account."""

    def complaints(self) -> Iterator[Complaint]:
        """Both or neither of share and profile."""
        yield from super().complaints()
        if (self.share is None) == (self.profile is None):
            found = f"found {'neither' if self.share is None else 'both'} of share and profile"
            yield Complaint(found=found, mend="write one of them", member="share" if self.share else "")


TariffPart = Annotated[
    FlatPart | RealTimePart | TimeOfUsePart | TieredPart | DemandPart | FixedPart | PowerPurchasePart,
    Field(discriminator="kind"),
]


class HolidayTerms(Section):
    """Days that count as another day of the week."""

    rules: Annotated[tuple[HolidayText, ...], Field(strict=False)]
    """2025-12-26, 12-25 (every year), or last monday of may."""
    count_as: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "sunday"

    @property
    def weekday(self) -> int:
        """Monday is 0."""
        return WEEKDAYS.index(self.count_as)


class Tariff(Profile):
    """All that a utility or supplier charges for one site. File kind ``simtool/tariff/1``."""

    utility: str = ""
    valid: str = ""
    """When these prices hold, in words."""
    timezone: ZoneText | None = None
    """Zone of the clock that it charges by; the site's if not given."""
    holidays: HolidayTerms | None = None
    part_month: Literal["prorated", "full"] = "prorated"
    """What a month is charged in which the load runs for a part only."""
    minimum: Usd | None = None
    """Least total of a month."""
    contract_power: Watts | None = None
    contains_carbon_price: bool = True
    """Whether a price on carbon is in these prices already."""
    parts: Annotated[tuple[TariffPart, ...], Field(min_length=1)]
    left_out: Names = ()
    """What the tariff also charges and this file does not, in words."""

    def complaints(self) -> Iterator[Complaint]:
        """Two parts of one name."""
        yield from super().complaints()
        names = [part.name for part in self.parts]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            found = f"found two parts called {doubled[0]!r}"
            yield Complaint(
                member="parts", found=found, allowed="one name for one line", mend="rename one of them"
            )
