"""All figures of a datacenter: what each needs, the table behind it, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from simtool import __version__
from simtool.errors import InputError, Problem, did_you_mean
from simtool.report import writer
from simtool.report.figures import (
    site_bill,
    site_energy,
    site_failures,
    site_power,
    site_queue,
    site_signals,
    site_supply,
    site_waits,
    site_weather,
)
from simtool.report.table import Table
from simtool.result.datacenter.history import Holdings, holdings
from simtool.result.datacenter.manifest import hash_of
from simtool.result.datacenter.per_job import PerJob, per_job
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.manifest import HASH_LENGTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class SiteSubject:
    """A run of a datacenter to draw."""

    result: DatacenterResult
    seeds: int = 1

    @cached_property
    def held(self) -> Holdings:
        """Who held devices, and when."""
        return holdings(self.result.outcome)

    @cached_property
    def shares(self) -> PerJob:
        """What every job used and cost."""
        return per_job(self.result)

    @property
    def which(self) -> str:
        """Which sites a figure adds up, as an addition to its title; empty if there is only one."""
        return "" if len(self.result.sites) == 1 else ", all sites together"

    @property
    def clocks(self) -> str:
        """By which clocks the months of a bill begin."""
        zones = dict.fromkeys(one.bill.timezone for one in self.result.sites)
        return f" by the clock of {' and of '.join(zones)}"

    @cached_property
    def source(self) -> str:
        """The line below every figure: which run it shows, and how to get it again."""
        datacenter = self.result.datacenter
        short = hash_of(self.result.site, self.seeds)[:HASH_LENGTH]
        devices = sum(pool.fleet.total_devices for pool in self.result.site.pools)
        boards = " and ".join(dict.fromkeys(pool.machine.accelerator.name for pool in self.result.site.pools))
        which = f"; first of {self.seeds} runs" if self.seeds > 1 else ""
        return (
            f"Source: simtool {__version__}, datacenter {datacenter.name} ({len(self.result.outcome.names):,} jobs on "
            f"{devices:,} {boards}), run {short}{which}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePlate:
    """One figure of the gallery."""

    name: str
    """Name of its files."""
    shows: str
    lacks: Callable[[DatacenterResult], str] = lambda _: ""
    """Why it cannot be drawn of a run; empty if it can."""
    tabulate: Callable[[SiteSubject], Table]
    draw: Callable[[Table, SiteSubject], Figure]


PLATES: tuple[SitePlate, ...] = (
    SitePlate(
        name="site-power",
        shows="power of the site over time: devices by state, losses, cooling; and its highest week",
        tabulate=lambda subject: site_power.table(subject.result),
        draw=lambda numbers, subject: site_power.draw(numbers, source=subject.source, which=subject.which),
    ),
    SitePlate(
        name="site-supply",
        shows="where the power came from: grid, sun, wind, battery, generator; and the battery's charge",
        lacks=site_supply.lacks,
        tabulate=lambda subject: site_supply.table(subject.result),
        draw=lambda numbers, subject: site_supply.draw(numbers, source=subject.source),
    ),
    SitePlate(
        name="site-queue",
        shows="accelerators in use and jobs in the queue over time",
        tabulate=lambda subject: site_queue.table(subject.result, subject.held),
        draw=lambda numbers, subject: site_queue.draw(numbers, source=subject.source, which=subject.which),
    ),
    SitePlate(
        name="site-waits",
        shows="how long jobs of each size waited",
        lacks=site_waits.lacks,
        tabulate=lambda subject: site_waits.table(subject.result),
        draw=lambda numbers, subject: site_waits.draw(numbers, source=subject.source, which=subject.which),
    ),
    SitePlate(
        name="site-energy-and-cost",
        shows="energy by state and component, cost by outcome and user",
        tabulate=lambda subject: site_energy.table(subject.result, subject.shares),
        draw=lambda numbers, subject: site_energy.draw(numbers, source=subject.source, which=subject.which),
    ),
    SitePlate(
        name="site-bill",
        shows="the electricity bill by month and kind of line",
        lacks=site_bill.lacks,
        tabulate=lambda subject: site_bill.table(subject.result),
        draw=lambda numbers, subject: site_bill.draw(
            numbers, source=subject.source, which=subject.which, clocks=subject.clocks
        ),
    ),
    SitePlate(
        name="site-signals",
        shows="price and carbon intensity beside the power of the site",
        lacks=site_signals.lacks,
        tabulate=lambda subject: site_signals.table(subject.result),
        draw=lambda numbers, subject: site_signals.draw(numbers, source=subject.source),
    ),
    SitePlate(
        name="site-weather",
        shows="PUE and water against the weather, hour by hour",
        lacks=site_weather.lacks,
        tabulate=lambda subject: site_weather.table(subject.result, subject.held),
        draw=lambda numbers, subject: site_weather.draw(
            numbers, source=subject.source, several=len(subject.result.sites) > 1
        ),
    ),
    SitePlate(
        name="site-failures",
        shows="interruptions by cause, and the accelerator-hours that they cost",
        lacks=site_failures.lacks,
        tabulate=lambda subject: site_failures.table(subject.result),
        draw=lambda numbers, subject: site_failures.draw(numbers, source=subject.source, which=subject.which),
    ),
)


def choose(names: list[str]) -> tuple[SitePlate, ...]:
    """The plates with these names, all if none is named.

    Raises:
        InputError: an unknown name.
    """
    known = {plate.name: plate for plate in PLATES}
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            [Problem("--only", "", f"unknown figure {name!r}", did_you_mean(name, known)) for name in unknown]
        )
    return tuple(plate for plate in PLATES if not names or plate.name in names)


def write_plate(plate: SitePlate, subject: SiteSubject, folder: Path) -> list[Path]:
    """Tabulate, draw and write one figure; the paths written."""
    numbers = plate.tabulate(subject)
    return writer.write(folder, plate.name, numbers, lambda: plate.draw(numbers, subject))
