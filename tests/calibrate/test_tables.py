"""Readers of kernel tables: units, shapes, and what is wrong with a file."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from simtool.calibrate.collective_tables import read_nccl
from simtool.calibrate.other_tables import (
    read_llmcompass_products,
    read_simumax_backward,
    read_vidur_adds,
    read_vidur_products,
)
from simtool.calibrate.tables import (
    MAX_OTHER_KERNELS,
    MAX_TRAINING_KERNELS,
    gemm_table,
    memory_table,
    read_attention,
    read_columns,
    read_gemm,
)
from simtool.errors import InputError


def packed(folder, text):
    path = folder / "table.csv.gz"
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def test_products_come_in_seconds_and_flop(tmp_path):
    table = read_gemm(
        packed(tmp_path, "dtype,m,n,k,latency\nbf16,4096,8192,1024,0.5\nbf16,1,8192,1024,0.01\n")
    )
    np.testing.assert_allclose(table.time_s, [5e-4, 1e-5])
    np.testing.assert_allclose(table.work, [2 * 4096 * 8192 * 1024, 2 * 8192 * 1024])
    np.testing.assert_array_equal(table.is_training, [True, False])
    assert table.num_groups == 1


def test_attention_counts_half_the_square_and_leaves_out_what_training_has_not(tmp_path):
    head = "batch_size,isl,num_heads,num_key_value_heads,head_dim,latency\n"
    rows = "1,4096,32,8,128,1.0\n1,16,32,8,128,0.01\n1,4096,32,8,512,4.0\n"
    table = read_attention(packed(tmp_path, head + rows))
    assert len(table) == 1
    assert table.work[0] == 2 * 32 * 4096**2 * 128


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("m,n,latency\n1,2,3\n", "lacks column 'k'"),
        ("m,n,k,latency\n", "holds no row"),
        ("m,n,k,latency\n1,2,3,fast\n", "cannot be read as numbers"),
        ("m,n,k,latency\n1,2\n", "cannot be read as numbers"),
        ("", "lacks column 'm'"),
    ],
)
def test_a_bad_table_is_one_clear_error(tmp_path, text, found):
    with pytest.raises(InputError, match=found):
        read_gemm(packed(tmp_path, text))


def test_a_missing_or_damaged_file_is_one_clear_error(tmp_path):
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"m,n,k,latency\n1,1,1,1\n")[:-9])
    for name in ("nowhere.csv.gz", "cut.csv.gz"):
        with pytest.raises(InputError, match=name):
            read_gemm(tmp_path / name)
    with pytest.raises(InputError, match="nowhere"):
        read_llmcompass_products(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="nowhere"):
        read_simumax_backward(tmp_path / "nowhere.json")


def test_a_damaged_stream_is_one_clear_error(tmp_path):
    whole = bytearray(gzip.compress(b"kind,m,n,k,latency\n" + b"1,1,1,1,%d\n" * 200))
    whole[12:20] = b"\xff" * 8
    path = tmp_path / "damaged.csv.gz"
    path.write_bytes(whole)
    for read in (read_gemm, read_nccl):
        with pytest.raises(InputError, match="cannot be read"):
            read(path)


def test_rows_without_a_measurement_are_left_out(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("m,latency\n1,2\n0,2\n3,nan\n4,inf\n5,6\n")
    np.testing.assert_array_equal(read_columns(path, ("latency", "m"))["m"], [1, 5])


def test_thinning_keeps_a_bounded_even_choice():
    count = 30_000
    m = np.where(np.arange(count) < count // 2, 4096.0, 1.0)
    table = gemm_table(m, np.full(count, 4096.0), 4096.0 + np.arange(count) % 97, np.ones(count))
    thin = table.thinned()
    assert thin.is_training.sum() == MAX_TRAINING_KERNELS
    assert (~thin.is_training).sum() == MAX_OTHER_KERNELS
    assert thin.num_groups > 90
    np.testing.assert_array_equal(thin.columns["k"], table.thinned().columns["k"])


def test_memory_tables_leave_out_what_times_the_cache():
    table = memory_table(np.array([1e3, 1e6, 5e7, 2e8]), np.ones(4), 4e7)
    np.testing.assert_array_equal(table.work, [1e3, 2e8])


def test_vidur_layers_become_products_and_sums(tmp_path):
    operations = ("attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj")
    names = [f"time_stats.{name}.median" for name in operations] + ["time_stats.add.mean"]
    model = ["num_tokens", "num_tensor_parallel_workers", "n_embd", "n_expanded_embd", "n_head", "n_kv_head"]
    path = tmp_path / "layer.csv"
    path.write_text(f"{','.join(names + model)}\n4,3,2,1,0.5,4096,2,8192,28672,64,8\n")
    table = read_vidur_products(path)
    shapes = np.stack([table.columns["n"], table.columns["k"]], axis=1)
    np.testing.assert_array_equal(shapes, [[5120, 8192], [8192, 4096], [28672, 8192], [8192, 14336]])
    np.testing.assert_allclose(table.time_s, [4e-3, 3e-3, 2e-3, 1e-3])
    sums = read_vidur_adds([path, path], cache_bytes=4e7)
    np.testing.assert_allclose(sums.work, [3 * 2 * 4096 * 8192] * 2)
    np.testing.assert_allclose(sums.time_s, [5e-4] * 2)


def test_llmcompass_lines_are_rows_inner_columns(tmp_path):
    path = tmp_path / "matmul.csv"
    path.write_text("64, 12288, 1024, 0.5ms, 17.5Tflops\n8192, 32, 32, 0.03ms, 0.5Tflops")
    table = read_llmcompass_products(path)
    assert [table.columns[axis][0] for axis in "mnk"] == [64, 1024, 12288]
    assert table.time_s[0] == pytest.approx(5e-4)


def test_simumax_ratios_compare_the_same_layer(tmp_path):
    attention = {f"batch=1, seq_len=4096, head_num={heads}, qk_head_dim=128": 1.0 for heads in (8, 32, 64)}
    products = {
        "b=1, m=4096, k=8192, n=1024, layout=TN, accumulate=False, out_dtype=bf16": 0.8,
        "b=1, m=1024, k=4096, n=8192, layout=NT, accumulate=True, out_dtype=fp32": 0.5,
        "b=1, m=4096, k=1024, n=8192, layout=NN, accumulate=False, out_dtype=bf16": 0.1,
    }
    rates = {
        "sdp_fwd": attention,
        "sdp_bwd": {shape: 0.1 if "head_num=8," in shape else 0.8 for shape in attention},
        "matmul": products,
    }
    op = {name: {"accurate_efficient_factor": table} for name, table in rates.items()}
    path = tmp_path / "system.json"
    path.write_text(json.dumps({"accelerator": {"op": op}}))
    ratios = read_simumax_backward(path)
    assert ratios.attention == pytest.approx(2.5 / 0.8)  # few heads left out
    assert ratios.weight_gradient == pytest.approx(0.8 / 0.5)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"system\.json"):
        read_simumax_backward(path)
