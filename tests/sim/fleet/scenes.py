"""Random fleets for properties: several pools, spares, failures, preemption, power limits, deadlines, a cut."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from simtool.jobs.table import JobTable
from simtool.signals import Basis, Signal
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.plan import FleetPlan, JobKind, OperatingPoint, PoolUse, PowerLimit
from simtool.sim.fleet.run import simulate_fleet
from simtool.sim.plan import CheckpointPlan
from tests.sim import plans
from tests.sim.fleet import fleets
from tests.sim.fleet.fleets import Broken

LONG_S = 1e5
EFFECTS = ("failure", "failure", "software", "straggler", "maintenance", "corruption")
PRICE = Signal.from_steps(
    [0.0, 20.0, 45.0, 90.0, 200.0], [3.0, 1.0, 2.0, 0.5, 2.5], end_s=math.inf, unit="USD/kWh"
)
CARBON = Signal.from_steps(
    [0.0, 30.0, 60.0], [0.5, 0.2, 0.4], end_s=math.inf, unit="kgCO2e/kWh", basis=Basis.AVERAGE_LIFE_CYCLE
)
SIGNALS = {"price": PRICE, "carbon": CARBON}
DEAR = {"price": PRICE.scaled(3.0), "carbon": CARBON.scaled(0.5)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that a simulation takes."""

    jobs: JobTable
    plan: FleetPlan
    kinds: tuple[int, ...]
    events: Mapping[str, tuple[Broken, ...]]
    end_s: float = math.inf

    @property
    def signals(self) -> dict[str, dict[str, Signal]]:
        return {pool.name: DEAR if index % 2 else SIGNALS for index, pool in enumerate(self.plan.pools)}

    def run(self, **changes: object) -> FleetOutcome:
        return simulate_fleet(
            self.jobs,
            replace(self.plan, **changes),  # type: ignore[arg-type]
            kinds=self.kinds,
            node_events={pool: iter(events) for pool, events in self.events.items() if events},
            signals=self.signals,
            end_s=self.end_s,
        )


@st.composite
def _checkpoints(draw: st.DrawFn) -> CheckpointPlan | None:
    if draw(st.booleans()):
        return None
    stall_s = draw(st.sampled_from([0.0, 1.0]))
    kind = draw(st.sampled_from(["synchronous", "asynchronous"]))
    return CheckpointPlan(
        kind=kind,
        write_s=draw(st.sampled_from([0.0, 1.5, 7.0])),
        stall_s=stall_s if kind == "asynchronous" else 0.0,
        interval_s=draw(st.sampled_from([0.7, 4.0, 10.0])),
        pattern=plans.CHECKPOINT,
    )


