"""Sources of jobs: how each file format becomes a `JobTable`. One file each.

A reader names the columns by which it knows its format, and turns rows into jobs by rules that it states
as notes of the table: what a trace lacks is filled in openly.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.jobs.raw import RawTable
from simtool.jobs.table import JobTable
from simtool.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the reader of a file may be told."""

    time_zone: ZoneInfo | None = None
    """Where times without an offset were written; None: they are taken as UTC, and a note says so."""
    drop_zero_length: bool = False
    """Leave out jobs that ran for 0 s and count them; they are an error otherwise."""
    sort: bool | None = None
    """Put jobs into the order of submission; None: as the format does it."""


class JobReader(Protocol):
    """One format."""

    @property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """Columns by which the format is known: of each group at least one."""

    def read(self, raw: RawTable, options: ReadOptions) -> JobTable: ...


JOB_READERS: Registry[JobReader] = Registry("job format", package=__name__, group="simtool.jobs.readers")


def build(
    raw: RawTable,
    options: ReadOptions,
    *,
    submit: NDArray[np.float64],
    epoch: bool,
    sort: bool,
    notes: list[str],
    **columns: Any,
) -> JobTable:
    """The table of what a reader found.

    Args:
        raw: the rows that are jobs, for their lines.
        options: of the call.
        submit: submission [s], since 1970 if `epoch`, else since the table's start.
        epoch: whether the table gets a start: the first submission, cut to the second.
        sort: whether jobs may be put in order.
        notes: of the reader; what is done here is added.
        columns: of `JobTable.of`; ``deadline_s`` on the same clock as `submit`.

    Raises:
        InputError: rows that are no jobs, by file, line and column.
    """
    run_s = np.asarray(columns["run_s"])
    zero = run_s == 0.0
    if options.drop_zero_length and zero.any():
        keep = ~zero
        notes = [*notes, f"{int(zero.sum())} jobs that ran for 0 s are left out"]
        raw, submit = raw.rows(keep), submit[keep]
        columns = {column: _kept(values, keep) for column, values in columns.items()}
    if not len(raw):
        raise raw.wrong("", "found no job that ran on an accelerator", "at least one job", "; ".join(notes))
    problems: list[Problem] = []
    if (back := submit[1:] < submit[:-1]).any() and not sort:
        rows = np.concatenate([[False], back])
        mend = "sort the file by submission, or set sort to true"
        try:
            raw.refuse(_time_column(raw), rows, "times that never go back", mend)
        except InputError as error:
            problems += error.problems
    elif back.any():
        notes = [*notes, f"{int(back.sum())} rows stood before an earlier one; jobs are sorted by submission"]
    start = None
    if epoch:
        start_s = float(np.floor(np.nanmin(submit)))
        start = _moment(raw, start_s)
        submit = submit - start_s
        if "deadline_s" in columns:
            columns["deadline_s"] = columns["deadline_s"] - start_s
    try:
        table = JobTable.of(
            submit_s=submit, start=start, notes=notes, place=str(raw.path), lines=raw.lines, **columns
        )
    except InputError as error:
        raise InputError([*problems, *error.problems]) from None
    if problems:
        raise InputError(problems)
    return table


def zone_note(options: ReadOptions, local: bool) -> list[str]:
    """What is to be said of times without an offset."""
    if not local:
        return []
    if options.time_zone is None:
        return ["times have no offset and are taken as UTC"]
    return [
        f"times are local times of {options.time_zone.key}; of an hour that comes twice, the first is meant"
    ]


def count_note(notes: list[str], mask: NDArray[np.bool_], what: str) -> None:
    """Add a note that begins with the number of rows, if there are any."""
    if num := int(mask.sum()):
        notes.append(f"{num} {what}")


def lacking(raw: RawTable, name: str, reader: JobReader) -> Problem | None:
    """What a file lacks to be of a format."""
    missing = [" or ".join(group) for group in reader.needs if not set(group) & set(raw.header)]
    if not missing:
        return None
    shown = ", ".join(raw.header[:12]) + (", ..." if len(raw.header) > 12 else "")
    needs = f"the format {name} needs {', '.join(missing)}"
    return Problem(str(raw.path), "", f"found the columns {shown}", needs, "")


def _kept(values: Any, keep: NDArray[np.bool_]) -> Any:
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return values[keep]
    if isinstance(values, list):
        return [value for value, kept in zip(values, keep.tolist(), strict=True) if kept]
    return values


def _time_column(raw: RawTable) -> str:
    known = ("submit_s", "submit_utc", "timestamp", "creation_time", "Submit")
    return next(name for name in known if name in raw.columns)


def _moment(raw: RawTable, epoch_s: float) -> datetime:
    try:
        return datetime.fromtimestamp(epoch_s, UTC)
    except (OverflowError, ValueError, OSError):
        raise raw.wrong(
            _time_column(raw), f"found {epoch_s:g} s since 1970", "years of the calendar", ""
        ) from None
