"""Slurm's accounting: ``sacct --allusers --parsable2 --format=JobID,User,Submit,...``."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.jobs.raw import RawTable, names_of
from simtool.jobs.readers import JOB_READERS, ReadOptions, build, count_note, zone_note
from simtool.jobs.table import CANCELLED, COMPLETED, FAILED, JobTable
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

_ENDED = {
    "COMPLETED": COMPLETED,
    "FAILED": FAILED,
    "NODE_FAIL": FAILED,
    "OUT_OF_MEMORY": FAILED,
    "BOOT_FAIL": FAILED,
    "LAUNCH_FAILED": FAILED,
    "RECONFIG_FAIL": FAILED,
    "TIMEOUT": FAILED,
    "DEADLINE": FAILED,
    "CANCELLED": CANCELLED,
    "PREEMPTED": CANCELLED,
    "REQUEUED": CANCELLED,
    "REVOKED": CANCELLED,
}
_GOING_ON = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "REQUEUE_HOLD")
_OPEN, _NO_TIME = -1, ("", "None", "Unknown", "NONE", "UNKNOWN")
_NO_LIMIT = ("UNLIMITED", "Partition_Limit", "")
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)(?:\.\d+)?\Z")
_GPUS = re.compile(r"(?:^|,)gres/gpu(?::([^=,]+))?=(\d+)")


@JOB_READERS.register("slurm")
class Slurm:
    """``sacct`` with bars between the cells: JobID, Submit, State, Elapsed, AllocTRES; more if given.

    Taken if there: ReqTRES (of jobs whose AllocTRES is empty), ElapsedRaw, Start and End (instead of Elapsed),
    Timelimit or TimelimitRaw [min], User, Account, Priority. Source of the formats: sacct(1) of Slurm.
    """

    needs = (
        ("JobID", "JobIDRaw"),
        ("Submit",),
        ("State",),
        ("Elapsed", "ElapsedRaw"),
        ("AllocTRES", "ReqTRES"),
    )

    @staticmethod
    def read(raw: RawTable, options: ReadOptions) -> JobTable:
        """Allocations that ended and held a GPU, as jobs; every run of a requeued job is one of its own."""
        ids = raw.texts("JobID" if "JobID" in raw.header else "JobIDRaw")
        notes: list[str] = []
        steps = np.array(["." in name for name in ids])
        count_note(notes, steps, "rows of job steps are left out: the allocation has their time")
        raw = raw.rows(~steps)
        state = raw.parsed("State", _state, ", ".join([*_ENDED, *_GOING_ON]), "see sacct(1), job state codes")
        elapsed_s = _elapsed_s(raw)
        devices, types = _gpus(raw)
        going_on, unstarted = state == _OPEN, _unstarted(raw, elapsed_s)
        without = (devices == 0.0) & ~going_on & ~unstarted
        count_note(notes, going_on, "jobs that had not ended are left out")
        count_note(notes, unstarted & ~going_on, "jobs that ended before they started are left out")
        count_note(notes, without, "jobs without a GPU are left out")
        keep = ~(going_on | unstarted | without)
        raw, state, run_s, devices = raw.rows(keep), state[keep], elapsed_s[keep], devices[keep]
        submit, local = raw.epochs_s("Submit", options.time_zone)
        notes += zone_note(options, local)
        limit_s = _limit_s(raw)
        over = run_s > limit_s
        count_note(
            notes,
            over,
            "jobs ran past their limit (grace time, or an extension); it counts as their run time",
        )
        if not np.isfinite(limit_s).all():
            count_note(notes, np.isinf(limit_s), "jobs have no limit: limit_s is inf")
        kept = np.flatnonzero(keep).tolist()
        columns: dict[str, Any] = {"accelerator": [types[row] for row in kept]}
        if "User" in raw.header:
            columns["user"] = raw.texts("User")
        if "Account" in raw.header:
            columns["group"] = raw.texts("Account")
        if "Priority" in raw.header:
            columns["priority"] = raw.numbers("Priority", empty=0.0)
        return build(
            raw,
            options,
            submit=submit,
            epoch=True,
            sort=options.sort is not False,
            notes=notes,
            name=_names(raw, notes),
            num_devices=devices,
            run_s=run_s,
            limit_s=np.maximum(limit_s, run_s),
            outcome=state.astype(int),
            **columns,
        )


def _state(word: str) -> int:
    head = word.split(" ", maxsplit=1)[0].rstrip("+")  # "CANCELLED by 1000"; a cut word ends in +
    if head in _GOING_ON:
        return _OPEN
    if head in _ENDED:
        return _ENDED[head]
    if word.endswith("+") and len(fits := [known for known in _ENDED if known.startswith(head)]) == 1:
        return _ENDED[fits[0]]
    raise ValueError(word)


def clock_s(word: str) -> float:
    """Seconds of ``[D-][HH:]MM:SS``.

    >>> clock_s("2-03:04:05"), clock_s("10:00")
    (183845.0, 600.0)
    """
    match = _CLOCK.match(word)
    if match is None or int(match[4]) >= 60 or (match[2] and int(match[3]) >= 60):
        raise ValueError(word)
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return days * SECONDS_PER_DAY + hours * SECONDS_PER_HOUR + minutes * SECONDS_PER_MINUTE + seconds


def _elapsed_s(raw: RawTable) -> NDArray[np.float64]:
    if "ElapsedRaw" in raw.header:
        elapsed_s = raw.numbers("ElapsedRaw")
        raw.refuse("ElapsedRaw", elapsed_s < 0.0, "0 s or more")
        return elapsed_s
    return raw.parsed("Elapsed", clock_s, "a time as [D-]HH:MM:SS, e.g. 2-03:00:00")


def _unstarted(raw: RawTable, elapsed_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Jobs without a start: cancelled in the queue. Where no column tells, those that never ran for a second."""
    if "Start" not in raw.header:
        return np.asarray((elapsed_s == 0.0) & (raw.parsed("State", _state, "") == CANCELLED))
    return raw.parsed("Start", lambda word: word in _NO_TIME, "").astype(bool)


