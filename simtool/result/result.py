"""What a run of a scenario gives: quantities that explain themselves, the ledger, the bill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simtool.config.scenario import Layout, Scenario
from simtool.errors import InputError, Problem, did_you_mean
from simtool.provenance import Derived
from simtool.step.estimate import StepEstimate

if TYPE_CHECKING:
    from simtool.account.carbon import CarbonLine
    from simtool.account.costs import CostLine
    from simtool.config.load import LoadedScenario
    from simtool.result.standing import Standing
    from simtool.sim.run import Outcome
    from simtool.workload.model import Model

HEADLINE = (
    "duration_s",
    "accelerator_hours",
    "energy_facility_j",
    "cost_total_usd",
    "carbon_total_kgco2e",
)
"""The quantities that a planner, a finance lead and a sustainability officer ask for first."""


_SAVED = ("energy_", "cost_", "carbon_")
_ALSO_SAVED = ("duration_s", "accelerator_hours", "accelerator_hours_paid", "step_time_s")


def is_saved(name: str) -> bool:
    """Whether a method saves of a quantity: less of it is better, and it is an amount, not a share.

    >>> is_saved("cost_total_usd"), is_saved("mfu"), is_saved("goodput_frac"), is_saved("num_interruptions")
    (True, False, False, False)
    """
    return name.startswith(_SAVED) or name in _ALSO_SAVED


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEstimate:
    """The step estimate of one stretch of training: methods may change with progress."""

    progress: tuple[float, float]
    num_steps: int
    estimate: StepEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A published figure beside the prediction."""

    name: str
    """Name of the quantity, a key of `Result.quantities`."""
    unit: str
    predicted: float
    observed: float
    kind: str
    """metered, published, accounting or recalled."""
    source: str

    @property
    def scored(self) -> bool:
        """Energy and carbon count only where a meter was read; time counts unless recalled."""
        if self.name.startswith(("energy", "carbon")):
            return self.kind == "metered"
        return self.kind in ("metered", "published")

    @property
    def error_frac(self) -> float:
        """(predicted - observed) / observed."""
        return (self.predicted - self.observed) / self.observed


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result:
    """The answer to one scenario."""

    loaded: LoadedScenario
    model: Model
    layout: Layout
    """As executed; chosen by simtool for ``layout: auto``."""
    num_devices: int
    """Accelerators that the job works on, spares not counted."""
    global_batch: int
    """Sequences in one step, as executed."""
    phases: tuple[PhaseEstimate, ...]
    outcome: Outcome
    costs: tuple[CostLine, ...]
    quantities: dict[str, Derived]
    intervals: dict[str, tuple[float, float, float]]
    """p10, p50, p90 over seeds, by quantity; empty with one seed."""
    ranges: dict[str, tuple[float, float]]
    """Lowest and highest value under the scenario's `assume`; empty without."""
    notes: tuple[str, ...]
    """Assumptions, transfers, roundings: what a reader must know."""
    observed: tuple[Comparison, ...]
    reference: Result | None
    """The same scenario without its method; None where no method is used."""
    profile_digests: dict[str, str]
    """SHA-256 of every profile that went in, by ``kind/name``."""
    carbon: tuple[CarbonLine, ...] = ()
    """Of electricity, by account, and of the making of the hardware."""
    bill_lacks: tuple[str, ...] = ()
    """Lines that the bill lacks because a power is not known; `cost_total_usd` is then too low by them."""
    software: Standing | None = None
    """What the software profile rests on."""

    @property
    def scenario(self) -> Scenario:
        """The scenario that was run."""
        return self.loaded.scenario

    def value(self, name: str) -> float:
        """The value of one quantity in the unit of its name; of the first seed, whose ledger this is.

        Raises:
            InputError: no quantity is called so.
        """
        if name not in self.quantities:
            hint = did_you_mean(name, self.quantities)
            raise InputError(Problem("", name, "found no quantity of this name", "", hint))
        return self.quantities[name].value

    def typical(self, name: str) -> float:
        """The median over seeds where there are several, else the value."""
        return self.intervals[name][1] if name in self.intervals else self.value(name)

    def saved_frac(self, name: str) -> float | None:
        """Saving of the method in one quantity, relative to the run without it.

        Both runs draw the same failures; with several seeds their medians are compared. None without a
        method, and for what is not saved but is a share or a count (`is_saved`).
        """
        if self.reference is None or not is_saved(name) or not (before := self.reference.typical(name)):
            return None
        return 1.0 - self.typical(name) / before

    def __repr__(self) -> str:
        names = [name for name in HEADLINE if name in self.quantities]
        shown = ", ".join(f"{name}={self.typical(name):.6g}" for name in names)
        return f"Result({self.scenario.name}: {shown})"
