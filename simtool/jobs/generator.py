"""What is fitted to a trace and what new jobs are drawn from, as a file. File kind ``simtool/jobs/1``.

People submit in batches: jobs of one user and size, a few seconds apart, that run about as long as each
other. A generator holds a few kinds of batches, told apart by how many jobs they have. Of each kind: how
many batches come a day, how much that changes from week to week, how far apart their jobs are, what they ask
for, how long they run, and how alike that is within a batch and within a week. Hours and weekdays have a
profile, outcomes depend on the accelerator-seconds of a job, limits on its run time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from simtool.config.fields import Strict
from simtool.config.refusals import Complaint
from simtool.profiles.section import Section
from simtool.provenance import Kind

Positive = Annotated[float, Field(gt=0.0, le=1e15)]
NotNegative = Annotated[float, Field(ge=0.0, le=1e15)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Numbers = tuple[NotNegative, ...]

Size = Annotated[int, Field(gt=0, le=1_000_000_000)]

HOURS_PER_DAY, DAYS_PER_WEEK = 24, 7


class BatchKind(Section):
    """Batches of like length."""

    per_day: Positive
    """Batches that begin in a day, over all weeks."""
    week_spread: NotNegative
    """Standard deviation over mean of the rate from week to week, beyond chance."""
    gap: Numbers
    """Between the starts of batches, in units of the mean gap at that hour; at the levels."""
    num_jobs: Numbers
    """Jobs of a batch; at the levels."""
    job_gap_s: Numbers
    """Between jobs of a batch [s]; at the levels."""
    job_gap_alike: Share
    """Correlation of the gaps of one batch, as normal scores."""
    sizes: tuple[Size, ...]
    """Numbers of accelerators that a job may ask for."""
    size_frac: tuple[Share, ...]
    """Share of batches that ask for each."""
    run_from: tuple[Size, ...]
    """Least number of accelerators of each class with run times of its own."""
    run_s: tuple[Numbers, ...]
    """Run times [s] of each class; at the levels."""
    alike_frac: Share
    """Share of jobs that run about as long as the others of their batch; the rest run on their own."""
    alike: Share
    """Correlation among those, as normal scores."""
    week_alike: Share
    """Correlation of the batches of one week, as normal scores."""

    def complaints(self) -> Iterator[Complaint]:
        """Shares that do not add up, sizes that no curve serves."""
        yield from super().complaints()
        if not 0 < len(self.sizes) == len(self.size_frac) or abs(sum(self.size_frac) - 1.0) > 1e-3:
            yield Complaint(
                member="size_frac",
                found=f"found {len(self.size_frac)} shares with a sum of {sum(self.size_frac):.4g}",
                allowed="one for each of sizes, and 1 together",
                mend="",
            )
        elif not 0 < len(self.run_from) == len(self.run_s) or not _served(self.run_from, self.sizes):
            yield Complaint(
                member="run_s",
                found=f"found {len(self.run_s)} rows for classes from {self.run_from} accelerators on",
                allowed="one row for each of run_from, which rises and begins at the smallest of sizes or below",
                mend="",
            )
        if min(self.num_jobs) < 1.0:
            yield Complaint(
                member="num_jobs", found="found a batch without jobs", allowed="1 or more", mend=""
            )
        if not any(self.gap):
            yield Complaint(member="gap", found="found gaps of 0 only", allowed="gaps with a mean", mend="")


class OutcomeShares(Strict):
    """Chances of how a job ends, by its accelerator-seconds; linear between, in their logarithm."""

    device_s: tuple[Positive, ...]
    """Run time times accelerators [s]; beyond the ends the outermost chances hold."""
    failed_frac: tuple[Share, ...]
    cancelled_frac: tuple[Share, ...]
    kind: Kind
    source: str


class LimitModel(Section):
    """The limit that a user asks for: run time over the used share of it, up to the next usual limit."""

    used_frac: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...]
    """Run time over requested limit; at the levels."""
    usual_s: tuple[Positive, ...]
    """Limits that people write, the last the longest that is granted: only a job that ran longer had more.
    Empty: no rounding."""
    none_frac: Share
    """Share of jobs without a limit."""
    kind: Kind
    source: str

    def complaints(self) -> Iterator[Complaint]:
        """Usual limits that do not rise."""
        yield from super().complaints()
        if _falls(self.usual_s, True):
            yield Complaint(
                member="usual_s", found="found limits that do not rise", allowed="rising limits", mend=""
            )


class Users(Strict):
    """Who submits a batch: user r of all with a chance that goes with ``1 / r^exponent`` (Zipf)."""

    num: Annotated[int, Field(gt=0, le=1_000_000)]
    exponent: NotNegative


class Generator(Section):
    """A source of jobs like those of a trace. File kind ``simtool/jobs/1``."""

    schema_: Literal["simtool/jobs/1"] = Field(alias="schema")
    name: str
    """Same as the file's, without ``.yaml``."""
    title: str
    kind: Kind
    """calibrated: fitted to a trace; published: shaped after published figures."""
    source: str
    notes: str = ""
    batch_gap_s: Positive
    """Jobs of one user and size that are further apart belong to different batches [s]."""
    levels_percent: Annotated[tuple[Annotated[float, Field(ge=0.0, le=100.0)], ...], Field(min_length=2)]
    """Per cent of a distribution at and below its value there, for all rows of values at the levels; what lies
    between is linear in log(1 + value)."""
    hour_frac: Numbers
    """Rate of batches by hour of the day, mean 1; the clock is the trace's own."""
    weekday_frac: Numbers
    """Rate by weekday from Monday on, mean 1."""
    batches: Annotated[dict[str, BatchKind], Field(min_length=1)]
    users: Users
    outcome: OutcomeShares
    limit: LimitModel | None = None
    """None: jobs have no limit."""

    def complaints(self) -> Iterator[Complaint]:
        """Rows of another length than the levels, rows that fall, profiles without their mean."""
        yield from super().complaints()
        if (
            self.levels_percent[0] != 0.0
            or self.levels_percent[-1] != 100.0
            or _falls(self.levels_percent, True)
        ):
            yield Complaint(
                member="levels_percent", found="found levels", allowed="rising levels from 0 to 100", mend=""
            )
        for member, length in (("hour_frac", HOURS_PER_DAY), ("weekday_frac", DAYS_PER_WEEK)):
            profile = getattr(self, member)
            if len(profile) != length or abs(sum(profile) / length - 1.0) > 1e-3:
                yield Complaint(
                    member=member, found=f"found {profile}", allowed=f"{length} rates of mean 1", mend=""
                )
        outcome = self.outcome
        points = len(outcome.device_s)
        if not len(outcome.failed_frac) == len(outcome.cancelled_frac) == points > 0 or _falls(
            outcome.device_s, True
        ):
            yield Complaint(
                member="outcome", found="found rows", allowed="as many chances as rising device_s", mend=""
            )
        elif any(f + c > 1.0 for f, c in zip(outcome.failed_frac, outcome.cancelled_frac, strict=True)):
            yield Complaint(
                member="outcome",
                found="found chances above 1 together",
                allowed="a sum of at most 1",
                mend="",
            )
        for member, row in self._curves():
            if len(row) != len(self.levels_percent) or _falls(row, False):
                yield Complaint(
                    member=member,
                    found=f"found {len(row)} values for {len(self.levels_percent)} levels, or values that fall",
                    allowed="one value a level, never falling",
                    mend="",
                )

    def _curves(self) -> Iterator[tuple[str, tuple[float, ...]]]:
        for name, batch in self.batches.items():
            yield f"batches.{name}.gap", batch.gap
            yield f"batches.{name}.num_jobs", batch.num_jobs
            yield f"batches.{name}.job_gap_s", batch.job_gap_s
            for row in batch.run_s:
                yield f"batches.{name}.run_s", row
        if self.limit is not None:
            yield "limit.used_frac", self.limit.used_frac


def _falls(row: tuple[float, ...], strictly: bool) -> bool:
    return any(after < before or (strictly and after == before) for before, after in pairwise(row))


def _served(classes: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    return not _falls(tuple(map(float, classes)), True) and classes[0] <= min(sizes)
