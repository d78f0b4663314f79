"""Reading jobs from a file of any known format, and writing them in our own columns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from simtool.errors import InputError, OutputError, Problem, did_you_mean, near_matches
from simtool.jobs.raw import RawTable, read_raw
from simtool.jobs.readers import JOB_READERS, ReadOptions, lacking
from simtool.jobs.table import JobTable

T = TypeVar("T")
NUM_NEAREST = 2
"""Formats whose missing columns are told where a file is of none."""


def read_jobs(
    path: str | Path,
    format: str | None = None,  # noqa: A002 (the word of the file's own world)
    *,
    time_zone: str | None = None,
    drop_zero_length: bool = False,
    sort: bool | None = None,
) -> JobTable:
    """The jobs of a trace, a Slurm log or a table of one's own.

    Args:
        path: CSV (comma, tab, semicolon or bar; plain or ``.gz``) or ``.parquet``.
        format: a name of `JOB_READERS`; known by the columns if not given.
        time_zone: IANA name of where times without an offset were written, such as ``America/Los_Angeles``.
        drop_zero_length: leave out jobs that ran for 0 s; an error otherwise.
        sort: put the jobs into order; by default traces are, and our own columns must be.

    Raises:
        InputError: everything that is wrong with the file, each with line and column.
    """
    problems: list[Problem] = []
    zone = _tried(lambda: _zone(time_zone), problems)
    _tried(lambda: None if format is None else JOB_READERS[format], problems)
    raw = _tried(lambda: read_raw(Path(path)), problems)
    if problems or raw is None:
        raise InputError(problems)
    name = _format_of(raw) if format is None else format
    reader = JOB_READERS[name]
    if problem := lacking(raw, name, reader):
        raise InputError(problem)
    return reader.read(raw, ReadOptions(time_zone=zone, drop_zero_length=drop_zero_length, sort=sort))


def _tried(make: Callable[[], T], problems: list[Problem]) -> T | None:
    """What is made; None, and what is wrong beside the other problems, where it cannot be."""
    try:
        return make()
    except InputError as error:
        problems += error.problems
        return None


def _format_of(raw: RawTable) -> str:
    """The format whose columns the file has; the nearest one is told otherwise."""
    missing = {name: lacking(raw, name, JOB_READERS[name]) for name in JOB_READERS}
    fitting = [name for name, problem in missing.items() if problem is None]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        shown = ", ".join(fitting)
        raise raw.wrong(
            "", f"found the columns of several formats: {shown}", "", "give the format that is meant"
        )

    written = [name.lower() for name in raw.header]

    def distance(name: str) -> float:
        """Columns that are missing; one of like name is half there."""
        groups = [group for group in JOB_READERS[name].needs if not set(group) & set(raw.header)]
        alike = [group for group in groups if any(near_matches(one.lower(), written) for one in group)]
        return len(groups) - len(alike) / 2.0

    nearest = sorted(JOB_READERS, key=lambda name: (distance(name), name != "columns"))[:NUM_NEAREST]
    told = [problem for name in nearest if (problem := missing[name]) is not None]
    allowed = "; ".join(problem.allowed for problem in told)
    known = f"rename columns, or name the format; known formats: {', '.join(JOB_READERS)}"
    raise InputError(Problem(told[0].where, told[0].field, told[0].found, allowed, known))


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        from zoneinfo import available_timezones

        hint = did_you_mean(name, available_timezones())
        raise InputError(Problem("", "time_zone", f"found {name!r}", "allowed: an IANA name", hint)) from None


def write_jobs(path: str | Path, table: JobTable) -> None:
    """Write jobs in our own columns, so that `read_jobs` gives an equal table: CSV, or Parquet by the name.

    Columns that say nothing (no limit, no deadline, ...) are left out.

    Raises:
        OutputError: the file cannot be written.
    """
    import pyarrow as arrow
    import pyarrow.parquet as parquet
    from pyarrow import csv

    columns: dict[str, object] = {"name": list(table.name)}
    if table.start is None:
        columns["submit_s"] = table.submit_s
    else:
        start = table.start
        columns["submit_utc"] = [(start + timedelta(seconds=s)).isoformat() for s in table.submit_s.tolist()]
    columns |= {"num_devices": table.num_devices, "run_s": table.run_s}
    for column in ("limit_s", "deadline_s"):
        values = getattr(table, column)
        if np.isfinite(values).any():
            columns[column] = arrow.array(values, mask=np.isinf(values))
    if table.outcome.any():
        columns["outcome"] = table.words("outcome")
    for column in ("user", "accelerator", "group"):
        words = table.words(column)
        if any(words):
            columns[column] = words
    for column in ("priority", "preemptible"):
        if getattr(table, column).any():
            columns[column] = getattr(table, column)
    for column in ("min_devices", "max_devices"):
        if (getattr(table, column) != table.num_devices).any():
            columns[column] = getattr(table, column)
    file = Path(path)
    written = arrow.table(columns)
    try:
        if file.suffix == ".parquet":
            parquet.write_table(written, file)
        else:
            csv.write_csv(written, file)
    except OSError as error:
        raise OutputError(str(file), error.strerror or str(error)) from None
