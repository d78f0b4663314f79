"""A job under caps: monotone, within the cap, and by what bounds its operations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.config.scenario import Cluster
from simtool.errors import InfeasibleError, InputError
from simtool.layout.layouts import Layouts
from simtool.machine.build import build_machine
from simtool.machine.power_caps import least_cap_w, machine_under_cap
from simtool.profiles.find import default_library
from simtool.provenance import Sourced
from simtool.step.cap_response import CapResponse, cap_response
from simtool.step.step import Job, estimate_step

LIBRARY = default_library()
LAYOUT = Layouts(
    tp=2.0, pp=1.0, vpp=1.0, dp=4.0, zero=1.0, micro_batch=1.0, sequence_parallel=True, num_micro_batches=8.0
)
ACCELERATORS = ("h100-sxm", "a100-sxm-80", "b200-sxm", "b300-sxm", "v100-sxm2-32")


def machine(accelerator="h100-sxm", cap_w=None):
    cap = None if cap_w is None else Sourced(value=cap_w, unit="W", kind="assumed", source="test")
    cluster = Cluster(accelerator=accelerator, num_nodes=1, power_cap=cap)
    return build_machine(LIBRARY, cluster, "megatron-core", attention=None, power_limit_w=None, locate=str)


def job(accelerator="h100-sxm"):
    precision = "fp16" if accelerator.startswith("v100") else "bf16"
    model = LIBRARY.get("model", "llama3.1-8b").shape()
    return Job(model=model, seq_len=4096, precision=precision, recompute="none", attention="flash")


RESPONSES = {name: cap_response(job(name), LAYOUT, machine(name)) for name in ACCELERATORS}


@pytest.mark.parametrize("cap_w", [350.0, 500.0, 650.0])
def test_a_machine_under_a_cap_is_that_of_a_scenario_with_it(cap_w):
    written, changed = machine(cap_w=cap_w), machine_under_cap(machine(), cap_w)
    assert changed.device == written.device
    assert machine_under_cap(machine(cap_w=400.0), cap_w).device == written.device
    one, other = (estimate_step(job(), LAYOUT, each) for each in (written, changed))
    assert float(one.step_time_s) == float(other.step_time_s)
    assert float(one.energy_it_j) == float(other.energy_it_j)


def test_a_cap_at_the_limit_is_none():
    plain = machine()
    assert machine_under_cap(machine(cap_w=500.0), 700.0).device == plain.device


@given(st.sampled_from(ACCELERATORS), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_looser_cap_never_slows_and_boards_keep_to_theirs(accelerator, one, other):
    response, bare = RESPONSES[accelerator], machine(accelerator)
    low, high = (
        response.cap_w[0] + share * (response.cap_w[-1] - response.cap_w[0]) for share in sorted((one, other))
    )
    assert float(response.speed_at(low)) <= float(response.speed_at(high)) <= 1.0
    assert float(response.power_at(low)) <= float(response.power_at(high))
    assert float(response.peak_at(low)) <= float(response.peak_at(high))
    capped = machine_under_cap(bare, float(low))
    for doing in ("compute", "memory", "communication", "waiting"):
        assert capped.power_w(doing) <= low * (1 + 1e-9)
    estimate = estimate_step(job(accelerator), LAYOUT, capped)
    speed = float(estimate_step(job(accelerator), LAYOUT, bare).step_time_s / estimate.step_time_s)
    assert float(response.speed_at(low)) == pytest.approx(speed, abs=0.006)


def test_what_waits_or_moves_bytes_answers_less_than_what_computes():
    """A model bound by its host keeps its speed under a cap that costs the large one a tenth."""
    small = replace(job(), model=LIBRARY.get("model", "gpt3-125m").shape(), seq_len=512)
    light = cap_response(small, LAYOUT, machine())
    assert light.speed[0] > 0.95 > RESPONSES["h100-sxm"].speed[0]


def test_a_host_that_sets_the_pace_leaves_no_gain_from_a_cap():
    """The slower device hides more of its gradients: faster by 3e-4 to the step model, and not to the response."""
    small = replace(job(), model=LIBRARY.get("model", "gpt3-1.3b").shape(), seq_len=2048)
    cluster = Cluster(accelerator="h100-sxm", num_nodes=128)
    many = build_machine(LIBRARY, cluster, "megatron-core", attention=None, power_limit_w=None, locate=str)
    response = cap_response(small, replace(LAYOUT, tp=8.0, dp=128.0), many)
    assert np.all(np.diff(response.speed) >= 0.0)
    assert response.speed[0] > 0.999
    assert response.power_w[0] < response.power_w[-1]


def test_caps_that_are_none_are_told():
    with pytest.raises(InfeasibleError, match=r"idle power of h100-sxm.*60 W"):
        machine_under_cap(machine(), 60.0)
    with pytest.raises(InputError, match="up to 700 W"):
        machine_under_cap(machine(), 800.0)
    with pytest.raises(InputError, match="2 or more"):
        cap_response(job(), LAYOUT, machine(), num_caps=1)
    assert least_cap_w(machine()) == 350.0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cap_w": [2.0, 1.0, 3.0]}, "cap_w"),
        ({"speed": [0.9, 0.8, 1.0]}, "speed"),
        ({"power_w": [1.0, 2.0]}, "shapes"),
        ({"peak_w": [1.0, np.nan, 2.0]}, "peak_w"),
        ({"idle_w": 5.0}, "idle_w"),
    ],
)
def test_a_response_that_cannot_be_is_told(changes, field):
    whole = {"cap_w": [1.0, 2.0, 3.0], "power_w": [2.0, 3.0, 4.0], "peak_w": [2.0, 3.0, 4.0]}
    whole |= {"speed": [0.5, 0.8, 1.0], "idle_w": 1.0} | changes
    with pytest.raises(InputError, match=field):
        CapResponse(**{name: value if name == "idle_w" else np.array(value) for name, value in whole.items()})
