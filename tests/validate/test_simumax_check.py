"""Devices that measured kernels stand behind, and SimuMax's published runs on them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.stepgraph import Kind, Op, Phase, Scope
from simtool.validate.check import CHECKS
from simtool.validate.checks.simumax import (
    FOLDER,
    KERNELS,
    RUNS,
    check_simumax,
    plain_machine,
    predict_case,
)
from simtool.validate.table_device import read_simumax_kernels, read_simumax_permutation

LIBRARY = default_library()
PEAK = 1000e12
HEADS = "batch=1, seq_len=4096, head_num=8, kv_head_num=1, qk_head_dim=128, v_head_dim=128"
GROUPED = "ng=4, M=512, N=3072, K=5120, dtype=bf16, stage="


def rate(**shares):
    return {"tflops": 1000, "accurate_efficient_factor": shares}


@pytest.fixture
def kernels(tmp_path):
    """A system file with one shape of each kind."""
    ops = {
        "matmul": rate(
            **{
                "b=1, m=4096, k=8192, n=1024, layout=TN, accumulate=False, out_dtype=bf16": 0.5,
                "b=1, m=8192, k=4096, n=1024, layout=NT, accumulate=True, out_dtype=fp32": 0.25,
            }
        ),
        "group_matmul": rate(
            **{GROUPED + "fwd": 0.2, GROUPED + "bwd_grad_act": 0.4, GROUPED + "bwd_grad_w": 0.1}
        ),
        "sdp_fwd": rate(
            **{f"{HEADS}, qkv_contiguous={word}": share for word, share in (("True", 0.5), ("False", 0.4))}
        ),
        "sdp_bwd": rate(**{HEADS: 0.5}),
    }
    path = tmp_path / "system.json"
    bands = {name: {"gbps": 1000, "efficient_factor": 0.5} for name in ("permute_fwd", "permute_bwd")}
    path.write_text(json.dumps({"accelerator": {"op": ops, "bandwidth": bands}}))
    return path


def product(m, n, k, phase=Phase.FORWARD, kind=Kind.GEMM, batch=1.0):
    return Op(
        name="product",
        kind=kind,
        phase=phase,
        scope=Scope.LAYER,
        dtype="bf16",
        flop=2.0 * batch * m * n * k,
        bytes=2.0 * batch * (m * k + k * n + m * n),
        m=m,
        n=n,
        k=k,
        batch=batch,
    )


def seconds(device, op):
    return float(sum(np.asarray(time) for time in device.op_time_s(op).values()))


def test_a_measured_shape_takes_its_measured_time(kernels):
    device = plain_machine(LIBRARY, kernels).device
    forward = product(4096.0, 1024.0, 8192.0)  # 69 GFLOP: no throttling
    assert seconds(device, forward) == pytest.approx(forward.flop / (0.5 * PEAK))
    for m, n in ((1024.0, 8192.0), (8192.0, 1024.0)):  # a weight's gradient either way round
        gradient = product(m, n, 4096.0, Phase.BACKWARD_WEIGHT)
        assert seconds(device, gradient) == pytest.approx(gradient.flop / (0.25 * PEAK))
    grouped = product(512.0, 3072.0, 5120.0, kind=Kind.GROUPED_GEMM, batch=4.0)
    assert seconds(device, grouped) == pytest.approx(grouped.flop / (0.2 * PEAK))
    back = product(512.0, 5120.0, 3072.0, Phase.BACKWARD_INPUT, Kind.GROUPED_GEMM, 4.0)
    assert seconds(device, back) == pytest.approx(back.flop / (0.4 * PEAK))


def test_between_measured_shapes_the_curve_carries_the_time(kernels):
    machine = plain_machine(LIBRARY, kernels)
    here, there = product(4096.0, 1024.0, 8192.0), product(4096.0, 1024.0, 4096.0)
    curve = super(type(machine.device), machine.device)
    ratio = seconds(curve, there) / seconds(curve, here)
    assert seconds(machine.device, there) == pytest.approx(ratio * seconds(machine.device, here))
    untimed = product(4096.0, 1024.0, 8192.0, Phase.BACKWARD_INPUT)
    assert seconds(machine.device, untimed) == seconds(curve, untimed)


def test_large_products_last_longer_than_in_a_burst(kernels):
    tables = read_simumax_kernels(kernels)
    device = plain_machine(LIBRARY, kernels).device
    large = replace(product(4096.0, 1024.0, 81920.0))
    without = seconds(device, product(4096.0, 1024.0, 8192.0))
    near, measured_s = tables[Kind.GEMM, Phase.FORWARD].nearest((4096.0, 1024.0, 81920.0))
    assert (near, measured_s) == ((4096.0, 1024.0, 8192.0), pytest.approx(without))
    assert seconds(device, large) > 1.1 * 9.0 * without


def test_attention_counts_the_whole_square_and_takes_the_faster_layout(kernels):
    device = plain_machine(LIBRARY, kernels).device
    core = Op(
        name="attention",
        kind=Kind.ATTENTION,
        phase=Phase.FORWARD,
        scope=Scope.LAYER,
        dtype="bf16",
        m=4096.0,
        n=128.0,
        k=8.0,
    )
    square = 4.0 * 4096.0**2 * 8 * 128
    assert seconds(device, core) == pytest.approx(square / (0.5 * PEAK))
    backward = replace(core, phase=Phase.BACKWARD_INPUT)
    assert seconds(device, backward) == pytest.approx(2.5 * square / (0.5 * PEAK))
    # a context rank with an eighth of the queries of all heads does the work of one head's whole sequence
    part = replace(core, m=512.0, keys=2048.0, k=64.0)
    assert seconds(device, part) == pytest.approx(seconds(device, core))


def test_tokens_are_sorted_at_the_measured_rate(kernels):
    device = plain_machine(LIBRARY, kernels).device
    sort = Op(
        name="expert_permutation",
        kind=Kind.MEMORY,
        phase=Phase.FORWARD,
        scope=Scope.LAYER,
        dtype="bf16",
        bytes=1e9,
    )
    latency = float(device.accelerator.efficiency.memory.latency)
    assert seconds(device, sort) == pytest.approx(1e9 / (500 * 2**30) + latency)
    other = replace(sort, name="mlp_norm")
    assert seconds(device, other) == seconds(super(type(device), device), other)


@pytest.mark.parametrize("text", ["", "{}", '{"accelerator": {"op": {"matmul": {"tflops": 1}}}}'])
def test_a_damaged_system_file_is_named(tmp_path, text):
    path = tmp_path / "system.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"system\.json: cannot be read"):
        read_simumax_kernels(path)
    with pytest.raises(InputError, match=r"system\.json: cannot be read"):
        read_simumax_permutation(path)


def test_cases_are_read_by_their_names(kernels):
    machine = plain_machine(LIBRARY, kernels)
    found = predict_case("deepseekv2_tp1_ep4_pp2_dp4_l4_mbc8_cef", machine, LIBRARY)
    assert not isinstance(found, str)
    estimate, model = found
    assert (model.num_layers, model.num_dense_layers, model.capacity_factor) == (4, 1, 1.0)
    assert float(estimate.tokens_per_step) == 4 * 8 * 4096
    full = predict_case("deepseekv2_tp1_ep4_pp2_dp4_l4_mbc8_full_recompute", machine, LIBRARY)
    assert not isinstance(full, str)
    assert float(full[0].memory.tensors_bytes) < float(estimate.memory.tensors_bytes)
    assert predict_case("gpt5_l4_tp1_mbc4", machine, LIBRARY) == "unknown model"
    assert predict_case("llama3_70b_tp1_mbc4", machine, LIBRARY) == "number of layers not stated"
    assert predict_case("llama3_70b_l12_tp16_pp1_dp1", machine, LIBRARY) == "not on 8 devices"


@pytest.mark.parametrize(
    "rows",
    [
        "",
        "case,real_ms\na,1\n",
        "case,real_ms,simumax_perf_ms,real_alloc_gib,simumax_alloc_gib\nllama3_70b_l12_tp8_mbc4,x,1,1,1\n",
    ],
)
def test_a_damaged_table_of_runs_is_named(tmp_path, kernels, rows):
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    (folder / KERNELS).write_text(kernels.read_text())
    (folder / RUNS).write_text(rows)
    with pytest.raises(InputError, match=RUNS):
        check_simumax(tmp_path, LIBRARY)


def test_published_runs(reference_data):
    found = CHECKS["simumax"](reference_data, LIBRARY)
    figures = found.figures
    assert figures["num_runs"] == len(found.rows) >= 20
    assert figures["time_error_mean_frac"] <= 0.052
    assert figures["time_error_mean_frac"] < figures["simumax_time_error_mean_frac"]
    assert figures["memory_error_mean_frac"] <= 0.015
    assert figures["memory_error_max_frac"] <= 0.03
    assert figures["constant_mfu_time_error_mean_frac"] > 3 * figures["time_error_mean_frac"]
