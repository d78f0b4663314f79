"""A small result made by hand, so that figures and run folders are tested apart from the simulator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from simtool.account.costs import CostLine, Portion
from simtool.config.load import load_scenario
from simtool.config.scenario import Layout, Money
from simtool.ledger import Ledger, Pattern, Share
from simtool.provenance import Derived, Input, Sourced
from simtool.result.result import Comparison, PhaseEstimate, Result
from simtool.step.estimate import STEP_PARTS, MemoryEstimate, StepEstimate

SCENARIO = Path(__file__).resolve().parents[2] / "scenarios" / "quickstart.yaml"
DAY_S = 86400.0
NUM_DEVICES = 64
NUM_STEPS = 1000
PUE = Sourced(value=1.15, unit="", kind="assumed", source="by hand")
PRICE = Sourced(value=2.0, unit="USD/h", kind="published", source="a list")


def pattern(name: str, state: str, board_w: float) -> Pattern:
    return Pattern(name=name, shares=(Share(state=state, device_frac=1.0, power_w=(board_w, 150.0, 20.0)),))


def ledger(work_s: float) -> Ledger:
    """Work, one checkpoint every day, one failure: the record of a run by hand."""
    record = Ledger()
    now_s, left_s = 0.0, work_s
    while left_s > 0:
        stretch_s = min(left_s, DAY_S)
        record.append(now_s, now_s + stretch_s, "job", pattern("training", "compute", 600.0), NUM_DEVICES)
        now_s, left_s = now_s + stretch_s, left_s - stretch_s
        record.append(now_s, now_s + 600.0, "job", pattern("saving", "checkpoint", 200.0), NUM_DEVICES)
        now_s += 600.0
    record.append(now_s, now_s + 3600.0, "job", pattern("again", "lost_work", 600.0), NUM_DEVICES)
    return record


def estimate(work_frac: float) -> StepEstimate:
    seconds = dict.fromkeys(STEP_PARTS, 0.0) | {
        "forward": 1.0 * work_frac,
        "backward_input": 1.0 * work_frac,
        "backward_weight": 1.0 * work_frac,
        "data_communication": 0.3,
        "bubble": 0.2,
        "optimizer": 0.05,
    }
    return StepEstimate(
        seconds=dict(seconds),
        power={},
        memory=MemoryEstimate(
            weights_bytes=16e9,
            gradients_bytes=8e9,
            optimizer_bytes=4e9,
            activations_bytes=20e9,
            workspace_bytes=2e9,
            capacity_bytes=80e9,
        ),
        num_devices=NUM_DEVICES,
        tokens_per_step=4e6,
        model_flop_per_step=2e17,
        hardware_flop_per_step=2e17 * (0.1 + 0.9 * work_frac),
        peak_flop_per_s=989e12,
        power_peak_w=650.0,
    )


def quantities(record: Ledger, end_s: float) -> dict[str, Derived]:
    energy = Derived(name="energy_it_j", value=record.energy_j(), unit="J", formula="sum of power x time")
    board = record.energy_j(component="accelerator")
    hours = NUM_DEVICES * end_s / 3600.0
    duration = Derived(name="duration_s", value=end_s, unit="s", formula="simulated")
    paid = Derived(
        name="accelerator_hours", value=hours, unit="h", formula="duration x devices", inputs=(duration,)
    )
    found = (
        duration,
        paid,
        Derived(name="step_time_s", value=2.5, unit="s", formula="sum of parts"),
        Derived(name="energy_accelerator_j", value=board, unit="J", formula="sum of power x time"),
        energy,
        Derived(
            name="energy_facility_j",
            value=energy.value * PUE.value,
            unit="J",
            formula="energy_it x PUE",
            inputs=(energy, Input("PUE", PUE)),
        ),
        Derived(
            name="cost_total_usd",
            value=hours * PRICE.value,
            unit="USD",
            formula="accelerator_hours x price",
            inputs=(paid, Input("price", PRICE)),
        ),
        Derived(
            name="carbon_total_kgco2e",
            value=energy.value / 3.6e6 * 0.4,
            unit="kgCO2e",
            formula="energy x 0.4",
        ),
    )
    return {one.name: one for one in found}


def run(work_frac: float) -> Result:
    loaded = load_scenario(SCENARIO)
    record = ledger(work_frac * 10 * DAY_S)
    end_s = float(record.breakpoints_s[-1])
    found = quantities(record, end_s)
    bill = found["cost_total_usd"]
    line = CostLine(
        name="rent",
        amount=bill,
        driver="device time",
        money=Money(year=2025, kind="nominal"),
        portions=(Portion(state="compute", component="device", amount=bill.value),),
    )
    outcome = SimpleNamespace(ledger=record, end_s=end_s, events=(), jobs=())
    return Result(
        loaded=loaded,
        model=cast("Any", SimpleNamespace(num_parameters=8_030_261_248)),
        layout=Layout(tp=1, pp=1, dp=64),
        num_devices=NUM_DEVICES,
        global_batch=512,
        phases=(PhaseEstimate(progress=(0.0, 1.0), num_steps=NUM_STEPS, estimate=estimate(work_frac)),),
        outcome=cast("Any", outcome),
        costs=(line,),
        quantities=found,
        intervals={},
        ranges={},
        notes=("made by hand",),
        observed=(
            Comparison(
                name="accelerator_hours",
                unit="h",
                predicted=found["accelerator_hours"].value,
                observed=20_000.0,
                kind="published",
                source="a paper",
            ),
        ),
        reference=None,
        profile_digests={"accelerator/h100-sxm": "0" * 64},
    )


def with_method() -> Result:
    """A run with a method that saves 40 % of the computation, and the run without it."""
    return replace(run(0.6), reference=run(1.0))
