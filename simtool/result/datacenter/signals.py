"""Prices, carbon intensities and weather of a site over the time that it is simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simtool.account.tariff import Tariff, tariff_of
from simtool.account.tariff_file import read_tariff
from simtool.config.datacenter_site import SiteTerms
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.scenario import Series
from simtool.errors import InputError, Problem
from simtool.facility.weather import SHIPPED, Weather, find_weather
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Sourced
from simtool.signals import Basis, Signal, find_series
from simtool.signals.local_time import LocalTime
from simtool.signals.signal import FloatArray


@dataclass(frozen=True, slots=True)
class Place:
    """One site of a datacenter: what its file says of it, and where."""

    loaded: LoadedDatacenter
    name: str

    @property
    def terms(self) -> SiteTerms:
        """What holds there."""
        return self.loaded.datacenter.terms[self.name]

    def field(self, below: str) -> str:
        """Dotted field of the file."""
        return f"sites.{self.name}.{below}" if self.name else below

    def locate(self, below: str) -> str:
        """Where it was written."""
        return self.loaded.locate(self.field(below))


Question = Literal["average", "marginal", "market-based"]
NO_WEATHER = Signal.constant(15.0, "degC")
"""Of a building that weather does not change."""
CARBON_FIELDS: dict[Question, str] = {"average": "average", "marginal": "marginal", "market-based": "market"}
"""Field of ``carbon`` that answers each question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSignals:
    """What changes over time at a site, whatever its jobs do."""

    tariff: Tariff
    clock: LocalTime
    carbon: dict[Question, Signal]
    weather: Weather | None
    """None where the building is a constant PUE."""

    @property
    def dry_bulb(self) -> Signal:
        """Outdoor air; a constant where nothing depends on it [degC]."""
        return NO_WEATHER if self.weather is None else self.weather.dry_bulb

    @property
    def wet_bulb(self) -> Signal:
        """The same [degC]."""
        return NO_WEATHER if self.weather is None else self.weather.wet_bulb


@dataclass(frozen=True, slots=True)
class Known:
    """A signal as far as it is known: beyond lies its nearest value, and a mean is that of the known part."""

    signal: Signal

    def at(self, time_s: ArrayLike, /) -> FloatArray:
        """Value at times."""
        return self.signal.at(self._inside(time_s))

    def mean(self, begin_s: ArrayLike, end_s: ArrayLike, /) -> FloatArray:
        """Mean over the known parts of spans."""
        return self.signal.mean(self._inside(begin_s), self._inside(end_s))

    def _inside(self, time_s: ArrayLike) -> FloatArray:
        return np.clip(np.asarray(time_s, np.float64), self.signal.begin_s, self.signal.end_s)

    @property
    def edges_s(self) -> FloatArray:
        """When it changes [s]."""
        return self.signal.edges_s


class SchedulerSignals(Mapping[str, Known]):
    """What a scheduler may look at, read only if it does: the price of one more kWh, and the grid's carbon."""

    def __init__(self, place: Place, library: ProfileLibrary, end_s: float) -> None:
        self._place, self._library, self._end_s = place, library, end_s
        carbon = place.terms.carbon
        self._question: Question | None = "average" if carbon.average is not None else None
        if self._question is None and carbon.marginal is not None:
            self._question = "marginal"
        self._names = ("price",) if self._question is None else ("price", "carbon")
        self._found: dict[str, Known] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> Known:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._found:
            self._found[name] = Known(self._read(name))
        return self._found[name]

    def _read(self, name: str) -> Signal:
        if name == "carbon" and self._question is not None:
            return _carbon(self._place, self._question, self._end_s)
        clock = _clock(self._place)
        return _tariff(self._place, self._library, self._end_s).marginal_price(clock, 0.0, self._end_s)


def site_signals(place: Place, library: ProfileLibrary, end_s: float) -> SiteSignals:
    """All signals of a site, covering the time from the start to `end_s` where the file asks for repetition.

    Raises:
        InputError: a series that cannot be read, or does not cover the time.
    """
    return SiteSignals(
        tariff=_tariff(place, library, end_s),
        clock=_clock(place),
        carbon={
            question: _carbon(place, question, end_s)
            for question, field in CARBON_FIELDS.items()
            if getattr(place.terms.carbon, field) is not None
        },
        weather=_weather(place, end_s),
    )


