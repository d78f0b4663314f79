"""Refusing what would never end, and what no job could ever begin under."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simtool.errors import InfeasibleError
from simtool.sim.fleet.closing import stuck
from simtool.units import display

if TYPE_CHECKING:
    from simtool.sim.fleet.fleet import Fleet

MAX_TRIES = 1000
"""A job that begins so often without anything more being saved will never end."""


class Tries:
    """How often each job has begun since it last saved more."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._of: dict[int, tuple[float, int]] = {}

    def count(self, number: int, durable_s: float) -> None:
        """A job begins again, from a state with so much work.

        Raises:
            InfeasibleError: it has done so very often, with nothing more saved, and nothing ends the simulation.
        """
        before_s, tries = self._of.get(number, (-1.0, 0))
        tries = tries + 1 if durable_s <= before_s else 1
        self._of[number] = durable_s, tries
        fleet = self._fleet
        if tries > MAX_TRIES and fleet.end_s == math.inf:
            raise InfeasibleError(
                "interruptions",
                f"job {fleet.table.name[number]!r} began {tries:,} times, until {display(fleet.clock.now, 's')}, and "
                f"never saved more than {display(durable_s, 's')} of its {display(fleet.run_s[number], 's')} of work",
                ("checkpoints, or shorter intervals between them", "a duration for the simulation"),
            )


def refuse_powerless(fleet: Fleet) -> None:
    """Nothing more will happen: say so if a power limit is why jobs wait.

    Raises:
        InfeasibleError: the limit leaves too little for the first of them.
    """
    waits = any(job.least_power_w > fleet.spare_power_w for pool in fleet.pools for job in pool.queue)
    if waits and not fleet.running:
        raise stuck(fleet)


def refuse_stuck(fleet: Fleet) -> None:
    """Nothing runs, all devices are up, all jobs have come and none was begun: nothing will ever change that.

    Raises:
        SimtoolError: which job waits, and for what.
    """
    if fleet.running or not fleet.gate.is_done or not any(pool.queue for pool in fleet.pools):
        return
    still_to_come = fleet.plan.limits and fleet.plan.limits[-1].time_s > fleet.clock.now
    if still_to_come or fleet.is_woken_later or any(pool.down.num for pool in fleet.pools):
        return
    if fleet.end_s == math.inf:
        raise stuck(fleet)
    refuse_powerless(fleet)