@st.composite
def scenes(
    draw: st.DrawFn,
    *,
    scheduler: str = "easy",
    several: bool = True,
    hazards: bool = True,
    cut: bool = True,
    power: bool = True,
    saves: bool = True,
) -> Scene:
    num_pools = draw(st.integers(1, 3)) if several else 1
    pools = tuple(
        fleets.pool(
            draw(st.integers(1, 4)),
            draw(st.sampled_from([1, 2, 4])),
            draw(st.integers(0, 1)) if hazards else 0,
            draw(st.integers(1, 2)),
            name=f"pool-{index}",
            site=f"site-{index % 2}",
        )
        for index in range(num_pools)
    )
    points = ((1.0, fleets.WORK), (0.5, fleets.SLOW))[: draw(st.integers(1, 2))]
    kinds = []
    for number in range(draw(st.integers(1, 2))):
        uses: list[PoolUse | None] = []
        for index in range(num_pools):
            speed = draw(st.sampled_from([0.5, 1.0, 1.25])) if num_pools > 1 else 1.0
            scaled = tuple(OperatingPoint(speed * factor, pattern) for factor, pattern in points)
            use = PoolUse(
                points=scaled,
                checkpoint=draw(_checkpoints()) if hazards and saves else None,
                restart_s=draw(st.sampled_from([0.0, 3.0])),
                restart_pattern=plans.RESTART,
            )
            uses.append(use if index == 0 or draw(st.booleans()) else None)
        kinds.append(
            JobKind(
                name=f"kind-{number}",
                uses=tuple(uses),
                holds_nodes=hazards and draw(st.booleans()),
                speed_across_racks=draw(st.sampled_from([1.0, 0.8])) if hazards else 1.0,
                state_bytes=draw(st.sampled_from([0.0, 40.0])),
            )
        )
    num_jobs = draw(st.integers(1, 10))
    codes = tuple(draw(st.integers(0, len(kinds) - 1)) for _ in range(num_jobs))
    rows = []
    for code in codes:
        most = max(pool.num_devices for pool, use in zip(pools, kinds[code].uses, strict=True) if use)
        num = draw(st.integers(1, most))
        run_s = draw(st.integers(1, 400)) / 10.0
        submit_s = draw(st.integers(0, 80)) / 2.0
        limit_s = run_s * draw(st.sampled_from([1.0, 1.5, 4.0, math.inf]))
        slack_s = draw(st.sampled_from([0.5, 30.0, 150.0, math.inf]))
        deadline_s = submit_s + (limit_s if limit_s < math.inf else run_s) + slack_s
        elastic = draw(st.booleans())
        sizes = (draw(st.integers(1, num)), draw(st.integers(num, most + 2))) if elastic else (num, num)
        rows.append(
            (submit_s, num, run_s, limit_s, draw(st.integers(0, 2)), draw(st.booleans()), deadline_s, *sizes)
        )
    columns = list(zip(*sorted(rows, key=lambda row: row[0]), strict=True))
    codes = tuple(code for code, _ in sorted(zip(codes, rows, strict=True), key=lambda pair: pair[1][0]))
    jobs = JobTable.of(
        submit_s=columns[0],
        num_devices=columns[1],
        run_s=columns[2],
        limit_s=columns[3],
        priority=columns[4],
        preemptible=columns[5],
        deadline_s=columns[6],
        min_devices=columns[7],
        max_devices=columns[8],
    )
    events = (
        {pool.name: draw(_events(pool.num_nodes + pool.spare_nodes)) for pool in pools} if hazards else {}
    )
    limits: tuple[PowerLimit, ...] = ()
    if power and draw(st.booleans()):
        idle_w = sum(pool.total_devices for pool in pools) * plans.IDLE.power_w
        slowest_w = max(points[-1][1].power_w, plans.RESTART.power_w) - plans.IDLE.power_w
        least_w = idle_w + max(columns[1]) * slowest_w
        limits = tuple(
            PowerLimit(time_s, least_w * draw(st.sampled_from([1.0, 1.2, 2.0])))
            for time_s in sorted(draw(st.sets(st.sampled_from([0.0, 7.0, 19.5, 60.0]), min_size=1)))
        )
    plan = FleetPlan(
        pools=pools,
        kinds=tuple(kinds),
        scheduler=scheduler,
        placement=draw(st.sampled_from(["lowest", "nodes", "racks"])),
        kill_at_limit=draw(st.booleans()),
        limits=limits,
        move_bytes_per_s=draw(st.sampled_from([math.inf, 10.0, None])),
    )
    end_s = draw(st.sampled_from([math.inf, 5.0, 30.0, 77.7])) if cut else math.inf
    return Scene(jobs=jobs, plan=plan, kinds=codes, events=events, end_s=end_s)


@st.composite
def _events(draw: st.DrawFn, num_nodes: int) -> tuple[Broken, ...]:
    found = []
    for _ in range(draw(st.integers(0, 6))):
        effect = draw(st.sampled_from(EFFECTS))
        first = draw(st.integers(0, num_nodes - 1))
        last = draw(st.integers(first + 1, num_nodes)) if effect in ("failure", "maintenance") else first + 1
        found.append(
            Broken(
                draw(st.integers(0, 400)) / 4.0,
                ((first, last),),
                effect=effect,
                detection_s=draw(st.sampled_from([0.0, 2.0, 15.0])),
                repair_s=draw(st.sampled_from([0.5, 20.0, 60.0])) if effect != "software" else 0.0,
                slowdown=2.0 if effect == "straggler" else 1.0,
            )
        )
    return tuple(sorted(found, key=lambda event: event.time_s))
