"""Ask a scheduler, and refuse an answer that is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import NoReturn

from simtool.errors import InputError, Problem, SimtoolError
from simtool.sim.schedulers import Choice, ClusterView, Move, QueueView, Scheduler, SignalView

FIELDS = ("start", "preempt", "put_off")


def ask(
    name: str,
    scheduler: Scheduler,
    queue: QueueView,
    cluster: ClusterView,
    signals: Mapping[str, SignalView],
    now_s: float,
) -> Choice:
    """What a scheduler decides.

    Raises:
        InputError: it raised something of its own, or its answer is no `Choice`.
    """
    try:
        choice = scheduler(queue, cluster, signals, now_s)
    except SimtoolError:
        raise
    except Exception as error:
        found = f"raised {type(error).__name__}: {error}, asked at {now_s} s"
        raise InputError(Problem(f"scheduler {name!r}", "", found, "a Choice")) from error
    if not isinstance(choice, Choice):
        refuse(name, "", f"answered {choice!r}", "a Choice")
    for field, numbers in zip(FIELDS, (choice.start, choice.preempt, choice.put_off), strict=True):
        given: object = numbers
        # the usual types first: to ask for the abstract ones takes longer than most decisions
        if type(given) not in (list, tuple) and (isinstance(given, str) or not isinstance(given, Sequence)):
            refuse(name, field, f"found {given!r}", "a sequence of jobs")
        entries: Sequence[object] = numbers
        for entry in entries:
            if type(entry) is not int and not isinstance(entry, Integral):
                refuse(name, field, f"found {entry!r}", "indices of jobs")
    if type(choice.num_devices) is not dict and not isinstance(choice.num_devices, Mapping):
        refuse(name, "num_devices", f"found {choice.num_devices!r}", "numbers of devices by job")
    sizes: Iterable[object] = choice.num_devices.values() if choice.num_devices else ()
    for size in sizes:
        if not isinstance(size, Integral):
            refuse(name, "num_devices", f"found {size!r}", "whole numbers of devices by job")
    if type(choice.move) is not dict and not isinstance(choice.move, Mapping):
        refuse(name, "move", f"found {choice.move!r}", "a Move by job")
    moves: Iterable[object] = choice.move.values() if choice.move else ()
    for move in moves:
        if not isinstance(move, Move) or not all(isinstance(part, Integral) for part in move):
            refuse(name, "move", f"found {move!r}", "a Move by job")
    wake_s: object = choice.wake_s
    if (type(wake_s) is not float and not isinstance(wake_s, Real)) or math.isnan(wake_s):
        refuse(name, "wake_s", f"found {wake_s!r}", "a time in seconds")
    return choice


def refuse(name: str, field: str, found: str, allowed: str) -> NoReturn:
    """Raise what a scheduler did wrong."""
    raise InputError(Problem(f"scheduler {name!r}", field, found, allowed, "correct or change the scheduler"))
