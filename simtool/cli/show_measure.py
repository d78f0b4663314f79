"""Tables of what was measured, and the effect files that come of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from simtool.cli import console
from simtool.errors import InputError
from simtool.units import display

if TYPE_CHECKING:
    from simtool.engine.experiment import MethodResult, Spread
    from simtool.engine.measure import RunSummary
    from simtool.engine.suites.suite import SuiteOutcome
    from simtool.engine.wrap import CommandCost

SHOWN_PHASES = ("score", "forward", "backward_input", "backward_weight", "optimizer", "prepare")
TIMELINE = "timeline.perfetto.json.gz"
KNOWN_FRAC = 0.1
"""Standard error of a power by phase, as a share of it, above which it is not shown."""
SHORT = {"backward_input": "backward-in", "backward_weight": "backward-w"}


def runs(results: Sequence[MethodResult], out: Path, *, as_json: bool) -> None:
    """Quality, operations, time and energy by method; effect files beside the traces."""
    effects, refusals = _effects(results, out)
    if as_json:
        console.say_json(
            {"methods": [_plain(result) for result in results], "effects": [str(path) for path in effects]}
        )
        return
    first = results[0].runs[0]
    several = f", {first.num_processes} processes" if first.num_processes > 1 else ""
    better = "higher" if first.higher_is_better else "lower"
    console.say(
        f"{first.task} ({first.family}, {first.num_parameters:,} parameters{several}), {len(results[0].runs)} "
        f"seed{'s' if len(results[0].runs) > 1 else ''} a method; {first.metric} of the test part: {better} is better",
        style="bold",
    )
    console.line("")
    _figures(results)
    _phases(results)
    for result in results:
        if by_phase := mean_power_w(result.runs):
            told = ", ".join(f"{phase} {display(power_w, 'W', 3)}" for phase, power_w in by_phase.items())
            console.say(f"power of {result.method}, measured: {told}")
        for run in result.runs:
            if run.status != "finished":
                console.say(f"note: {result.method}, seed {run.seed}: {run.status}: {run.reason}")
    kinds = sorted({run.energy_kind for result in results for run in result.runs})
    if "modelled" in kinds:
        console.say(
            f"note: energy is modelled ({first.energy_source}), not measured: compare operations and time"
        )
    if len(results[0].runs) < 5:
        console.say("note: fewer than 5 seeds: differences of a standard deviation mean nothing")
    for text in refusals:
        console.say(f"note: {text}")
    for path in effects:
        console.line(f"effect file: {path}")


def mean_power_w(runs: Sequence[RunSummary]) -> dict[str, float]:
    """Power by phase, the mean over runs, of phases whose power is known to a tenth in each of them."""
    told = [
        {
            phase: power_w
            for phase, (power_w, error_w) in run.power_by_phase_w.items()
            if error_w <= KNOWN_FRAC * power_w
        }
        for run in runs
    ]
    return {
        phase: fmean(one[phase] for one in told) for phase in told[0] if all(phase in one for one in told)
    }


def _figures(results: Sequence[MethodResult]) -> None:
    metric = results[0].runs[0].metric
    base = results[0]
    is_measured = all(run.energy_kind == "measured" for one in results for run in one.runs)
    headings = ["method", metric, "operations", "ratio", "time", "ratio "]
    headings += ["energy", "energy saved"] if is_measured else ["energy*"]
    table = console.table(headings, right=headings[1:])
    for result in results:
        table.add_row(
            _lines(result.method),
            _spread(result.quality),
            display(result.flop.mean, "FLOP", 3),
            _ratio(result.flop, base.flop),
            display(result.duration_s.mean, "s", 3),
            _ratio(result.duration_s, base.duration_s),
            "n/a" if math.isnan(result.energy_j.mean) else display(result.energy_j.mean, "J", 3),
            *([_saved(result.energy_j, base.energy_j)] if is_measured else []),
        )
    console.show(table)


def _phases(results: Sequence[MethodResult]) -> None:
    headings = ["share", *(SHORT.get(phase, phase) for phase in SHOWN_PHASES)]
    table = console.table(headings, right=headings[1:])
    for result in results:
        total = {
            phase: sum(run.flop_by_phase.get(phase, 0.0) for run in result.runs) for phase in SHOWN_PHASES
        }
        whole = sum(total.values())
        cells = (f"{value / whole:.1%}" if whole and value else "-" for value in total.values())
        table.add_row(_lines(result.method), *cells)
    console.show(table)


def _lines(method: str) -> str:
    """One method a line, so that the table stays narrow."""
    return method.replace("+", "+\n")


def _spread(spread: Spread) -> str:
    if math.isnan(spread.mean):
        return "n/a"
    return f"{spread.mean:.4f}" + ("" if math.isnan(spread.deviation) else f" ± {spread.deviation:.4f}")


def _ratio(part: Spread, whole: Spread) -> str:
    return f"{part.mean / whole.mean:.2f}" if whole.mean else "n/a"


def _saved(part: Spread, whole: Spread) -> str:
    """Share of the first method's energy that was not drawn; only what was measured may say so."""
    return f"{1.0 - part.mean / whole.mean:.1%}" if whole.mean else "n/a"


