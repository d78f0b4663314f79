"""Small plans for tests."""

from __future__ import annotations

from simtool.ledger import Pattern, Share
from simtool.sim.plan import CheckpointPlan, ClusterPlan, FailurePlan, JobPlan, WorkPhase


def whole(state: str, *power_w: float, name: str | None = None) -> Pattern:
    """A pattern with all devices in one state."""
    accelerator, host, network = power_w
    share = Share(state=state, device_frac=1.0, power_w=(accelerator, host, network))
    return Pattern(name=name or state, shares=(share,))


WORK = Pattern(
    name="step",
    shares=(
        Share(state="compute", device_frac=0.7, power_w=(650.0, 90.0, 21.0)),
        Share(state="exposed_communication", device_frac=0.2, power_w=(310.0, 85.0, 23.0)),
        Share(state="bubble", device_frac=1.0 - 0.7 - 0.2, power_w=(110.0, 80.0, 19.0)),
    ),
)
IDLE = whole("idle", 70.0, 60.0, 10.0)
DOWN = whole("down", 3.0, 50.0, 1.0)
CHECKPOINT = whole("checkpoint", 120.0, 95.0, 12.0)
RESTART = whole("restart", 150.0, 99.0, 13.0)


def job(
    num_steps: int = 10,
    step_time_s: float = 10.0,
    num_nodes: int = 2,
    name: str = "job",
    submit_s: float = 0.0,
) -> JobPlan:
    phase = WorkPhase(num_steps=num_steps, step_time_s=step_time_s, pattern=WORK)
    return JobPlan(name=name, phases=(phase,), num_nodes=num_nodes, submit_s=submit_s)


def cluster(num_nodes: int = 2, spare_nodes: int = 0, devices_per_node: int = 1) -> ClusterPlan:
    return ClusterPlan(
        num_nodes=num_nodes,
        spare_nodes=spare_nodes,
        devices_per_node=devices_per_node,
        idle=IDLE,
        down=DOWN,
    )


def synchronous(write_s: float = 3.0, interval_s: float | None = 20.0) -> CheckpointPlan:
    return CheckpointPlan(
        kind="synchronous", write_s=write_s, stall_s=0.0, interval_s=interval_s, pattern=CHECKPOINT
    )


def asynchronous(write_s: float, stall_s: float, interval_s: float = 20.0) -> CheckpointPlan:
    return CheckpointPlan(
        kind="asynchronous", write_s=write_s, stall_s=stall_s, interval_s=interval_s, pattern=CHECKPOINT
    )


def failures(
    *scripted: tuple[float, int],
    rate_per_node_s: float = 0.0,
    repair_s: float = 0.0,
    detection_s: float = 0.0,
    restart_s: float = 5.0,
) -> FailurePlan:
    return FailurePlan(
        rate_per_node_s=rate_per_node_s,
        repair_s=repair_s,
        detection_s=detection_s,
        restart_s=restart_s,
        restart_pattern=RESTART,
        scripted=None if rate_per_node_s else scripted,
    )
