"""All figures of a run: what each needs, the table behind it, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simtool import __version__
from simtool.account.money import described
from simtool.errors import InputError, Problem, did_you_mean
from simtool.profiles.find import ProfileLibrary
from simtool.report import projection, writer
from simtool.report.figures import comparison, cost, energy, power, projections, step
from simtool.report.table import Table
from simtool.result.manifest import HASH_LENGTH, run_hash
from simtool.result.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A run to draw, and the profiles to run others by."""

    result: Result
    library: ProfileLibrary
    seeds: int = 1

    @property
    def source(self) -> str:
        """The line below every figure: which run it shows, and how to get it again."""
        scenario = self.result.scenario
        short = run_hash(scenario, self.result.profile_digests, self.seeds)[:HASH_LENGTH]
        model = scenario.workload.model if isinstance(scenario.workload.model, str) else "own model"
        hardware = f"{self.result.num_devices:,} x {scenario.cluster.accelerator}"
        return f"Source: simtool {__version__}, scenario {scenario.name} ({model} on {hardware}), run {short}"

    @property
    def source_of_cost(self) -> str:
        """The same below a figure that shows the bill: what the bill lacks."""
        lacks = self.result.bill_lacks
        if not lacks:
            return self.source
        return f"{self.source}\nThe bill is too low: {' and '.join(lacks)} need a power that nobody states."

    @property
    def source_of_method(self) -> str:
        """The same below a figure that compares a run without its method: with one seed luck is in it."""
        if self.seeds > 1 or isinstance(self.result.scenario.reliability, str):
            return self.source
        return (
            f"{self.source}\nOne seed: the failures that fell into the two runs differ, and that luck is in all but "
            "the operations; --seeds 20 compares medians."
        )

    @property
    def which(self) -> str:
        """Which of two runs a figure of one run shows, as an addition to its title."""
        return "" if self.result.reference is None else ", with the method"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """One figure of the gallery."""

    name: str
    """Name of its files."""
    shows: str
    needs: tuple[str, ...] = ()
    """Quantities without which it cannot be drawn."""
    needs_method: bool = False
    tabulate: Callable[[Subject], Table]
    draw: Callable[[Subject, Table], Figure]

    def missing(self, result: Result) -> str:
        """Why it cannot be drawn of this run; empty if it can."""
        if self.needs_method and result.reference is None:
            return "the run uses no method"
        absent = [name for name in self.needs if name not in result.quantities]
        return f"the run has no {' and no '.join(absent)}" if absent else ""


def _money(subject: Subject) -> str:
    return described(subject.result.scenario.economics.money)


ENERGY = ("energy_it_j", "energy_facility_j")
COST = ("cost_total_usd",)

PLATES: tuple[Plate, ...] = (
    Plate(
        name="projection-tokens",
        shows="cost, energy, carbon and duration against training tokens",
        tabulate=lambda subject: projection.over_tokens(subject.result),
        draw=lambda subject, numbers: projections.draw_tokens(
            numbers,
            money=_money(subject),
            source=subject.source_of_cost,
            num_parameters=float(subject.result.model.num_parameters),
        ),
    ),
    Plate(
        name="projection-devices",
        shows="cost, energy, carbon and duration against the number of accelerators",
        tabulate=lambda subject: projection.over_devices(subject.result, subject.library),
        draw=lambda subject, numbers: projections.draw_devices(
            numbers, money=_money(subject), source=subject.source_of_cost
        ),
    ),
    Plate(
        name="projection-start-year",
        shows="cost, energy and carbon against the year in which the run starts",
        needs=COST,
        tabulate=lambda subject: projection.over_start_years(subject.result),
        draw=lambda subject, numbers: projections.draw_start_years(
            numbers,
            money=_money(subject),
            source=f"{subject.source_of_cost}\n{projection.trend_sources(subject.result)}",
        ),
    ),
    Plate(
        name="cost-over-run",
        shows="cumulative cost, line by line",
        needs=COST,
        tabulate=lambda subject: cost.table(subject.result),
        draw=lambda subject, numbers: cost.draw(
            numbers,
            money=_money(subject),
            source=subject.source_of_cost,
            without=cost.without_method_usd(subject.result),
            which=subject.which,
        ),
    ),
    Plate(
        name="energy-by-state",
        shows="energy by ledger state and component",
        needs=ENERGY,
        tabulate=lambda subject: energy.table(subject.result),
        draw=lambda subject, numbers: energy.draw(numbers, source=subject.source),
    ),
    Plate(
        name="power-over-time",
        shows="power by component",
        needs=ENERGY,
        tabulate=lambda subject: power.table(subject.result),
        draw=lambda subject, numbers: power.draw(numbers, source=subject.source, which=subject.which),
    ),
    Plate(
        name="step-timeline",
        shows="one step, part by part",
        tabulate=lambda subject: step.table(subject.result),
        draw=lambda subject, numbers: step.draw(numbers, source=subject.source),
    ),
    Plate(
        name="method-comparison",
        shows="what survives of the method's fewer operations",
        needs_method=True,
        tabulate=lambda subject: comparison.method_table(subject.result),
        draw=lambda subject, numbers: comparison.draw(numbers, source=subject.source_of_method),
    ),
)


def choose(names: list[str]) -> tuple[Plate, ...]:
    """The plates with these names, all if none is named.

    Raises:
        InputError: an unknown name.
    """
    known = {plate.name: plate for plate in PLATES}
    unknown = [name for name in names if name not in known]
    if unknown:
        problems = [
            Problem("--only", "", f"unknown figure {name!r}", did_you_mean(name, known)) for name in unknown
        ]
        raise InputError(problems)
    return tuple(plate for plate in PLATES if not names or plate.name in names)


def write_plate(plate: Plate, subject: Subject, folder: Path) -> list[Path]:
    """Tabulate, draw and write one figure; the paths written."""
    numbers = plate.tabulate(subject)
    return writer.write(folder, plate.name, numbers, lambda: plate.draw(subject, numbers))
