"""The jobs of a cluster as columns: when each comes, what it asks for, how long it runs and how it ends.

Times are float seconds since the table's start. Rows stand in the order of submission. A table never
changes; what selects, joins or cuts one gives another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.errors import InputError, Problem
from simtool.jobs.checks import check_columns, listed
from simtool.units import SECONDS_PER_HOUR

OUTCOMES = ("completed", "failed", "cancelled")
"""How a job ends; `JobTable.outcome` holds places in this tuple."""
COMPLETED, FAILED, CANCELLED = range(len(OUTCOMES))

ANY = -1
"""Code of a job that may run on any accelerator, or belongs to no group."""

MAX_WHOLE = 2**53
"""Whole numbers up to here are told apart as floats, which is what cells are read as."""

_TYPES: dict[str, type[np.generic]] = {
    "submit_s": np.float64,
    "num_devices": np.int64,
    "run_s": np.float64,
    "limit_s": np.float64,
    "outcome": np.int8,
    "user": np.int32,
    "priority": np.int64,
    "preemptible": np.bool_,
    "deadline_s": np.float64,
    "min_devices": np.int64,
    "max_devices": np.int64,
    "accelerator": np.int32,
    "group": np.int32,
}
COLUMNS = tuple(_TYPES)
"""The numeric columns, one value a job."""
WORDS = {"user": "users", "accelerator": "accelerators", "group": "groups"}
"""Columns of codes, and where the words stand that the codes count."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobTable:
    """Jobs in the order of submission; all columns are equally long and read-only.

    Raises:
        InputError: a column that is not as described; the row is named.
    """

    name: tuple[str, ...]
    """Each once."""
    submit_s: NDArray[np.float64]
    """Rising, 0 or more [s]."""
    num_devices: NDArray[np.int64]
    """Accelerators that a rigid job holds, or that `run_s` of an elastic one is told for."""
    run_s: NDArray[np.float64]
    """True run time at full speed, until the job ends in whatever outcome [s]; above 0, at most `limit_s`."""
    limit_s: NDArray[np.float64]
    """Requested limit [s]; inf where there is none. All that a scheduler may know of `run_s`."""
    outcome: NDArray[np.int8]
    user: NDArray[np.int32]
    priority: NDArray[np.int64]
    """Higher goes first."""
    preemptible: NDArray[np.bool_]
    deadline_s: NDArray[np.float64]
    """Since the table's start, as `submit_s` [s]; inf where there is none."""
    min_devices: NDArray[np.int64]
    max_devices: NDArray[np.int64]
    """An elastic job takes `min_devices` to `max_devices`; a rigid one has both equal to `num_devices`."""
    accelerator: NDArray[np.int32]
    """Code of the type that it is tied to, -1 for any."""
    group: NDArray[np.int32]
    """Code of the campaign, model or batch that it belongs to, -1 for none."""
    users: tuple[str, ...]
    accelerators: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    start: datetime | None = None
    """Moment of second 0, with a time zone; None where the jobs stand on no calendar."""
    notes: tuple[str, ...] = ()
    """What a reader assumed, left out or filled in, one sentence each."""

    def __post_init__(self) -> None:
        for column in COLUMNS:
            values = getattr(self, column)
            if not isinstance(values, np.ndarray) or values.dtype != _TYPES[column] or values.ndim != 1:
                raise TypeError(f"{column} is not a one-dimensional array of {_TYPES[column].__name__}")
        check_columns(
            "jobs",
            self.name,
            {column: getattr(self, column) for column in COLUMNS},
            {column: len(getattr(self, words)) for column, words in WORDS.items()},
        )
        for column in COLUMNS:
            getattr(self, column).setflags(write=False)

    def __len__(self) -> int:
        return len(self.name)

    def __repr__(self) -> str:
        return f"JobTable({len(self)} jobs, {self.gpu_hours:.6g} accelerator-hours)"

    @classmethod
    def of(
        cls,
        *,
        submit_s: ArrayLike,
        num_devices: ArrayLike,
        run_s: ArrayLike,
        name: Sequence[str] | None = None,
        limit_s: ArrayLike = math.inf,
        outcome: ArrayLike | Sequence[str] = COMPLETED,
        user: ArrayLike | Sequence[str] = "",
        priority: ArrayLike = 0,
        preemptible: ArrayLike = False,
        deadline_s: ArrayLike = math.inf,
        min_devices: ArrayLike | None = None,
        max_devices: ArrayLike | None = None,
        accelerator: Sequence[str] | str = "",
        group: Sequence[str] | str = "",
        start: datetime | None = None,
        notes: Sequence[str] = (),
        place: str = "jobs",
        lines: ArrayLike | None = None,
    ) -> JobTable:
        """A table from columns in any order; a single value stands for all jobs.

        Args:
            submit_s: [s] since `start`, shape (jobs,).
            num_devices: accelerators of each job.
            run_s: [s], above 0.
            name: ``job-0``, ``job-1``, ... if not given.
            limit_s: [s], none if not given.
            outcome: codes or words of `OUTCOMES`.
            user: words; an empty one is a user like others.
            priority: higher goes first.
            preemptible: whether a job may be stopped for another.
            deadline_s: [s] since `start`.
            min_devices: of elastic jobs; `num_devices` if not given.
            max_devices: of elastic jobs; `num_devices` if not given.
            accelerator: words; an empty one means any.
            group: words; an empty one means none.
            start: moment of second 0.
            notes: what was assumed.
            place: what messages call the table, such as the file.
            lines: line of each job in that file, for messages.

        Raises:
            InputError: everything that is wrong, each with its row and column.

        >>> JobTable.of(submit_s=[5, 0], num_devices=[2, 1], run_s=[3600, 60]).name
        ('job-1', 'job-0')
        """
        submit = np.atleast_1d(np.asarray(submit_s, dtype=float))
        num_jobs = len(submit)
        names = [f"job-{index}" for index in range(num_jobs)] if name is None else list(name)
        user_codes, users = coded(user, num_jobs, blank=None)
        accelerator_codes, accelerators = coded(accelerator, num_jobs)
        group_codes, groups = coded(group, num_jobs)
        written: dict[str, Any] = {
            "submit_s": submit,
            "num_devices": num_devices,
            "run_s": run_s,
            "limit_s": limit_s,
            "outcome": _outcome_codes(outcome, place),
            "user": user_codes,
            "priority": priority,
            "preemptible": preemptible,
            "deadline_s": deadline_s,
            "min_devices": num_devices if min_devices is None else min_devices,
            "max_devices": num_devices if max_devices is None else max_devices,
            "accelerator": accelerator_codes,
            "group": group_codes,
        }
        line_numbers = None if lines is None else np.asarray(lines)
        columns, problems = _columns(written, num_jobs, place, line_numbers)
        words = {"user": len(users), "accelerator": len(accelerators), "group": len(groups)}
        if not np.isfinite(submit).all():  # nothing to sort by
            check_columns(place, names, columns, words, line_numbers)
        order = np.argsort(submit, kind="stable")
        if (order[1:] < order[:-1]).any():
            columns = {column: values[order] for column, values in columns.items()}
            names = [names[index] for index in order.tolist()] if len(names) == num_jobs else names
            line_numbers = None if line_numbers is None else line_numbers[order]
        try:
            check_columns(place, names, columns, words, line_numbers)
        except InputError as error:
            raise InputError([*problems, *error.problems]) from None
        if problems:
            raise InputError(problems)
        return cls(
            name=tuple(names),
            users=users,
            accelerators=accelerators,
            groups=groups,
            start=start,
            notes=tuple(notes),
            **columns,
        )

    @property
    def gpu_hours(self) -> float:
        """Accelerator-hours submitted, ``sum(num_devices x run_s)``, rounded once.

        >>> JobTable.of(submit_s=[0, 1], num_devices=[8, 1], run_s=[1800.0, 3600.0]).gpu_hours
        5.0
        """
        return math.fsum((self.num_devices * self.run_s).tolist()) / SECONDS_PER_HOUR

    @property
    def span_s(self) -> float:
        """From the first to the last submission [s]; 0 for fewer than two jobs."""
        return float(self.submit_s[-1] - self.submit_s[0]) if len(self) else 0.0

    def select(self, mask: ArrayLike) -> JobTable:
        """The jobs that a mask of booleans, shape (jobs,), picks.

        >>> jobs = JobTable.of(submit_s=[0, 1], num_devices=[8, 1], run_s=[60.0, 60.0])
        >>> jobs.select(jobs.num_devices > 1).name
        ('job-0',)
        """
        chosen = np.asarray(mask)
        if chosen.dtype != np.bool_ or chosen.shape != (len(self),):
            raise ValueError(f"a mask of {len(self)} booleans is needed, not {chosen.dtype} {chosen.shape}")
        rows = np.flatnonzero(chosen)
        return replace(
            self,
            name=tuple([self.name[row] for row in rows.tolist()]),
            **{column: getattr(self, column)[rows] for column in COLUMNS},
        )

    def between(self, begin_s: float, end_s: float) -> JobTable:
        """The jobs submitted from `begin_s` to before `end_s` [s]; their times stay as they are."""
        return self.select((self.submit_s >= begin_s) & (self.submit_s < end_s))

    def require_fits(self, num_devices: int, *, place: str = "jobs") -> None:
        """Refuse jobs that need more accelerators than there are.

        Args:
            num_devices: of the whole cluster.
            place: what the message calls the table.

        Raises:
            InputError: names the largest job; an elastic one is too large with its least number.
        """
        over = np.flatnonzero(self.min_devices > num_devices)
        if len(over):
            worst = int(over[np.argmax(self.min_devices[over])])
            many = f"; {len(over)} jobs are too large" if len(over) > 1 else ""
            raise InputError(
                Problem(
                    place,
                    f"num_devices of job {self.name[worst]!r}",
                    f"found {self.min_devices[worst]}{many}",
                    f"the cluster has {num_devices} accelerators",
                    "leave such jobs out, or enlarge the cluster",
                )
            )

    def words(self, column: str) -> list[str]:
        """The words of a column of codes (`user`, `accelerator`, `group`, `outcome`); empty for -1."""
        known = OUTCOMES if column == "outcome" else getattr(self, WORDS[column])
        return [known[code] if code >= 0 else "" for code in getattr(self, column).tolist()]


