"""Our own columns, as CSV or Parquet: what `write_jobs` writes and what a spreadsheet can make."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem, did_you_mean
from simtool.jobs.raw import RawTable
from simtool.jobs.readers import JOB_READERS, ReadOptions, build, zone_note
from simtool.jobs.table import OUTCOMES, JobTable

T = TypeVar("T")
SHORTEST_S = 1e-9
"""Run time in place of one that cannot be read; below any limit."""
OWN_COLUMNS = {
    "name": "each once; job-1, job-2, ... by line if empty",
    "submit_s": "seconds since the start; or submit_utc",
    "submit_utc": "ISO 8601 with an offset; the first one is the start",
    "num_devices": "accelerators, whole and at least 1",
    "run_s": "true run time in seconds, above 0 and at most limit_s",
    "limit_s": "requested limit in seconds; empty or inf: none",
    "outcome": "completed (also if empty), failed or cancelled",
    "user": "any word",
    "priority": "whole number, higher goes first; 0 if empty",
    "preemptible": "true or false (also if empty)",
    "deadline_s": "seconds since the start; empty or inf: none",
    "min_devices": "least number of an elastic job; num_devices if empty",
    "max_devices": "greatest number of an elastic job; num_devices if empty",
    "accelerator": "type that the job is tied to; any if empty",
    "group": "campaign or model that it belongs to; none if empty",
}
"""Every column and its meaning."""


@JOB_READERS.register("columns")
class Columns:
    """Columns named as those of simtool's own table of jobs, in seconds; CSV or Parquet."""

    needs = (("submit_s", "submit_utc"), ("num_devices",), ("run_s",))

    @staticmethod
    def read(raw: RawTable, options: ReadOptions) -> JobTable:
        """Rows as jobs; a column of another name is refused, for it may be a misspelt one."""
        problems = [
            Problem(str(raw.path), name, "found an unknown column", "", did_you_mean(name, OWN_COLUMNS, 15))
            for name in raw.header
            if name not in OWN_COLUMNS
        ]
        if {"submit_s", "submit_utc"} <= set(raw.header):
            mend = "keep the one that is meant"
            problems += raw.wrong("submit_s", "found submit_utc beside it", "one of both", mend).problems
        try:
            columns = _Read(raw, options, problems)
            table = build(
                raw,
                options,
                submit=columns.submit,
                epoch=columns.epoch,
                sort=bool(options.sort),
                notes=columns.notes,
                **columns.others(),
            )
        except InputError as error:
            raise InputError([*problems, *error.problems]) from None
        if problems:
            raise InputError(problems)
        return table


class _Read:
    """Columns as numbers and words. What is wrong with one is kept, and it stands at what breaks no other rule."""

    def __init__(self, raw: RawTable, options: ReadOptions, problems: list[Problem]) -> None:
        self._raw, self._problems = raw, problems
        self.notes: list[str] = []
        self.epoch = "submit_utc" in raw.header
        if self.epoch:
            read = partial(raw.epochs_s, "submit_utc", options.time_zone)
            self.submit, local = self._tried(read, (np.zeros(len(raw)), False))
            self.notes += zone_note(options, local)
        else:
            self.submit = self._numbers("submit_s", 0.0)

    def others(self) -> dict[str, Any]:
        """All columns but the time of submission, as `JobTable.of` takes them."""
        raw, header = self._raw, self._raw.header
        sizes = self._numbers("num_devices", np.nan)
        has_sizes = not np.isnan(sizes).any()
        columns: dict[str, Any] = {
            "num_devices": sizes if has_sizes else np.ones(len(raw)),
            "run_s": self._numbers("run_s", SHORTEST_S),
            "name": [f"job-{line}" for line in raw.lines.tolist()],
        }
        for name in ("min_devices", "max_devices"):
            if name in header:
                given = self._numbers(name, np.nan, empty=np.nan)
                if has_sizes:
                    columns[name] = np.where(np.isnan(given), sizes, given)
        if "limit_s" in header:
            columns["limit_s"] = self._numbers("limit_s", np.inf, empty=np.inf)
        if "deadline_s" in header:
            first_s = float(np.floor(self.submit.min())) if self.epoch else 0.0
            columns["deadline_s"] = self._numbers("deadline_s", np.inf, empty=np.inf) + first_s
        if "priority" in header:
            columns["priority"] = self._numbers("priority", 0.0, empty=0.0)
        if "preemptible" in header:
            read = partial(raw.booleans, "preemptible")
            columns["preemptible"] = self._tried(read, np.zeros(len(raw), np.bool_))
        if "outcome" in header:
            codes = {"": 0, **{word: code for code, word in enumerate(OUTCOMES)}}
            parsed = partial(raw.parsed, "outcome", codes.__getitem__, ", ".join(OUTCOMES))
            columns["outcome"] = self._tried(parsed, np.zeros(len(raw))).astype(int)
        if "name" in header:
            given_names = zip(raw.texts("name"), columns["name"], strict=True)
            columns["name"] = [name or by_line for name, by_line in given_names]
        for name in ("user", "accelerator", "group"):
            if name in header:
                columns[name] = raw.texts(name)
        return columns

    def _numbers(self, column: str, neutral: float, *, empty: float | None = None) -> NDArray[np.float64]:
        read = partial(self._raw.numbers, column, empty=empty)
        return self._tried(read, np.full(len(self._raw), neutral))

    def _tried(self, read: Callable[[], T], neutral: T) -> T:
        try:
            return read()
        except InputError as error:
            self._problems += error.problems
            return neutral
