"""Prices, carbon intensities and weather of a site over the time that it is simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from simtool.account.tariff import Tariff, tariff_of
from simtool.account.tariff_file import read_tariff
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.scenario import Series
from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Sourced
from simtool.signals import Basis, Signal, find_series
from simtool.signals.local_time import LocalTime

Question = Literal["average", "marginal", "market-based"]
CARBON_FIELDS: dict[Question, str] = {"average": "average", "marginal": "marginal", "market-based": "market"}
"""Field of ``carbon`` that answers each question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSignals:
    """What changes over time at a site, whatever its jobs do."""

    tariff: Tariff
    clock: LocalTime
    carbon: dict[Question, Signal]
    dry_bulb: Signal
    wet_bulb: Signal


class SchedulerSignals(Mapping[str, Signal]):
    """What a scheduler may look at, read only if it does: the price of one more kWh, and the grid's carbon."""

    def __init__(self, loaded: LoadedDatacenter, library: ProfileLibrary, end_s: float) -> None:
        self._loaded, self._library, self._end_s = loaded, library, end_s
        self._names = ("price",) if _carbon_field(loaded) is None else ("price", "carbon")
        self._found: dict[str, Signal] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> Signal:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> Signal:
        field = _carbon_field(self._loaded)
        if name == "carbon" and field is not None:
            return _carbon(self._loaded, field, self._end_s)
        clock = LocalTime(start=self._loaded.datacenter.start, zone=self._loaded.datacenter.time_zone)
        return _tariff(self._loaded, self._library, self._end_s).marginal_price(clock, 0.0, self._end_s)


def _carbon_field(loaded: LoadedDatacenter) -> Question | None:
    carbon = loaded.datacenter.carbon
    if carbon.average is not None:
        return "average"
    return None if carbon.marginal is None else "marginal"


def site_signals(loaded: LoadedDatacenter, library: ProfileLibrary, end_s: float) -> SiteSignals:
    """All signals, covering the time from the start to `end_s` where the file asks for repetition.

    Raises:
        InputError: a series that cannot be read, or does not cover the time.
    """
    datacenter = loaded.datacenter
    clock = LocalTime(start=datacenter.start, zone=datacenter.time_zone)
    carbon = {
        question: _carbon(loaded, question, end_s)
        for question, field in CARBON_FIELDS.items()
        if getattr(datacenter.carbon, field) is not None
    }
    dry_bulb, wet_bulb = _weather(loaded, end_s)
    return SiteSignals(
        tariff=_tariff(loaded, library, end_s),
        clock=clock,
        carbon=carbon,
        dry_bulb=dry_bulb,
        wet_bulb=wet_bulb,
    )


def _carbon(loaded: LoadedDatacenter, question: Question, end_s: float) -> Signal:
    field = CARBON_FIELDS[question]
    written = getattr(loaded.datacenter.carbon, field)
    return _signal(loaded, written, "kgCO2e/kWh", f"carbon.{field}", end_s, question=question)


def _tariff(loaded: LoadedDatacenter, library: ProfileLibrary, end_s: float) -> Tariff:
    electricity = loaded.datacenter.electricity
    if electricity.tariff is None:
        if electricity.price is None:
            raise ValueError("the schema asks for a tariff or a price")
        return tariff_of(_signal(loaded, electricity.price, "USD/kWh", "electricity.price", end_s))
    name = electricity.tariff
    if name.endswith((".yaml", ".yml")):
        name = str(loaded.path.parent / name)
    try:
        tariff = read_tariff(name, library)
    except InputError as error:
        field = "electricity.tariff"
        where = loaded.locate(field)
        raise InputError(
            [
                problem
                if problem.where
                else Problem(where, field, problem.found, problem.allowed, problem.mend)
                for problem in error.problems
            ]
        ) from None
    contract = electricity.contract_power
    return tariff if contract is None else tariff.with_contract(float(contract))


def _weather(loaded: LoadedDatacenter, end_s: float) -> tuple[Signal, Signal]:
    weather = loaded.datacenter.facility.weather
    if weather is None:
        nowhere = Signal.constant(15.0, "degC")  # a constant PUE has no weather
        return nowhere, nowhere
    found = []
    for field in ("dry_bulb", "wet_bulb"):
        written = getattr(weather, field)
        place = f"facility.weather.{field}"
        if weather.place is not None:
            name = f"weather-{weather.place}-{field.replace('_', '-')}"
            written, place = Series(series=name, repeat="yearly"), "facility.weather.place"
        found.append(_signal(loaded, written, "degC", place, end_s))
    return found[0], found[1]


def _signal(
    loaded: LoadedDatacenter,
    written: Sourced | Series,
    unit: str,
    field: str,
    end_s: float,
    *,
    question: Question | None = None,
) -> Signal:
    if isinstance(written, Sourced):
        return Signal.constant(written, basis=Basis(question) if question else None, name=field)
    start = loaded.datacenter.start
    try:
        return find_series(
            written.series,
            start,
            unit,
            question=question,
            field=field,
            folder=loaded.path.parent,
            repeat=written.repeat,
            until=start + timedelta(seconds=end_s),
        )
    except InputError as error:
        where = loaded.locate(field)
        raise InputError(
            [
                problem
                if problem.where
                else Problem(where, field, problem.found, problem.allowed, problem.mend)
                for problem in error.problems
            ]
        ) from None
    except OverflowError:
        found, mend = "found a time that leaves the calendar", "begin earlier, or make it shorter"
        raise InputError(Problem(loaded.locate("start"), "start", found, "", mend)) from None
