"""Traces with damage in them: one clear refusal or a result, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simtool.calibrate.profiled_calibration import calibrate_runs
from simtool.calibrate.profiled_runs import read_runs
from simtool.errors import InputError
from simtool.profiles.find import default_library
from tests.calibrate.made_profile import Maker, Truth, rows

LIBRARY = default_library()
VALUES = st.sampled_from(
    [None, -1, 0, 1e-30, 1e30, float("nan"), float("inf"), "", "x", [], [[]], [[-1, 2], [2, 3]], [[0, 0], [0, 0]],
     [[10**15, 10**15], [10**15, 10**15]], [["a"], [None]], {}, True]
)  # fmt: skip
FIELDS = ("ts", "dur", "pid", "tid", "name", "cat", "args")
ARGUMENTS = (
    "Input Dims",
    "Input type",
    "Input Strides",
    "Concrete Inputs",
    "correlation",
    "device",
    "stream",
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    make = Maker(Truth())
    for step in (1, 2):
        begin_us = make.now_us
        for sizes in rows(2048):
            make.product(*sizes)
        for heads in (8, 16, 32):
            make.attention(1, heads, 1024, 64)
            make.attention(1, heads, 1024, 64, backward=True)
        for exponent in range(14, 24, 2):
            make.addition(2**exponent)
        make.record.step(step, begin_us - 10, make.now_us - begin_us + 5)
    return make.document()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from([*FIELDS, *ARGUMENTS]), VALUES),
        min_size=1,
        max_size=12,
    )
)
def test_damaged_events(
    document: dict[str, Any], tmp_path: Path, changes: list[tuple[int, str, Any]]
) -> None:
    damaged = json.loads(json.dumps(document))
    events = damaged["traceEvents"]
    for place, name, value in changes:
        event = events[place % len(events)]
        if name in FIELDS:
            event[name] = value
        elif isinstance(event.get("args"), dict):
            event["args"][name] = value
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(damaged), "utf-8")
    try:
        found = calibrate_runs(read_runs([str(path)]), "mine", LIBRARY)
    except InputError:
        return
    for fit, _ in found.fits.values():
        for one in fit.estimates.values() if fit is not None else ():
            assert 0.0 < one.value < float("inf")