def _gpus(raw: RawTable) -> tuple[NDArray[np.float64], list[str]]:
    """GPUs of every row and their type, empty if the row does not say or names several."""
    columns = [raw.texts(name) for name in ("AllocTRES", "ReqTRES") if name in raw.header]
    words = (
        columns[0]
        if len(columns) == 1
        else [granted or asked for granted, asked in zip(*columns, strict=True)]
    )
    known = {word: _gpus_of(word) for word in set(words)}
    counts = np.array([known[word][0] for word in words], dtype=float)
    return counts, [known[word][1] for word in words]


def _gpus_of(tres: str) -> tuple[int, str]:
    """Number and type of the GPUs of ``billing=64,gres/gpu:h100=8,gres/gpu=8,node=1``: the total where it is given."""
    found = _GPUS.findall(tres)
    typed = [(kind, int(count)) for kind, count in found if kind]
    totals = [int(count) for kind, count in found if not kind]
    total = totals[0] if totals else sum(count for _, count in typed)
    return total, typed[0][0] if len(typed) == 1 else ""


def _limit_s(raw: RawTable) -> NDArray[np.float64]:
    def minutes_s(word: str) -> float:
        return math.inf if word in _NO_LIMIT else float(word) * SECONDS_PER_MINUTE

    def limit_s(word: str) -> float:
        return math.inf if word in _NO_LIMIT else clock_s(word)

    if "TimelimitRaw" in raw.header:
        return raw.parsed("TimelimitRaw", minutes_s, "minutes, or UNLIMITED")
    if "Timelimit" in raw.header:
        return raw.parsed("Timelimit", limit_s, "a time as [D-]HH:MM:SS, or UNLIMITED")
    return np.full(len(raw), math.inf)


def _names(raw: RawTable, notes: list[str]) -> list[str]:
    """JobIDs; later runs of a requeued job are ``17#2``, ``17#3``. The same run twice stays a duplicate."""
    ids = raw.texts("JobID" if "JobID" in raw.header else "JobIDRaw")
    if len(set(ids)) == len(ids) or "Start" not in raw.header:
        return ids
    runs = list(zip(ids, raw.texts("Start"), strict=True))
    if len(set(runs)) != len(runs):
        return ids
    notes.append(f"{len(ids) - len(set(ids))} runs of requeued jobs are jobs of their own, named #2, #3, ...")
    return names_of(ids)