def clock_notes(place: Place, library: ProfileLibrary) -> tuple[str, ...]:
    """What is to be said where a tariff goes by another clock than the site's ``time_zone``."""
    electricity, zone = place.terms.electricity, place.terms.time_zone
    own = "" if electricity.tariff is None else _tariff(place, library, 1.0).timezone
    if own in ("", zone) or zone == "UTC":
        return ()
    return (f"{electricity.tariff} is charged by its own clock, {own}; {place.field('time_zone')} is {zone}",)


def _clock(place: Place) -> LocalTime:
    try:
        return LocalTime(start=place.loaded.datacenter.start, zone=place.terms.time_zone)
    except InputError as error:
        raise located(place, "time_zone", error) from None


def _carbon(place: Place, question: Question, end_s: float) -> Signal:
    field = CARBON_FIELDS[question]
    written = getattr(place.terms.carbon, field)
    return series_of(place, written, "kgCO2e/kWh", f"carbon.{field}", end_s, question=question)


def _tariff(place: Place, library: ProfileLibrary, end_s: float) -> Tariff:
    electricity = place.terms.electricity
    if electricity.tariff is None:
        if electricity.price is None:
            raise ValueError("the schema asks for a tariff or a price")
        return tariff_of(series_of(place, electricity.price, "USD/kWh", "electricity.price", end_s))
    name = electricity.tariff
    if name.endswith((".yaml", ".yml")):
        name = str(place.loaded.path.parent / name)
    try:
        tariff = read_tariff(name, library)
    except InputError as error:
        raise located(place, "electricity.tariff", error) from None
    contract, field = electricity.contract_power, "electricity.contract_power"
    if contract is not None and not tariff.charges_contract:
        found, mend = f"found it beside {tariff.name}, which charges no share of it", "leave it out"
        raise InputError(Problem(place.locate(field), place.field(field), found, "", mend))
    if contract is not None:
        return tariff.with_contract(float(contract))
    if tariff.charges_contract and tariff.contract_power_w is None:
        found, mend = f"found none, of which {tariff.name} charges a share in any case", "write e.g. 100 MW"
        raise InputError(Problem(place.locate(field), place.field(field), found, "a power", mend))
    return tariff


def _weather(place: Place, end_s: float) -> Weather | None:
    written = place.terms.facility.weather
    if written is None:
        return None
    field, name = "facility.weather.place", written.place
    if not Path(name).suffix and not name.startswith(SHIPPED):
        name = f"{SHIPPED}{name}"
    start = place.loaded.datacenter.start
    try:
        found = find_weather(
            name,
            start,
            repeat="yearly" if written.repeat == "yearly" else None,
            until=start + timedelta(seconds=end_s),
            folder=place.loaded.path.parent,
            field=place.field(field),
        )
    except InputError as error:
        raise located(place, field, error) from None
    if written.latitude is None or written.longitude is None:
        return found
    return replace(found, latitude_deg=float(written.latitude), longitude_deg=float(written.longitude))


def series_of(
    place: Place,
    written: Sourced | Series,
    unit: str,
    field: str,
    end_s: float,
    *,
    question: Question | None = None,
) -> Signal:
    """A number or a series of the file as a signal.

    Args:
        place: the site.
        written: what stands there.
        unit: base unit.
        field: dotted, below the site.
        end_s: up to which it shall go where it repeats [s].
        question: which carbon account it is for.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(written, Sourced):
        return Signal.constant(written, basis=Basis(question) if question else None, name=place.field(field))
    start = place.loaded.datacenter.start
    try:
        return find_series(
            written.series,
            start,
            unit,
            question=question,
            field=place.field(field),
            folder=place.loaded.path.parent,
            repeat=written.repeat,
            until=start + timedelta(seconds=end_s),
        )
    except InputError as error:
        raise located(place, field, error) from None
    except OverflowError:
        found, mend = "found a time that leaves the calendar", "begin earlier, or make it shorter"
        raise InputError(Problem(place.loaded.locate("start"), "start", found, "", mend)) from None


def located(place: Place, field: str, error: InputError) -> InputError:
    """The same problems; those without a place stand at a field of the site, given below it."""
    at = (place.locate(field), place.field(field))
    return InputError(
        [
            problem if problem.where else Problem(*at, problem.found, problem.allowed, problem.mend)
            for problem in error.problems
        ]
    )