def concat(tables: Sequence[JobTable]) -> JobTable:
    """The jobs of several tables as one.

    Times are kept; tables with a start are moved to the earliest one.

    Raises:
        InputError: a name that two tables hold.
        ValueError: no table, or some with a start and some without.
    """
    starts = [table.start for table in tables if table.start is not None]
    if not tables or len(starts) not in (0, len(tables)):
        raise ValueError("give tables that all have a start, or none")
    start = min(starts, default=None)
    shifts = [0.0 if t.start is None or start is None else (t.start - start).total_seconds() for t in tables]
    joined: dict[str, Any] = {
        column: np.concatenate([getattr(table, column) for table in tables])
        for column in COLUMNS
        if column not in WORDS
    }
    for column in ("submit_s", "deadline_s"):
        moved = [getattr(t, column) + shift for t, shift in zip(tables, shifts, strict=True)]
        joined[column] = np.concatenate(moved)
    for column in WORDS:
        joined[column] = [word for table in tables for word in table.words(column)]
    names = [name for table in tables for name in table.name]
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    return JobTable.of(name=names, start=start, notes=notes, **joined)


def same_jobs(one: JobTable, other: JobTable) -> bool:
    """Whether two tables hold equal jobs; codes may differ where their words agree."""
    plain = [column for column in COLUMNS if column not in WORDS]
    return (
        one.name == other.name
        and one.start == other.start
        and all(np.array_equal(getattr(one, column), getattr(other, column)) for column in plain)
        and all(one.words(column) == other.words(column) for column in WORDS)
    )


