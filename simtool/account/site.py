"""Signals of a site: its price and its carbon intensities over the run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from simtool.config.scenario import Series, Site
from simtool.errors import InputError, Problem
from simtool.provenance import Sourced
from simtool.signals import Basis, Signal, find_series
from simtool.units import SECONDS_PER_YEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSignals:
    """What the grid charges and emits, in seconds since the scenario's start."""

    price: Signal
    """USD/kWh."""
    carbon: tuple[Signal, ...]
    """kgCO2e/kWh, one for each basis that the scenario gives."""


def site_signals(site: Site, end_s: float, folder: Path | None = None) -> SiteSignals:
    """The site's numbers and series as signals that cover the run.

    Args:
        site: of the scenario.
        end_s: end of the run, since its start [s]; 0 checks the start alone.
        folder: where relative paths begin, usually the scenario file's folder.

    Raises:
        InputError: a series cannot be read or does not cover the run.
    """
    price = _signal(site, site.price, "USD/kWh", None, "site.price", end_s, folder)
    carbon = []
    if site.carbon.average is not None:
        field = "site.carbon.average"
        carbon.append(_signal(site, site.carbon.average, "kgCO2e/kWh", "average", field, end_s, folder))
    if site.carbon.marginal is not None:
        field = "site.carbon.marginal"
        carbon.append(_signal(site, site.carbon.marginal, "kgCO2e/kWh", "marginal", field, end_s, folder))
    return SiteSignals(price=price, carbon=tuple(carbon))


def _signal(
    site: Site,
    written: Sourced | Series,
    unit: str,
    question: Literal["average", "marginal"] | None,
    field: str,
    end_s: float,
    folder: Path | None,
) -> Signal:
    if isinstance(written, Sourced):
        return Signal.constant(written, basis=Basis(question) if question else None, name=field)
    signal = find_series(
        written.series,
        site.start,
        unit,
        question=question,
        field=field,
        folder=folder,
        repeat=written.repeat,
        until=_end(site, end_s),
    )
    signal.require(0.0, end_s)
    return signal


def _end(site: Site, end_s: float) -> datetime:
    """When the run is over, by the calendar."""
    try:
        return site.start + timedelta(seconds=end_s)
    except OverflowError:
        years = end_s / SECONDS_PER_YEAR
        found = (
            f"found {site.start:%Y-%m-%dT%H:%MZ} and a run of {years:.3g} years, which ends after year 9999"
        )
        mend = "begin earlier, or make the run shorter"
        raise InputError(Problem("", "site.start", found, "", mend)) from None
