"""Software profiles of the stacks: what a fit to all rows says, as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from simtool.units import MEGA
from simtool.validate.vision.cases import VisionCase
from simtool.validate.vision.constants import CONSTANTS, Constant
from simtool.validate.vision.fit import Floats, Rows, Values, constant_of
from simtool.validate.vision.names import BASE, TITLES

BY_NAME: Mapping[str, Constant] = {one.name: one for one in CONSTANTS}
LEAST_ROWS = 2
"""Rows of a stack that make a profile."""
FIT = "regularised fit to published rows of images, encoders and recommenders"
PRIOR = "prior; the published rows do not move it"
UNMOVED = 0.01
"""Departure, in the logarithm, up to which a constant is said to stand at its prior."""
SPREADS = {
    "launch_floor_s": 0.5,
    "step_constant_s": 0.6,
    "memory_ratio": 0.2,
    "input_rate": 0.3,
    "device_ratio": 0.12,
    "dp_exposed": 0.4,
    "ep_exposed": 0.4,
    "straggler": 0.4,
}
SHARED_SPREAD = 0.15


def profile_texts(rows: Rows, values: Values, out_of_fold: Floats) -> dict[str, str]:
    """Text of every stack's profile by name.

    Args:
        rows: all rows.
        values: departures of a fit to all of them.
        out_of_fold: step times from constants that were fitted without the row's fold, for the stated accuracy [s].
    """
    errors = np.abs(np.log(out_of_fold) - rows.log_measured)
    found = {}
    for stack in sorted({case.config.stack for case in rows.cases} & set(TITLES)):
        chosen = np.array([case.config.stack == stack for case in rows.cases])
        if chosen.sum() >= LEAST_ROWS:
            cases = [case for case in rows.cases if case.config.stack == stack]
            families = rows.families[chosen]
            found[stack] = "\n".join(_lines(stack, cases, values, families, errors[chosen])) + "\n"
    return found


def _lines(
    stack: str, cases: list[VisionCase], values: Values, families: np.ndarray, errors: Floats
) -> Iterator[str]:
    one = cases[0]
    by_architecture = {case.architecture: case for case in cases}
    by_family = np.array([np.mean(errors[families == name]) for name in sorted(set(families))])
    yield f"# Fitted to {len(cases)} published rows by simtool.validate.vision: do not edit, fit again."
    yield "schema: simtool/software/1"
    yield f"extends: {BASE}.yaml"
    yield f"name: {stack}"
    yield f'title: "{TITLES[stack]}"'
    yield f"seen: [{', '.join(sorted(by_architecture))}]"
    yield "accuracy:"
    yield f"  num_rows: {len(cases)}"
    yield f"  num_families: {len(by_family)}"
    for name, error in (("median", np.median(by_family)), ("p90", np.percentile(by_family, 90))):
        text = f"{float(np.expm1(error)):.3f}"
        yield f'  {name}_error: {{value: {text}, kind: calibrated, source: "simtool validate --check vision"}}'
    yield ""
    yield f"launch_floor: {_number('launch_floor_s', one, values, ' s')}"
    yield f"step_constant: {_number('step_constant_s', one, values, ' s')}"
    yield f"dp_exposed: {_number('dp_exposed', one, values)}"
    if one.config.model.kind == "recommender":
        yield f"ep_exposed: {_number('ep_exposed', one, values)}"
    yield f"straggler: {_number('straggler', one, values)}"
    if one.config.model.kind in ("convnet", "vision"):
        yield f"input_rate: {_number('input_rate', one, values, ' MB/s', MEGA)}"
    yield f"memory_ratio: {_number('memory_ratio', one, values)}"
    yield "architecture_ratio:"
    alone = {key: value for key, value in values.items() if key[1] == 0}
    yield f"  default: {_number('device_ratio', one, alone, spread=0.2)}"
    for architecture, case in sorted(by_architecture.items()):
        yield f"  {architecture}: {_number('device_ratio', case, values)}"
    yield f"attention: {'flash' if one.config.is_fused else 'unfused'}"


def base_lines(rows: Rows, values: Values) -> Iterator[str]:
    """What all stacks share, for the profile that the others extend."""
    one = rows.cases[0]
    yield f"unfused_ratio: {_number('unfused_ratio', one, values)}"
    yield "attention_ratio:"
    yield f"  default: {_number('attention_ratio', one, values)}"
    for title, names in (
        ("low_precision_ratio", ("fp32", "tf32", "fp8")),
        ("irregular_ratio", ("depthwise", "lookup")),
    ):
        yield f"{title}:"
        for name in names:
            yield f"  {name}: {_number(name, one, values)}"


def _number(
    name: str,
    case: VisionCase,
    values: Values,
    unit: str = "",
    scale: float = 1.0,
    spread: float | None = None,
) -> str:
    one = BY_NAME[name]
    value, prior = constant_of(one, case, values), one.prior(case)
    moved = abs(float(np.log(value / prior))) > UNMOVED
    kind, source = ("calibrated", FIT) if moved else ("assumed", PRIOR)
    spread = SPREADS.get(name, SHARED_SPREAD) if spread is None else spread
    return f'{{value: {value / scale:.3g}{unit}, kind: {kind}, source: "{source}", spread: {spread}}}'
