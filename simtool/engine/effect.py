"""From traces with and without a method to the effect file that the simulator reads.

Work fractions are operations of a step with the method over operations of a step without, phase by
phase, in stretches of progress. What a method does once (counting, cache filling, surgery) and more
or fewer steps are in the number of steps. AdamW does no counted operation, so the optimizer's
fraction is one of time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from simtool.config.dump import Inline, dump_yaml
from simtool.errors import InputError, OutputError, Problem
from simtool.trace.reader import Trace
from simtool.trace.schema import OUTSIDE

EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Stretches of progress."""
WORK = {
    "forward_frac": "forward",
    "backward_input_frac": "backward_input",
    "backward_weight_frac": "backward_weight",
}
TOLERANCE = 1e-6
MUON, ORTHOGONALISE = "muon", "orthogonalise"
"""The rewrite of Muon reads the optimizer's fraction as 1 and the orthogonalisations of a step, of five
iterations each, and prices them by the shapes of the simulated model; a ratio of times would carry the
small model's over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What one trace says about its steps."""

    num_steps: int
    stretches: tuple[Mapping[str, float], ...]
    """Mean work of a step in each stretch: operations by phase, and ``optimizer_s``."""
    prepare_flop: float
    step_flop: float
    """Mean operations of a step."""


def effect_document(
    reference: Sequence[Trace], method: Sequence[Trace], *, name: str, family: str, title: str, notes: str
) -> dict[str, Any]:
    """The effect of a method against the same task without it.

    Args:
        reference: finished traces without the method, one a seed; of a run in parts, all as one (`read_run`).
        method: finished traces with it, one a seed, of the same task and budget.
        name: of the effect, the stem of its file.
        family: architecture family, as the task names it.
        title: one line for people.
        notes: how the quality compares; what else a reader must know.

    Raises:
        InputError: if a trace is missing, not finished, or of another task or budget.
    """
    _check(reference, method)
    without = [_read(trace) for trace in reference]
    base = _mean([stretch for run in without for stretch in run.stretches])
    base_steps = fmean(run.num_steps for run in without)
    base_step_flop = fmean(run.step_flop for run in without)
    runs = [_read(trace) for trace in method]
    is_muon = _rewrite(method[0].manifest.method) == MUON
    fracs = [[_fractions(stretch, base, is_muon=is_muon) for stretch in run.stretches] for run in runs]
    steps = [(run.num_steps + run.prepare_flop / base_step_flop) / base_steps for run in runs]
    first = method[0].manifest
    phases = []
    for index, (begin, end) in enumerate(pairwise(EDGES)):
        values = {key: [one[index][key] for one in fracs] for key in fracs[0][index]}
        spread = max(_error(each) for each in values.values())
        rounded = {key: _work(key, fmean(each), first.method) for key, each in values.items()}
        phases.append(
            {"progress": [begin, end], **rounded, "communication_frac": 1.0, "spread": round(spread, 4)}
        )
    parameters = float(first.num_parameters or 0)
    return {
        "schema": "simtool/effect/1",
        "name": name,
        "title": title,
        "method": first.method.split("+")[-1].partition(":")[0]
        if "+" not in first.method
        else "fewer-operations",
        "evidence": "measured",
        "source": (
            f"simtool measure {first.task} --method {first.method} --budget '{first.budget}', {len(runs)} seeds; "
            f"torch {first.software.torch}, {first.device.name or first.device.kind}"
        ),
        "scope": {
            "family": family,
            "parameters": [parameters, parameters],
            "device": first.device.kind,
            "tasks": [first.task],
        },
        "phases": _merged(phases),
        "steps_frac": Inline(value=round(fmean(steps), 4), spread=round(_error(steps), 4)),
        "notes": notes,
    }


