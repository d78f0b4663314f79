"""The text of `run --dry-run` and of `check -v`: what would be executed, and how long a step takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from simtool import units
from simtool.cli import console
from simtool.cli.inputs import Target
from simtool.cli.show_run import memory_line

if TYPE_CHECKING:
    from simtool.result.prepare import Prepared


def show(chosen: Target, out: Path, *, as_json: bool) -> None:
    """Print the plan of a scenario; nothing is simulated or written."""
    from simtool.result.folder import is_whole, run_folder
    from simtool.result.prepare import prepare

    prepared = prepare(chosen.loaded, chosen.library)
    known = prepared.profile_digests
    folder = run_folder(out, prepared.scenario, known, chosen.seeds)
    plan = describe(prepared) | {"folder": str(folder), "exists": is_whole(folder)}
    if as_json:
        console.say_json(plan)
        return
    layout = plan["layout"]
    console.say(
        f"{plan['scenario']}: {plan['num_devices']:,} {plan['accelerator']}, tp {layout['tp']} "
        f"x pp {layout['pp']} x dp {layout['dp']}, ZeRO {layout['zero']}, "
        f"micro-batch {layout['micro_batch']}",
        style="bold",
    )
    console.say(
        f"{plan['num_steps']:,} steps of {units.display(plan['step_time_s'], 's')}, MFU {plan['mfu']:.1%}: "
        f"{units.display(plan['work_s'], 's')} without failures and checkpoints"
    )
    console.say(memory_line(plan["memory_bytes"]))
    for note in plan["notes"]:
        console.say(f"note: {note}")
    what = "is there already" if plan["exists"] else "would be written"
    console.line(f"{folder} {what}; simulating takes seconds")


def describe(prepared: Prepared) -> dict[str, Any]:
    """A prepared scenario as plain data.

    Raises:
        InfeasibleError: it could not be simulated, e.g. for millions of checkpoints.
    """
    from simtool.result.plan import build_plan

    build_plan(prepared)
    memory = prepared.plain.memory
    parts = ("weights", "gradients", "optimizer", "activations", "workspace", "total", "capacity")
    work_s = sum(phase.num_steps * float(phase.estimate.step_time_s) for phase in prepared.phases)
    first = prepared.phases[-1].estimate
    return {
        "scenario": prepared.scenario.name,
        "accelerator": prepared.scenario.cluster.accelerator,
        "num_devices": int(float(prepared.layouts.num_devices)),
        "layout": prepared.layout.model_dump(mode="json"),
        "num_steps": prepared.num_steps,
        "step_time_s": float(first.step_time_s),
        "mfu": float(first.mfu),
        "hfu": float(first.hfu),
        "work_s": work_s,
        "memory_bytes": {part: float(getattr(memory, f"{part}_bytes")) for part in parts},
        "notes": list(prepared.notes),
    }