def coded(
    words: ArrayLike | Sequence[str], num_jobs: int, blank: str | None = ""
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Codes of words in alphabetical order, and the words.

    Args:
        words: one a job, or one for all.
        num_jobs: length of the codes.
        blank: the word of code -1; None if every word counts.

    >>> codes, known = coded(["b", "", "a"], 3)
    >>> codes.tolist(), known
    ([1, -1, 0], ('a', 'b'))
    """
    one_for_all = isinstance(words, str)
    listed = [words] if isinstance(words, str) else [str(word) for word in words]  # type: ignore[union-attr]
    known = tuple(sorted({word for word in listed if word != blank}))
    places = {word: place for place, word in enumerate(known)}
    codes = np.array([places.get(word, ANY) for word in listed], dtype=np.int32)
    return (np.full(num_jobs, codes[0], dtype=np.int32) if one_for_all else codes), known


def _outcome_codes(outcome: ArrayLike | Sequence[str], place: str) -> Any:
    words = np.asarray(outcome)
    if words.dtype.kind not in "UO":
        return outcome
    codes = {word: code for code, word in enumerate(OUTCOMES)}
    listed = words.reshape(-1).tolist()
    if unknown := sorted({str(word) for word in listed if word not in codes}):
        found = f"found {', '.join(repr(word) for word in unknown[:3])}"
        raise InputError(Problem(place, "outcome", found, f"allowed: {', '.join(OUTCOMES)}", ""))
    return np.array([codes[word] for word in listed]).reshape(words.shape)


def _columns(
    written: Mapping[str, Any], num_jobs: int, place: str, lines: NDArray[Any] | None
) -> tuple[dict[str, NDArray[Any]], list[Problem]]:
    """Columns in their types, and what is wrong with them; a wrong one stands at 1, which breaks no other rule."""
    columns: dict[str, NDArray[Any]] = {}
    problems: list[Problem] = []
    for column, values in written.items():
        try:
            columns[column] = _spread(column, values, num_jobs, place, lines)
        except InputError as error:
            columns[column] = np.ones(num_jobs, _TYPES[column])
            if column == "num_devices" or values is not written["num_devices"]:
                problems += error.problems
    sizes = ("num_devices", "min_devices", "max_devices")
    if any(problem.field in sizes for problem in problems):
        columns |= {column: np.ones(num_jobs, _TYPES[column]) for column in sizes}
    return columns, problems


def _spread(column: str, values: Any, num_jobs: int, place: str, lines: NDArray[Any] | None) -> NDArray[Any]:
    """A column of its own, in its type; whole numbers stay whole."""
    given = np.asarray(values)
    wanted = np.dtype(_TYPES[column])
    if given.ndim == 0:
        given = np.full(num_jobs, given)
    if given.dtype != wanted and wanted.kind == "i" and given.dtype.kind == "f":
        broken = ~((np.floor(given) == given) & (np.abs(given) <= MAX_WHOLE))
        if broken.any():
            allowed = f"a whole number, at most {MAX_WHOLE:,}"
            raise InputError(listed(place, column, given, broken, None, allowed, "", lines))
    return np.array(given, dtype=wanted)