def write_effect(path: Path, document: Mapping[str, Any]) -> None:
    """Write an effect file, whole or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    beside = path.with_suffix(path.suffix + ".tmp")
    try:
        beside.write_text(dump_yaml(document), "utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error


def _check(reference: Sequence[Trace], method: Sequence[Trace]) -> None:
    if not reference or not method:
        raise InputError(
            Problem("", "effect", "no finished trace on one side", "one and more with and without the method")
        )
    wanted = reference[0].manifest
    for trace in (*reference, *method):
        found = trace.manifest
        if found.status != "finished" or (found.task, found.budget) != (wanted.task, wanted.budget):
            raise InputError(
                Problem(
                    str(trace.folder),
                    "effect",
                    f"is a {found.status} trace of {found.task} with {found.budget}",
                    f"finished traces of {wanted.task} with {wanted.budget}",
                    "measure both sides with the same task and budget",
                )
            )


def _read(trace: Trace) -> _Run:
    flop: dict[str, dict[str, float]] = {}
    optimizer_s: dict[str, float] = {}
    for row in trace.phases.to_pylist():
        flop.setdefault(row["signature"], {})[row["phase"]] = row["flop"]
        if row["phase"] == "optimizer":
            optimizer_s[row["signature"]] = row["mean_s"]
    for row in trace.ops.to_pylist():
        if row["phase"] in ("backward_input", "backward_weight"):
            of_step = flop.setdefault(row["signature"], {})
            key = f"ops {row['phase']}"
            of_step[key] = of_step.get(key, 0.0) + row["flop"]
    once = flop.pop(OUTSIDE, {})
    steps = trace.steps.to_pylist()
    if not steps:
        raise InputError(Problem(str(trace.folder), "steps", "the trace has no step", "at least one"))
    rows_of: list[list[str]] = [[] for _ in EDGES[1:]]
    for number, row in enumerate(steps):  # of all steps, as the simulator means progress, not of the budget
        rows_of[number * len(rows_of) // len(steps)].append(row["signature"])
    stretches = []
    last: Mapping[str, float] = {}
    for signatures in rows_of:
        if signatures:  # with fewer steps than stretches, one holds what stood before
            work = [_of_step(flop[one], optimizer_s.get(one, 0.0)) for one in signatures]
            share = sum(ORTHOGONALISE in one for one in signatures) / len(signatures)
            last = {**_mean(work), ORTHOGONALISE: share}
        stretches.append(last)
    return _Run(
        num_steps=len(steps),
        stretches=tuple(stretches),
        prepare_flop=sum(value for key, value in once.items() if key == "prepare"),
        step_flop=fmean(_total(flop[row["signature"]]) for row in steps),
    )


def _rewrite(method: str) -> str:
    """The rewrite that prices these methods: the only one's, Muon's wherever it is, else the common one."""
    names = [part.strip().partition(":")[0] for part in method.split("+")]
    if MUON in names:
        return MUON
    return names[0] if len(names) == 1 else "fewer-operations"


def _of_step(flop: Mapping[str, float], optimizer_s: float) -> dict[str, float]:
    return {
        "forward": flop.get("forward", 0.0),
        "backward_input": flop.get("ops backward_input", flop.get("backward_input", 0.0)),
        "backward_weight": flop.get("ops backward_weight", flop.get("backward_weight", 0.0)),
        "score": flop.get("score", 0.0),
        "optimizer_s": optimizer_s,
    }


def _total(flop: Mapping[str, float]) -> float:
    return sum(value for key, value in flop.items() if not key.startswith("ops ") and key != "eval")


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: fmean(row[key] for row in rows) for key in rows[0]}


def _fractions(stretch: Mapping[str, float], base: Mapping[str, float], *, is_muon: bool) -> dict[str, float]:
    found = {key: _ratio(stretch[phase], base[phase]) for key, phase in WORK.items()}
    of_time = _ratio(stretch["optimizer_s"], base["optimizer_s"])
    found["optimizer_frac"] = 1.0 + stretch[ORTHOGONALISE] if is_muon else of_time
    found["score_frac"] = _ratio(stretch["score"], base["forward"]) if stretch["score"] else 0.0
    return found


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else 1.0


def _work(key: str, value: float, method: str) -> float:
    if key in WORK and value > 1.0 + TOLERANCE:
        raise InputError(
            Problem(
                "",
                key,
                f"a step of {method} does {value:.3f} of the reference's work",
                "at most 1",
                "compare with a reference of the same batch size",
            )
        )
    return round(min(value, 1.0) if key in WORK else value, 4)


def _error(values: Sequence[float]) -> float:
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _merged(phases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring stretches with the same work become one."""
    merged: list[dict[str, Any]] = []
    for phase in phases:
        if merged and all(abs(merged[-1][key] - phase[key]) < 5e-3 for key in WORK):
            merged[-1]["progress"] = [merged[-1]["progress"][0], phase["progress"][1]]
        else:
            merged.append(dict(phase))
    return merged
