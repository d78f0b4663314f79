"""Our own columns, as CSV or Parquet: what `write_jobs` writes and what a spreadsheet can make."""

from __future__ import annotations

from typing import Any

import numpy as np

from simtool.errors import InputError, Problem, did_you_mean
from simtool.jobs.raw import RawTable
from simtool.jobs.readers import JOB_READERS, ReadOptions, build, zone_note
from simtool.jobs.table import OUTCOMES, JobTable

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
        if unknown := [name for name in raw.header if name not in OWN_COLUMNS]:
            problems = [
                Problem(
                    str(raw.path), name, "found an unknown column", "", did_you_mean(name, OWN_COLUMNS, 15)
                )
                for name in unknown
            ]
            raise InputError(problems)
        if {"submit_s", "submit_utc"} <= set(raw.header):
            raise raw.wrong(
                "submit_s", "found submit_utc beside it", "one of both", "keep the one that is meant"
            )
        notes: list[str] = []
        if epoch := "submit_utc" in raw.header:
            submit, local = raw.epochs_s("submit_utc", options.time_zone)
            notes += zone_note(options, local)
        else:
            submit = raw.numbers("submit_s")
        columns: dict[str, Any] = {
            "num_devices": raw.numbers("num_devices"),
            "run_s": raw.numbers("run_s"),
            "name": [f"job-{line}" for line in raw.lines.tolist()],
        }
        first_s = float(np.floor(submit.min())) if epoch else 0.0
        for name in ("min_devices", "max_devices"):
            if name in raw.header:
                given = raw.numbers(name, empty=np.nan)
                columns[name] = np.where(np.isnan(given), columns["num_devices"], given)
        if "limit_s" in raw.header:
            columns["limit_s"] = raw.numbers("limit_s", empty=np.inf)
        if "deadline_s" in raw.header:
            columns["deadline_s"] = raw.numbers("deadline_s", empty=np.inf) + first_s
        if "priority" in raw.header:
            columns["priority"] = raw.numbers("priority", empty=0.0)
        if "preemptible" in raw.header:
            columns["preemptible"] = raw.booleans("preemptible")
        if "outcome" in raw.header:
            codes = {"": 0, **{word: code for code, word in enumerate(OUTCOMES)}}
            columns["outcome"] = raw.parsed("outcome", codes.__getitem__, ", ".join(OUTCOMES)).astype(int)
        if "name" in raw.header:
            given_names = zip(raw.texts("name"), columns["name"], strict=True)
            columns["name"] = [name or by_line for name, by_line in given_names]
        for name in ("user", "accelerator", "group"):
            if name in raw.header:
                columns[name] = raw.texts(name)
        return build(
            raw, options, submit=submit, epoch=epoch, sort=bool(options.sort), notes=notes, **columns
        )
