"""Random queues and clusters as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import strategies as st

from simtool.sim.schedulers import SCHEDULERS, Devices, QueuedJob, RunningJob, Scheduler, Waiting
from tests.sim.fleet.scenes import DEAR, SIGNALS

NOW_S = 100.0


@st.composite
def moments(draw: st.DrawFn) -> tuple[Waiting, Devices]:
    """A queue at one pool of a fleet of one or two, and that pool, at `NOW_S`."""
    total = draw(st.integers(1, 12))
    several = draw(st.booleans())
    spare_w = draw(st.sampled_from([math.inf, 3000.0, 500.0, -200.0]))
    numbers = iter(range(100))
    running, free = [], total
    for _ in range(draw(st.integers(0, 4))):
        num = draw(st.integers(0, free))
        if num:
            free -= num
            asked = draw(st.sampled_from([num, max(num - 1, 1), num + 1]))
            start_s = draw(st.integers(0, 100)) * 1.0
            limit_s = draw(st.sampled_from([5.0, 50.0, 150.0, math.inf]))
            running.append(
                RunningJob(
                    start_s + limit_s,
                    start_s,
                    next(numbers),
                    num,
                    draw(st.integers(0, 2)),
                    draw(st.booleans()),
                    num * 300.0,
                    draw(st.sampled_from([False, False, True])),
                    asked,
                    draw(st.sampled_from([0, max(asked, num), total])) if asked <= total else 0,
                    (1.0, draw(st.sampled_from([0.0, 0.5, 1.0]))) if several else (),
                    draw(st.sampled_from([0.0, 2.0, math.inf])),
                    draw(st.sampled_from([0.0, 5.0, math.inf])),
                )
            )
    jobs = []
    for _ in range(draw(st.integers(0, 8))):
        num = draw(st.integers(1, total))
        limit_s = draw(st.sampled_from([3.0, 20.0, 60.0, math.inf]))
        deadline_s = draw(st.sampled_from([NOW_S + 10.0, NOW_S + 70.0, NOW_S + 500.0, math.inf]))
        jobs.append(
            QueuedJob(
                next(numbers),
                num,
                draw(st.integers(0, 100)) * 1.0,
                limit_s,
                draw(st.integers(0, 2)),
                draw(st.booleans()),
                deadline_s,
                draw(st.integers(1, num - 1)) if num > 1 and draw(st.booleans()) else 0,
                num * draw(st.sampled_from([300.0, 500.0])),
                num * 200.0,
                (1.0, draw(st.sampled_from([0.0, 0.5, 2.0]))) if several else (),
                limit_s < deadline_s < math.inf and draw(st.booleans()),
                draw(st.sampled_from([0, total])),
            )
        )
    leaving = sum(job.num_devices for job in running if job.leaving)
    cluster = Devices(
        num_devices=total,
        num_free_devices=free,
        running=tuple(sorted(running)),
        spare_power_w=spare_w,
        free_by_pool=(free, draw(st.integers(0, 6))) if several else (free,),
        waiting_by_pool=(len(jobs), draw(st.integers(0, 1))) if several else (len(jobs),),
        leaving_by_pool=(leaving, draw(st.integers(0, 3))) if several else (leaving,),
        signals_by_pool=(SIGNALS, DEAR) if several else (SIGNALS,),
    )
    return Waiting(tuple(jobs)), cluster


@contextmanager
def registered(name: str, scheduler: Scheduler) -> Iterator[None]:
    """A scheduler for a while."""
    SCHEDULERS._items[name] = scheduler
    try:
        yield
    finally:
        del SCHEDULERS._items[name]
