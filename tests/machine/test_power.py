"""Power, clock and time under a cap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.machine.device import Device, device_under_cap
from simtool.machine.power import (
    CapLaw,
    cap_law,
    clock_under_cap,
    memory_slowdown,
    op_clocks,
    power_at_clock,
    workload_under_cap,
)
from simtool.profiles.find import ProfileLibrary, default_library
from simtool.stepgraph import Kind, Op, Phase, Scope

LIMIT_W = 300.0
watts = st.floats(60.0, LIMIT_W)
laws = st.builds(
    CapLaw,
    static=st.floats(0.0, 0.4),
    voltage_floor=st.floats(0.0, 1.0),
    exponent=st.floats(1.5, 4.0),
    gap=st.floats(0.05, 0.5),
    fill=st.floats(0.0, 1.0),
    clock_free=st.floats(0.0, 0.9),
)


@pytest.fixture(scope="module")
def library() -> ProfileLibrary:
    return default_library()


def law_of(library: ProfileLibrary, name: str) -> CapLaw:
    return cap_law(library.get("accelerator", name), idle_frac=0.12)


@given(watts, st.floats(0.0, 50.0), st.floats(0.2, 1.0), st.floats(1.5, 4.0), st.floats(0.0, 1.0))
def test_the_clock_of_a_cap_draws_the_cap(power_w, static_w, cap_frac, exponent, floor):
    cap_w = static_w + cap_frac * (power_w - static_w)
    clock = clock_under_cap(power_w, static_w, cap_w, exponent=exponent, voltage_floor=floor)
    assert 0.0 < float(clock) <= 1.0
    drawn = power_at_clock(power_w, static_w, clock, exponent=exponent, voltage_floor=floor)
    assert float(drawn) == pytest.approx(cap_w, rel=1e-9)


@given(watts, st.floats(1.0, 3.0), laws)
def test_a_cap_above_what_is_drawn_changes_nothing(power_w, ratio, law):
    ceiling_w = max(power_w, LIMIT_W) * ratio
    time, drawn_w = workload_under_cap(power_w, ceiling_w, limit_w=LIMIT_W, law=law)
    assert float(time) == pytest.approx(1.0, abs=1e-12)
    assert float(drawn_w) == pytest.approx(power_w)


@given(watts, st.floats(0.1, 1.0), laws)
def test_a_lower_cap_is_never_faster_nor_hungrier(power_w, cap_frac, law):
    caps = LIMIT_W * cap_frac * np.array([1.0, 0.9])
    time, drawn_w = workload_under_cap(power_w, caps, limit_w=LIMIT_W, law=law)
    assert time[1] >= time[0] >= 1.0
    assert drawn_w[1] <= drawn_w[0] * (1 + 1e-9)
    assert drawn_w[0] <= power_w * (1 + 1e-9)


@given(laws)
def test_a_workload_that_waits_for_its_host_does_not_feel_a_cap(law):
    power_w = 0.9 * float(law.gap) * LIMIT_W
    time, drawn_w = workload_under_cap(power_w, 0.4 * LIMIT_W, limit_w=LIMIT_W, law=law)
    assert (float(time), float(drawn_w)) == (1.0, pytest.approx(power_w))


def test_a_deep_cap_is_overshot_at_the_lowest_clock(library):
    """An A40 under 100 of its 300 W: training that filled it took three to four times as long and drew 104-117 W."""
    time, drawn_w = workload_under_cap(0.9 * 300.0, 100.0, limit_w=300.0, law=law_of(library, "rtx-a6000"))
    assert 2.5 < float(time) < 4.5
    assert 100.0 < float(drawn_w) < 125.0


A100_CAPS = [(250.0, 1.044), (225.0, 1.079), (200.0, 1.125), (175.0, 1.197), (150.0, 1.297)]
"""W and time ratio of compute-bound work on an A100 PCIe of 300 W (giordano/gpu-power-frequency-benchmarks)."""


@pytest.mark.parametrize(("cap_w", "ratio"), A100_CAPS)
def test_compute_bound_work_on_an_a100(library, cap_w, ratio):
    clock, _ = op_clocks(
        law_of(library, "a100-pcie-80"), compute_w=299.0, memory_w=195.0, limit_w=300.0, cap_w=cap_w
    )
    assert 1.0 / clock == pytest.approx(ratio, rel=0.05)


def test_memory_bound_work_on_an_a100_hardly_feels_half_the_limit(library):
    law = law_of(library, "a100-pcie-80")
    _, clock = op_clocks(law, compute_w=299.0, memory_w=195.0, limit_w=300.0, cap_w=150.0)
    assert clock < 1.0
    assert float(memory_slowdown(clock)) <= 1.02
    half_w = power_at_clock(296.0, float(law.static) * 300.0, 1005 / 1410, voltage_floor=law.voltage_floor)
    assert float(half_w) == pytest.approx(135.0, rel=0.06)


@pytest.mark.parametrize(("cap_w", "mhz"), [(900.0, 1935), (700.0, 1457), (550.0, 1152), (450.0, 926)])
def test_the_clock_of_a_b300_goes_with_its_power(library, cap_w, mhz):
    """sinkers/gpu-power-lab: matrix products at 1082 W and 2032 MHz without a cap."""
    law = law_of(library, "b300-sxm")
    clock, _ = op_clocks(law, compute_w=1082.0, memory_w=780.0, limit_w=1100.0, cap_w=cap_w)
    assert clock * 2032 == pytest.approx(mhz, rel=0.02)


def test_measured_v100_slow_down_at_seventy_percent(library):
    """Zeus (V100, jobs that saturate it): a cap of 175 W of 250 W costs 7 to 11 % time."""
    time, drawn_w = workload_under_cap(222.0, 175.0, limit_w=250.0, law=law_of(library, "v100-pcie-32"))
    assert 1.06 < float(time) < 1.14
    assert float(drawn_w) <= 175.0


def product(m: float) -> Op:
    return Op(
        name="product",
        kind=Kind.GEMM,
        scope=Scope.LAYER,
        phase=Phase.FORWARD,
        dtype="bf16",
        m=m,
        n=4096,
        k=4096,
    )


def capped(library: ProfileLibrary, cap_w: float | None) -> Device:
    return device_under_cap(
        library.get("accelerator", "h100-sxm"),
        attention_ratio=1.0,
        memory_ratio=1.0,
        power_limit_w=700.0,
        idle_w=70.0,
        power_cap_w=cap_w,
    )


def test_each_operation_slows_by_what_bounds_it(library):
    """Large products by the clock, products of few rows, which wait for their weights, hardly."""
    free, low = capped(library, None), capped(library, 400.0)
    big, small = (
        float(low.op_time_s(op)["compute"] / free.op_time_s(op)["compute"])
        for op in (product(16384), product(16))
    )
    assert big == pytest.approx(1.0 / low.clock, rel=0.02)
    assert small < 1.0 + 0.3 * (big - 1.0)
    assert low.clock < low.memory_clock <= 1.0
