"""A profile that is inconsistent in itself is refused, at the place where it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.schema import Power
from tests.profiles.conftest import Write


def number(value: object, kind: str = "published", **more: object) -> dict[str, object]:
    return {"value": value, "kind": kind, "source": "a test", **more}


def refused(write: Write, kind: str, name: str, fields: dict[str, Any]) -> InputError:
    path = write(kind, name, "mine", fields)
    folder = path.parents[0 if kind == "accelerator" else 1]
    with pytest.raises(InputError) as caught:
        ProfileLibrary((folder,)).get(kind, "mine")
    return caught.value


def test_an_assumption_states_its_spread(write: Write) -> None:
    fields = {"power.idle": number("60 W", "assumed"), "memory.size": number("80 GB", "assumed")}
    error = refused(write, "accelerator", "h100-sxm", fields)
    assert {problem.field for problem in error.problems} == {"power.idle", "memory.size"}
    assert all("spread: 0.2" in problem.mend for problem in error.problems)


def test_a_spread_mends_it(write: Write, tmp_path: Path) -> None:
    write("accelerator", "h100-sxm", "mine", {"price": number("9 USD", "assumed", spread=0.2)})
    price = ProfileLibrary((tmp_path,)).get("accelerator", "mine").price
    assert price is not None
    assert price.spread == 0.2


@pytest.mark.parametrize(("idle", "said"), [("700 W", "below the limit"), ("250 W", "by_phase.waiting")])
def test_a_board_idles_below_its_limit_and_below_any_work(write: Write, idle: str, said: str) -> None:
    (problem,) = refused(write, "accelerator", "h100-sxm", {"power.idle": number(idle)}).problems
    assert problem.field == "power.idle"
    assert said in str(problem)


@given(
    idle_w=st.floats(0.0, 1000.0),
    limit_w=st.floats(1.0, 1000.0),
    phases=st.tuples(*[st.floats(0.01, 1.5)] * 4),
)
def test_what_power_is_accepted_can_be_drawn(
    idle_w: float, limit_w: float, phases: tuple[float, ...]
) -> None:
    names = ("compute", "memory", "communication", "waiting")
    written = {
        "idle": number(f"{idle_w!r} W"),
        "limit": number(f"{limit_w!r} W"),
        "by_phase": {name: number(value) for name, value in zip(names, phases, strict=True)},
        "cap_exponent": number(2.0),
    }
    possible = idle_w < limit_w and idle_w <= limit_w * min(phases)
    try:
        Power.model_validate(written, context={})
    except ValueError:
        assert not possible
    else:
        assert possible


def test_power_may_be_unknown(shipped: ProfileLibrary) -> None:
    power = shipped.get("accelerator", "tpu-v5p").power
    assert power.limit is None
    assert power.idle is None


@pytest.mark.parametrize("dtype", ["bf16", "fp8", "tf32"])
def test_a_sparse_rate_among_dense_ones_is_refused(write: Write, shipped: ProfileLibrary, dtype: str) -> None:
    sparse = 2.0 * shipped.get("accelerator", "h100-sxm").peak[dtype].value
    error = refused(write, "accelerator", "h100-sxm", {f"peak.{dtype}": number(f"{sparse} FLOP/s")})
    assert any(problem.field == "peak" and "sparse" in problem.mend for problem in error.problems)


def test_nobody_measures_more_than_the_peak(write: Write) -> None:
    error = refused(write, "accelerator", "h100-sxm", {"fastest.bf16": number("990 TFLOP/s")})
    assert [problem.field for problem in error.problems] == ["fastest"]


@pytest.mark.parametrize("bandwidth", ["3.35 GB/s", "3350 TB/s"])
def test_a_slip_of_a_thousand_in_a_unit_is_seen(write: Write, bandwidth: str) -> None:
    error = refused(write, "accelerator", "h100-sxm", {"memory.bandwidth": number(bandwidth)})
    assert "check the units" in str(error)


def test_an_unknown_dtype_is_refused(write: Write) -> None:
    (problem,) = refused(write, "accelerator", "h100-sxm", {"peak.bf61": number("1 TFLOP/s")}).problems
    assert problem.field == "peak"
    assert "'bf16'" in problem.mend


@pytest.mark.parametrize(("field", "value"), [("host_load", "1 kW"), ("power_max", "2 kW")])
def test_a_host_idles_below_its_load_and_that_below_the_rating(write: Write, field: str, value: str) -> None:
    (problem,) = refused(write, "node", "dgx-h100", {field: number(value)}).problems
    assert problem.field in ("host_idle", "host_load")


def test_a_framework_has_an_attention_ratio_for_any_architecture(write: Write) -> None:
    (problem,) = refused(write, "software", "megatron-core", {"attention_ratio.default": None}).problems
    assert problem.field == "attention_ratio"


def test_all_complaints_come_at_once(write: Write) -> None:
    fields = {
        "power.idle": number("800 W"),
        "memory.size": "80 GB",
        "vender": "NVIDIA",
    }
    error = refused(write, "accelerator", "h100-sxm", fields)
    assert {problem.field for problem in error.problems} >= {"power.idle", "memory.size", "vender"}
