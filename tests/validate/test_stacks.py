"""Which profiles and formats the words of a published row mean."""

from __future__ import annotations

import pytest

from simtool.profiles.find import default_library
from simtool.validate.stacks import (
    ACCELERATORS,
    NETWORKS,
    PROFILES,
    SOFTWARE,
    accelerator_of,
    attention_class_of,
    attention_of,
    network_of,
    node_bandwidth_of,
    precision_of,
    recompute_of,
    release_of,
    scaling_of,
    software_of,
    zero_of,
)
from simtool.validate.table import Filled


@pytest.mark.parametrize(
    ("written", "expected", "rules"),
    [
        ("bf16", "bf16", []),
        ("te-bf16", "bf16", []),
        ("fp16-amp", "fp16", []),
        ("fp8 (TE)", "fp8", []),
        ("te-fp8", "fp8", []),
        ("fp8-float8-rowwise", "fp8", []),
        ("mxfp8", "mxfp8", []),
        ("fp8-mx(subchannel)", "mxfp8", []),
        ("nvfp4", "nvfp4", []),
        ("fp32 (no TF32/AMP)", "fp32", []),
        ("", "bf16", ["R-bf16"]),
    ],
)
def test_precision(written, expected, rules):
    filled = Filled({"precision": written})
    assert precision_of(filled) == expected
    assert filled.rules == rules


@pytest.mark.parametrize(
    ("written", "gigabytes", "network"),
    [
        ("NVLink3 + 4x HDR200 (800 Gb/s per node)", 100, "ib-hdr"),
        ("NVLink3 + 8x HDR200 IB (Selene)", 200, "ib-hdr"),
        ("NVLink; RoCE 1600 Gbps/node", 200, "roce-400"),
        ("NVLink4 + EFA 3200 Gbps (HF hopper cluster)", 400, "efa-v2"),
        ("NVLink4 + IB NDR400 (Eos)", 400, "ib-ndr"),
        ("NVLink; inter-node not stated", None, None),
        ("", None, None),
    ],
)
def test_network_of_a_node(written, gigabytes, network):
    row = {"interconnect": written}
    found = node_bandwidth_of(row)
    assert (None if found is None else found / 1e9) == gigabytes
    assert network_of(row) == network


def test_every_profile_that_a_word_means_exists():
    library = default_library()
    assert set(ACCELERATORS.values()) <= set(library.names("accelerator"))
    assert {profile for _, profile in SOFTWARE} <= set(library.names("software"))
    assert {profile for _, profile in NETWORKS} <= set(library.names("network"))


def test_software_follows_the_framework_and_says_when_it_guessed():
    assert software_of(Filled({"framework": "NeMo/Megatron-Core"}), "h100-sxm") == "megatron-core"
    assert software_of(Filled({"framework": "MaxText"}), "tpu-v5p") == "maxtext-tpu"
    assert software_of(Filled({"framework": "MaxText"}), "h100-sxm") == "jax-gpu"
    assert software_of(Filled({"framework": "Megatron-LM"}), "a100-sxm-80") == "megatron-lm"
    for profile in default_library().names("software"):
        if profile in PROFILES:
            filled = Filled({"framework": profile})
            assert (software_of(filled, "h100-sxm"), filled.rules) == (profile, [])
    assert set(default_library().names("software")) >= PROFILES
    for framework, accelerator, rule in (
        ("", "h100-sxm", "R-stack"),
        ("Megatron-LM", "h100-sxm", "R-lm"),
        ("a framework of tomorrow", "h100-sxm", "R-eager"),
    ):
        filled = Filled({"framework": framework})
        software_of(filled, accelerator)
        assert filled.rules == [rule]


def test_recompute_attention_zero_and_release():
    assert recompute_of(Filled({"recompute": "selective + sequence parallel"})) == "selective"
    assert recompute_of(Filled({"recompute": ""})) is None
    assert attention_of(Filled({"attention_impl": "unfused (Megatron fused softmax)"}), "x") == "unfused"
    blank = Filled({"attention_impl": ""})
    assert attention_of(blank, "megatron-deepspeed") == "unfused"
    assert attention_of(blank, "torchtitan") == "flash"
    assert attention_class_of({"attention_impl": "flash (triton/flash2)"}) == "fa2"
    assert zero_of(Filled({"zero_stage": "3 (FSDP2)"}), "torchtitan") == 3
    assert zero_of(Filled({"zero_stage": ""}), "megatron-bridge") == 1
    assert release_of({"source": "NeMo performance summary 24.07 (2024-09-09)"}) == "24.07"
    assert scaling_of({"precision": "fp8-float8-rowwise"}) == "rowwise"


def test_an_accelerator_may_be_named_as_the_table_or_as_the_profile_does():
    assert accelerator_of({"accelerator": "H100-SXM-80GB"}) == "h100-sxm"
    assert accelerator_of({"accelerator": "h100-sxm"}) == "h100-sxm"
    assert accelerator_of({"accelerator": "Some GPU"}) is None
