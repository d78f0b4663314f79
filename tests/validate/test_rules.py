"""How blank fields of published rows are filled, and what is left out."""

from __future__ import annotations

import pytest

from simtool.validate.rules import (
    Filled,
    attention_of,
    node_bandwidth_of,
    precision_of,
    recompute_of,
    shape_of,
    software_of,
    zero_of,
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("bf16", "bf16"),
        ("bf16-amp", "bf16"),
        ("te-bf16", "bf16"),
        ("fp16-amp", "fp16"),
        ("fp8 (TE)", None),
        ("mxfp8", None),
        ("nvfp4", None),
        ("fp32 (no TF32/AMP)", None),
        ("", None),
    ],
)
def test_precision(written, expected):
    assert precision_of({"precision": written}) == expected


@pytest.mark.parametrize(
    ("written", "gigabytes"),
    [
        ("NVLink3 + 4x HDR200 (800 Gb/s per node)", 100),
        ("NVLink3 + 8x HDR200 IB (Selene)", 200),
        ("NVLink; RoCE 1600 Gbps/node", 200),
        ("NVLink4 + EFA 3200 Gbps (HF hopper cluster)", 400),
        ("NVLink4 + IB NDR400 (Eos)", 400),
        ("NVLink; inter-node not stated", None),
        ("", None),
    ],
)
def test_network_of_a_node(written, gigabytes):
    found = node_bandwidth_of({"interconnect": written})
    assert (None if found is None else found / 1e9) == gigabytes


def test_a_blank_field_takes_its_rule_and_a_stated_one_does_not():
    filled = Filled({"heads": "", "vocab": "50368"})
    assert filled.number("heads", "R-head", 56.0) == 56.0
    assert filled.number("vocab", "R-vocab", 51_200.0) == 50_368.0
    assert filled.rules == ["R-head"]


def test_software_follows_the_framework_and_says_when_it_guessed():
    assert software_of(Filled({"framework": "NeMo/Megatron-Core"}), "h100-sxm") == "megatron-core"
    unnamed = Filled({"framework": ""})
    assert software_of(unnamed, "h100-sxm") == "megatron-core"
    assert unnamed.rules == ["R-stack"]
    assert software_of(Filled({"framework": "MaxText"}), "tpu-v5p") == "maxtext-tpu"
    assert software_of(Filled({"framework": "Megatron-LM"}), "a100-sxm-80") == "megatron-lm"


def test_recompute_attention_and_zero():
    assert recompute_of(Filled({"recompute": "selective + sequence parallel"})) == "selective"
    assert recompute_of(Filled({"recompute": ""})) is None
    assert attention_of(Filled({"attention_impl": "unfused (Megatron fused softmax)"})) == "unfused"
    assert zero_of(Filled({"zero_stage": "3 (FSDP2)"}), "torchtitan") == 3
    assert zero_of(Filled({"zero_stage": ""}), "megatron-bridge") == 1


def test_shape_needs_layers_and_width():
    assert shape_of(Filled({"layers": "", "hidden": "4096"})) is None
    shape = shape_of(Filled({"layers": "2", "hidden": "4096", "ffn_hidden": "14336"}))
    assert shape is not None
    assert shape["mlp"] == "swiglu"
    assert shape["num_heads"] == 32
