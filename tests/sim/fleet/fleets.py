"""Small fleets for tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from simtool.jobs.table import JobTable
from simtool.ledger import Pattern
from simtool.sim.fleet.plan import FleetPlan, JobKind, OperatingPoint, Pool, PoolUse
from simtool.sim.plan import CheckpointPlan
from tests.sim import plans

WORK = plans.whole("compute", 650.0, 90.0, 21.0, name="work")
SLOW = plans.whole("compute", 300.0, 90.0, 21.0, name="slow work")


class Broken(NamedTuple):
    """An event at nodes."""

    time_s: float
    nodes: tuple[tuple[int, int], ...]
    cause: str = "test"
    effect: str = "failure"
    detection_s: float = 0.0
    repair_s: float = 100.0
    slowdown: float = 1.0


def use(
    checkpoint: CheckpointPlan | None = None,
    restart_s: float = 5.0,
    points: Sequence[tuple[float, Pattern]] = ((1.0, WORK),),
) -> PoolUse:
    return PoolUse(
        points=tuple(OperatingPoint(*point) for point in points),
        checkpoint=checkpoint,
        restart_s=restart_s,
        restart_pattern=plans.RESTART,
    )


def pool(
    num_nodes: int = 4,
    devices_per_node: int = 1,
    spare_nodes: int = 0,
    nodes_per_rack: int = 1,
    name: str = "pool",
    site: str = "",
) -> Pool:
    return Pool(
        name=name,
        num_nodes=num_nodes,
        devices_per_node=devices_per_node,
        spare_nodes=spare_nodes,
        nodes_per_rack=nodes_per_rack,
        idle=plans.IDLE,
        down=plans.DOWN,
        site=site,
    )


def fleet(
    num_nodes: int = 4,
    scheduler: str = "fcfs",
    checkpoint: CheckpointPlan | None = None,
    holds_nodes: bool = False,
    **more: object,
) -> FleetPlan:
    kind = JobKind(name="kind", uses=(use(checkpoint),), holds_nodes=holds_nodes)
    pools = (
        pool(num_nodes, **{key: more.pop(key) for key in ("devices_per_node", "spare_nodes") if key in more}),
    )  # type: ignore[arg-type]
    return FleetPlan(pools=pools, kinds=(kind,), scheduler=scheduler, **more)  # type: ignore[arg-type]


def jobs(*rows: tuple[float, int, float], limits: Sequence[float] = (), **columns: object) -> JobTable:
    """Jobs as (submit [s], devices, run time [s])."""
    submit, devices, run = zip(*rows, strict=True)
    return JobTable.of(
        submit_s=submit,
        num_devices=devices,
        run_s=run,
        limit_s=limits or math.inf,
        **columns,  # type: ignore[arg-type]
    )


def events(*broken: Broken) -> dict[str, Iterator[Broken]]:
    return {"pool": iter(sorted(broken, key=lambda event: event.time_s))}
