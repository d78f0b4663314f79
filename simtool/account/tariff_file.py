"""Tariffs from files: a profile by name, or a file of one's own by its path."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from simtool.account.tariff import Part, Tariff
from simtool.account.tariffs.demand import Demand, Ratchet
from simtool.account.tariffs.fixed import Fixed
from simtool.account.tariffs.flat import Flat
from simtool.account.tariffs.power_purchase import PowerPurchase
from simtool.account.tariffs.real_time import NamedSeries, RealTime
from simtool.account.tariffs.tiered import Tier, Tiered
from simtool.account.tariffs.time_of_use import Period, TimeOfUse
from simtool.config.validate import validate
from simtool.errors import InputError, Problem, did_you_mean
from simtool.profiles import tariff as schema
from simtool.profiles.find import ProfileLibrary, load_profile
from simtool.provenance import KINDS, Sourced
from simtool.signals import Signal
from simtool.signals.holidays import NO_HOLIDAYS, Holidays
from simtool.signals.windows import parse_months
from simtool.units import parse


def read_tariff(
    name_or_path: str | Path, library: ProfileLibrary, *, profiles: dict[str, Signal] | None = None
) -> Tariff:
    """A tariff, ready to charge.

    A name without a folder and without a suffix is a profile of the library.

    Args:
        name_or_path: e.g. ``pge-industrial-tou``, or ``my-tariff.yaml``.
        library: profiles to look names up in.
        profiles: power over time of power purchase agreements, by the name in the tariff [W].

    Raises:
        InputError: no such tariff, everything that is wrong with the file, or a profile is missing.
    """
    text = str(name_or_path)
    if "/" in text or "\\" in text or Path(text).suffix:
        path = Path(text).expanduser()
        written = validate(load_profile(path), schema.Tariff, {})
    else:
        path = library.path("tariff", text)
        found = library.get("tariff", text)
        if not isinstance(found, schema.Tariff):
            raise TypeError(f"{text} is no tariff")
        written = found
    return tariff_from(written, folder=path.parent, profiles=profiles or {}, where=str(path))


def tariff_from(
    written: schema.Tariff,
    *,
    folder: Path | None = None,
    profiles: dict[str, Signal] | None = None,
    where: str = "",
) -> Tariff:
    """A tariff from its checked file.

    Args:
        written: the file.
        folder: where relative paths of series begin.
        profiles: power over time of power purchase agreements, by name.
        where: the file, for messages.
    """
    terms = written.holidays
    return Tariff(
        name=written.name,
        parts=tuple(_part(part, folder, profiles or {}, f"{where}") for part in written.parts),
        timezone=written.timezone or "",
        holidays=Holidays(rules=terms.rules, count_as=terms.weekday) if terms else NO_HOLIDAYS,
        part_month=written.part_month,
        minimum_usd_per_month=_value(written.minimum),
        contract_power_w=written.contract_power.value if written.contract_power else None,
        contains_carbon_price=written.contains_carbon_price,
        kind=max((number.kind for number in _numbers(written.parts)), key=KINDS.index, default="assumed"),
        source=written.title,
    )


def _numbers(value: object) -> Iterator[Sourced]:
    """All sourced numbers of a part, however deep."""
    if isinstance(value, Sourced):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _numbers(getattr(value, name))


def _part(part: Any, folder: Path | None, profiles: dict[str, Signal], where: str) -> Part:
    match part:
        case schema.FlatPart():
            return Flat(Signal.constant(part.price), name=part.name, charged_on=part.charged_on)
        case schema.RealTimePart():
            series = NamedSeries(series=part.series, folder=folder, repeat=part.repeat)
            return RealTime(series, part.name, part.charged_on, _value(part.adder))
        case schema.TimeOfUsePart():
            periods = tuple(
                Period(name=period.name, window=period.window(), price_usd_per_kwh=period.price.value)
                for period in part.periods
            )
            return TimeOfUse(periods=periods, name=part.name, charged_on=part.charged_on)
        case schema.TieredPart():
            tiers = tuple(
                Tier(
                    up_to_kwh=tier.up_to.value if tier.up_to else math.inf,
                    price_usd_per_kwh=tier.price.value,
                )
                for tier in part.tiers
            )
            return Tiered(tiers=tiers, name=part.name, charged_on=part.charged_on)
        case schema.DemandPart():
            return _demand(part)
        case schema.FixedPart():
            return Fixed(amount_usd_per_month=part.amount.value, name=part.name)
        case _:
            return _purchase(part, profiles, where)


def _demand(part: schema.DemandPart) -> Demand:
    terms = part.ratchet
    ratchet = (
        Ratchet(share=terms.share.value, num_months=terms.num_months, months=parse_months(terms.months))
        if terms
        else None
    )
    return Demand(
        price_usd_per_kw_month=part.price.value,
        name=part.name,
        windows=tuple(when.window() for when in part.when),
        interval_s=parse(part.interval, "s"),
        ratchet=ratchet,
        contract_minimum_frac=_value(part.contract_minimum),
    )


def _purchase(part: schema.PowerPurchasePart, profiles: dict[str, Signal], where: str) -> PowerPurchase:
    if part.profile is not None and part.profile not in profiles:
        hint = did_you_mean(part.profile, profiles) if profiles else "none is given"
        found = f"found the profile {part.profile!r}, which nobody supplies"
        raise InputError(Problem(where, f"parts.{part.name}.profile", found, "a power over time", hint))
    return PowerPurchase(
        price_usd_per_kwh=part.price.value,
        name=part.name,
        share=part.share.value if part.share else None,
        profile=profiles[part.profile] if part.profile else None,
        surplus_usd_per_kwh=_value(part.surplus_price),
        intensity=part.intensity,
    )


def _value(number: Sourced | None) -> float:
    return number.value if number is not None else 0.0
