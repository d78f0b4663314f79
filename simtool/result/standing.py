"""What the software profile of a run rests on, and how far it was off before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from simtool.layout.layouts import Layouts
from simtool.profiles.schema import Accelerator, Software
from simtool.provenance import KINDS, Sourced
from simtool.step.step import Job
from simtool.workload.precision import LOW_PRECISIONS, Precision

OF_EXPERTS = ("ep_exposed", "ep_exposed_across", "launch_floor_expert_ratio", "expert_load", "grouped_ratio")

_UNSEEN = "`simtool validate`, 'stack unseen': 66 rows in 11 families, by constants that saw none of them"
UNSEEN_MEDIAN = Sourced(value=0.163, unit="", kind="calibrated", source=_UNSEEN)
"""Error of step times where a framework was not fitted on the architecture, median over families."""
UNSEEN_P90 = Sourced(value=0.54, unit="", kind="calibrated", source=_UNSEEN)
"""The same, nine families in ten are nearer."""

NAMED_RUNS = ("release_ratio", "release_expert_ratio", "recipe_ratio")
"""Tables whose entries count in runs that name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Origin and error of a software profile, beside the accelerator that it is used on."""

    name: str
    fitted_on: tuple[str, ...]
    """Architectures."""
    architecture: str
    """Of the accelerator of the run."""
    num_by_kind: dict[str, int]
    """How many of its numbers are calibrated, assumed, ..."""
    spread_low: float | None
    spread_high: float | None
    """Smallest and largest relative standard deviation that its numbers state."""
    num_rows: int
    """Published rows that were compared with its predictions; 0 where none was."""
    num_families: int
    median_error_frac: float | None
    p90_error_frac: float | None
    expected_median_frac: float | None
    """Error to expect of this run: as above where it was fitted on the architecture, else at least that of rows whose
    architecture was new to their framework; None where no row was compared."""
    expected_p90_frac: float | None

    @property
    def is_fitted_here(self) -> bool:
        """Whether it was fitted on the accelerator's architecture."""
        return self.architecture in self.fitted_on


def unused_numbers(job: Job, layouts: Layouts) -> tuple[str, ...]:
    """Fields of a software profile that speak of what a run does not do."""
    unused = () if job.model.expert_layer_frac > 0.0 else OF_EXPERTS
    if not Precision(job.precision).is_low:
        unused = (*unused, "low_precision_ratio")
    return unused if float(layouts.cp) > 1.0 else (*unused, "cp_exposed")


def standing(software: Software, accelerator: Accelerator, unused: Collection[str] = ()) -> Standing:
    """The standing of a profile; its numbers without those of its accuracy, and without the fields `unused`."""
    numbers = list(_numbers(software, accelerator, unused))
    counted = Counter(number.kind for number in numbers)
    spreads = [number.spread for number in numbers if number.spread is not None]
    accuracy = software.accuracy
    median, p90 = (
        (None, None) if accuracy is None else (float(accuracy.median_error), float(accuracy.p90_error))
    )
    is_new = accelerator.architecture not in software.seen
    return Standing(
        name=software.name,
        fitted_on=software.seen,
        architecture=accelerator.architecture,
        num_by_kind={kind: counted[kind] for kind in KINDS if counted[kind]},
        spread_low=min(spreads, default=None),
        spread_high=max(spreads, default=None),
        num_rows=0 if accuracy is None else accuracy.num_rows,
        num_families=0 if accuracy is None else accuracy.num_families,
        median_error_frac=median,
        p90_error_frac=p90,
        expected_median_frac=_carried(median, UNSEEN_MEDIAN) if is_new else median,
        expected_p90_frac=_carried(p90, UNSEEN_P90) if is_new else p90,
    )


def _carried(error_frac: float | None, unseen: Sourced) -> float | None:
    return None if error_frac is None else max(error_frac, float(unseen))


def _numbers(software: Software, accelerator: Accelerator, unused: Collection[str]) -> Iterator[Sourced]:
    """Its numbers; of a table by accelerator the entry that counts, of formats all, of releases and recipes none."""
    for name in type(software).model_fields:
        value = getattr(software, name)
        if name in unused or name in NAMED_RUNS:
            continue
        if name == "low_precision_ratio":
            yield from (ratio for low, ratio in value.items() if low in LOW_PRECISIONS)
        elif isinstance(value, dict):
            keys = (accelerator.name, accelerator.architecture, "default")
            yield from [value[key] for key in keys if key in value][:1]
        elif isinstance(value, Sourced):
            yield value
