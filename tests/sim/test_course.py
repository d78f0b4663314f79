"""The arithmetic of checkpoints against a plain walk through time, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.ledger import WORK_STATES
from simtool.sim.course import Course
from simtool.sim.plan import CheckpointPlan, JobPlan, WorkPhase
from simtool.sim.run import simulate
from tests.sim import plans

RESTART_S = 4.0


@dataclass
class Walk:
    """What a job did, found by walking; all times are multiples of 1/4 s, so that sums are exact."""

    end_s: float = 0.0
    useful_s: float = 0.0
    lost_s: float = 0.0
    checkpoint_s: float = 0.0
    restart_s: float = 0.0
    durable_steps: list[int] = field(default_factory=list)


def walk(job: JobPlan, checkpoint: CheckpointPlan, failure_times_s: list[float]) -> Walk:
    """Walk through the job; failed nodes are replaced at once."""
    steps = [phase.step_time_s for phase in job.phases for _ in range(phase.num_steps)]
    pending = sorted(failure_times_s)
    did = Walk()
    saved, now_s, again = 0, 0.0, False
    while True:
        fails_s = pending[0] if pending else float("inf")
        restart_s = RESTART_S if again else 0.0
        if fails_s < now_s + restart_s or (fails_s == now_s + restart_s and restart_s):
            did.restart_s += fails_s - now_s
            now_s, again = pending.pop(0), True
            continue
        did.restart_s += restart_s
        now_s += restart_s
        step, unsaved, work_s, stop_sum_s = saved, 0.0, 0.0, 0.0
        writes: list[tuple[float, int]] = []  # durable at, steps
        failed = False
        for step in range(saved, len(steps)):
            if now_s + steps[step] > fails_s:
                work_s += fails_s - now_s
                failed = True
                break
            now_s += steps[step]
            work_s += steps[step]
            unsaved += steps[step]
            last = step + 1 == len(steps)
            # Stop here unless the next step brings the work done closer to the interval, or as close.
            due = checkpoint.interval_s is not None and (
                last or unsaved + steps[step + 1] / 2 > checkpoint.interval_s
            )
            written = not writes or now_s >= writes[-1][0]
            if last and checkpoint.interval_s is not None:
                under_way_s = max(0.0, writes[-1][0] - now_s) if writes else 0.0
                stop_s = under_way_s + max(checkpoint.stop_s, checkpoint.durable_s)
            elif due and written and unsaved >= checkpoint.durable_s - checkpoint.stop_s:
                stop_s = checkpoint.stop_s
            else:
                continue
            writes.append((now_s + (stop_s if last else checkpoint.durable_s), step + 1))
            unsaved = 0.0
            if now_s + stop_s > fails_s:
                stop_sum_s += fails_s - now_s
                failed = True
                break
            now_s += stop_s
            stop_sum_s += stop_s
        did.checkpoint_s += stop_sum_s
        moment_s = fails_s if failed else now_s
        durable = [steps_saved for durable_s, steps_saved in writes if durable_s <= moment_s]
        did.durable_steps += durable
        kept = max([saved, *durable]) if failed else len(steps)
        useful_s = sum(steps[saved:kept])
        did.useful_s += useful_s
        did.lost_s += work_s - useful_s
        if not failed:
            did.end_s = now_s
            return did
        saved, again = kept, True
        now_s = pending.pop(0)


quarters = st.integers(0, 400).map(lambda number: number / 4)


@st.composite
def walks(draw: st.DrawFn) -> tuple[JobPlan, CheckpointPlan, list[float]]:
    phases = tuple(
        WorkPhase(
            num_steps=draw(st.integers(1, 12)),
            step_time_s=draw(st.integers(1, 40)) / 4,
            pattern=plans.WORK,
        )
        for _ in range(draw(st.integers(1, 3)))
    )
    job = JobPlan(name="job", phases=phases, num_nodes=1)
    checkpoint = CheckpointPlan(
        kind=draw(st.sampled_from(["synchronous", "asynchronous"])),
        write_s=draw(st.integers(0, 60)) / 4,
        stall_s=draw(st.integers(0, 12)) / 4,
        interval_s=draw(st.none() | quarters),
        pattern=plans.CHECKPOINT,
    )
    return job, checkpoint, draw(st.lists(quarters, max_size=6, unique=True))


@given(walks())
def test_a_simulated_job_does_what_a_walk_through_its_steps_does(
    case: tuple[JobPlan, CheckpointPlan, list[float]],
) -> None:
    job, checkpoint, times_s = case
    found = walk(job, checkpoint, times_s)
    # Enough spares: the failure at place i hits the node that the job holds by then.
    scripted = tuple((time_s, index) for index, time_s in enumerate(sorted(times_s)))
    outcome = simulate(
        [job],
        plans.cluster(1, spare_nodes=len(times_s)),
        checkpoint,
        plans.failures(*scripted, repair_s=1e6, restart_s=RESTART_S),
        seed=0,
    )
    (done,) = outcome.jobs
    assert done.end_s == found.end_s
    assert (done.useful_s, done.lost_s) == (found.useful_s, found.lost_s)
    assert (done.checkpoint_s, done.restart_s) == (found.checkpoint_s, found.restart_s)
    assert done.num_checkpoints == len(found.durable_steps)
    assert outcome.ledger.device_s(state=WORK_STATES) == pytest.approx(found.useful_s, rel=1e-12)
    assert outcome.ledger.device_s(state="lost_work") == pytest.approx(found.lost_s, rel=1e-12)


@pytest.mark.parametrize(
    ("interval_s", "steps"),
    [(0.0, 1), (4.9, 1), (14.9, 1), (15.0, 2), (24.0, 2), (25.0, 3), (1e9, 10), (1e300, 10)],
)
def test_intervals_are_the_nearest_whole_number_of_steps(interval_s: float, steps: int) -> None:
    job = plans.job(num_steps=10, step_time_s=10.0)
    assert Course(job, plans.synchronous(1.0, interval_s), plans.RESTART).strides == (steps,)


def test_a_checkpoint_interval_goes_on_across_phases() -> None:
    """3 steps of 10 s, then steps of 4 s; every 40 s: after 3 x 10 + 3 x 4 = 42 s, then after 10 x 4 s."""
    job = JobPlan(
        name="job",
        phases=(
            WorkPhase(num_steps=3, step_time_s=10.0, pattern=plans.WORK),
            WorkPhase(num_steps=20, step_time_s=4.0, pattern=plans.whole("compute", 500.0, 90.0, 20.0)),
        ),
        num_nodes=1,
    )
    outcome = simulate([job], plans.cluster(1), plans.synchronous(1.0, 40.0), plans.failures(), seed=0)
    columns = outcome.ledger.segments()
    begins_s = columns["t0_s"][columns["pattern"] == "checkpoint"].tolist()
    assert begins_s == [42.0, 42.0 + 1.0 + 40.0, 42.0 + 41.0 + 28.0 + 1.0]
    assert outcome.end_s == 3 * 10.0 + 20 * 4.0 + 3 * 1.0


def test_times_are_products_not_sums() -> None:
    """A million steps of 0.1 s end where one multiplication says; 0.1 added a million times does not."""
    outcome = simulate(
        [plans.job(num_steps=1_000_000, step_time_s=0.1)],
        plans.cluster(),
        plans.asynchronous(write_s=0.0, stall_s=0.0, interval_s=1.0),
        plans.failures(),
        seed=0,
    )
    assert outcome.end_s == pytest.approx(100_000.0, rel=1e-15)
    assert outcome.jobs[0].num_checkpoints == 100_000
    assert len(outcome.ledger) == 1


def test_checkpoints_cost_no_event() -> None:
    few, many = (
        simulate(
            [plans.job(num_steps=10_000)],
            plans.cluster(),
            plans.synchronous(1.0, interval_s),
            plans.failures(),
            seed=0,
        )
        for interval_s in (50_000.0, 10.0)
    )
    assert (few.jobs[0].num_checkpoints, many.jobs[0].num_checkpoints) == (2, 10_000)
    assert few.num_events == many.num_events