def _plain(result: MethodResult) -> dict[str, Any]:
    def known(value: Any) -> Any:
        return None if isinstance(value, float) and math.isnan(value) else value

    figures = {name: asdict(getattr(result, name)) for name in ("quality", "flop", "duration_s", "energy_j")}
    return {
        "method": result.method,
        **{name: {key: known(value) for key, value in figure.items()} for name, figure in figures.items()},
        "runs": [{key: known(value) for key, value in asdict(run).items()} for run in result.runs],
    }


def _effects(results: Sequence[MethodResult], out: Path) -> tuple[list[Path], list[str]]:
    """Effect files of the methods that were measured beside none, and why some could not be written."""
    from simtool.engine.effect import effect_document, write_effect
    from simtool.engine.experiment import folder_name
    from simtool.engine.run_trace import read_run

    reference = next((result for result in results if result.method == "none"), None)
    if reference is None:
        return [], []
    written, refusals = [], []
    base = [read_run(Path(run.folder)) for run in reference.runs if run.status == "finished"]
    for result in results:
        if result is reference or result.num_failed:
            continue
        first = result.runs[0]
        name = folder_name(f"{folder_name(first.task)}-{result.method}".replace("+", "-"))
        path = out / folder_name(first.task) / f"{name}.yaml"
        notes = (
            f"{first.metric} {_spread(result.quality)} with the method, {_spread(reference.quality)} without, "
            "at the same budget; the effect says what the steps cost, not that the quality is equal"
        )
        try:
            traces = [read_run(Path(run.folder)) for run in result.runs if run.status == "finished"]
            document = effect_document(
                base, traces, name=name, family=first.family, notes=notes,
                title=f"{result.method} on {first.task}, as measured",
            )  # fmt: skip
        except InputError as error:
            refusals.append(f"no effect file of {result.method}: {error}")
            continue
        write_effect(path, document)
        written.append(path)
    return written, refusals


def timelines(folders: Sequence[Path]) -> None:
    """A picture of every trace, with power as counters, for ui.perfetto.dev."""
    from simtool.engine.run_trace import read_run
    from simtool.trace.perfetto import write_perfetto
    from simtool.trace.reader import read_trace

    for folder in folders:
        is_trace = (folder / "manifest.yaml").is_file()
        path = folder / TIMELINE
        write_perfetto(read_trace(folder) if is_trace else read_run(folder), path)
        console.tell(f"timeline: {path}")


def suite(outcome: SuiteOutcome, *, as_json: bool) -> None:
    """What a suite measured, and what to do with it."""
    if as_json:
        console.say_json({**asdict(outcome), "folder": str(outcome.folder)})
        return
    console.say(
        f"{outcome.device}: {outcome.num_measured} points measured, {outcome.num_left} left", style="bold"
    )
    for name, reason in sorted(outcome.skipped.items())[:5]:
        console.say(f"note: skipped {name}: {reason}")
    if len(outcome.skipped) > 5:
        console.say(f"note: {len(outcome.skipped) - 5} more were skipped")
    console.say(f"power: {outcome.power_kind}")
    if not outcome.is_complete:
        console.say("note: the same command goes on with what is left")
    console.line(f"simtool calibrate {outcome.folder} -o hardware_profiles/my-device.yaml")


def command(cost: CommandCost, *, as_json: bool) -> None:
    """Time and energy of a command."""
    if as_json:
        console.say_json({**asdict(cost), "energy_j": None if math.isnan(cost.energy_j) else cost.energy_j})
        return
    energy = "n/a" if math.isnan(cost.energy_j) else display(cost.energy_j, "J", 3)
    console.say(
        f"{display(cost.wall_s, 's', 4)} on the wall, {display(cost.processor_s, 's', 4)} of processor time, "
        f"{energy} ({cost.energy_kind}, {cost.energy_source}), exit code {cost.exit_code}"
    )
    console.line(f"trace: {cost.folder}")
