"""Hugging Face configurations."""

from __future__ import annotations

import json

import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.workload.huggingface import read_config

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


def write(tmp_path, config):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("config", "published"),
    [
        (LLAMA, 8_030_261_248),
        ({**LLAMA, "model_type": "mistral", "vocab_size": 32000}, 7_241_732_096),
        (
            {
                **LLAMA,
                "model_type": "qwen2",
                "num_hidden_layers": 28,
                "hidden_size": 3584,
                "intermediate_size": 18944,
                "num_attention_heads": 28,
                "num_key_value_heads": 4,
                "vocab_size": 152064,
            },
            7_615_616_512,
        ),
        (
            {"model_type": "bloom", "n_layer": 70, "hidden_size": 14336, "n_head": 112, "vocab_size": 250880},
            176_247_271_424,
        ),
        (
            {
                "model_type": "gpt2",
                "n_layer": 12,
                "n_embd": 768,
                "n_head": 12,
                "n_positions": 1024,
                "vocab_size": 50257,
            },
            124_439_808,
        ),
        (
            {
                "model_type": "opt",
                "num_hidden_layers": 12,
                "hidden_size": 768,
                "ffn_dim": 3072,
                "num_attention_heads": 12,
                "max_position_embeddings": 2048,
                "vocab_size": 50272,
            },
            125_239_296,
        ),
    ],
    ids=["llama", "mistral", "qwen2", "bloom", "gpt2", "opt"],
)
def test_published_parameter_counts_from_config(tmp_path, config, published):
    assert read_config(write(tmp_path, config)).num_parameters == published


GATED_EXPERTS = {"tie_word_embeddings": False, "hidden_act": "silu"}
EXPERTS = {
    "mixtral": {
        **GATED_EXPERTS,
        "model_type": "mixtral",
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "sliding_window": None,
    },
    "qwen3_moe": {
        **GATED_EXPERTS,
        "model_type": "qwen3_moe",
        "num_hidden_layers": 48,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "vocab_size": 151936,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": 48,
    },
    "deepseek_v3": {
        **GATED_EXPERTS,
        "model_type": "deepseek_v3",
        "num_hidden_layers": 61,
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "num_attention_heads": 128,
        "num_key_value_heads": 128,
        "q_lora_rank": 1536,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "vocab_size": 129280,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "first_k_dense_replace": 3,
        "moe_layer_freq": 1,
        "topk_method": "noaux_tc",
        "quantization_config": {"quant_method": "fp8", "fmt": "e4m3"},
    },
    "gpt_oss": {
        **GATED_EXPERTS,
        "model_type": "gpt_oss",
        "num_hidden_layers": 36,
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 201088,
        "num_local_experts": 128,
        "num_experts_per_tok": 4,
        "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
        "quantization_config": {"quant_method": "mxfp4"},
    },
    "llama4": {
        "model_type": "llama4",
        "text_config": {
            **GATED_EXPERTS,
            "num_hidden_layers": 48,
            "hidden_size": 5120,
            "intermediate_size": 8192,
            "intermediate_size_mlp": 16384,
            "num_attention_heads": 40,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 202048,
            "num_local_experts": 16,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 1,
            "attention_chunk_size": 8192,
        },
    },
}
PRESETS = {
    "mixtral": "mixtral-8x7b",
    "qwen3_moe": "qwen3-30b-a3b",
    "deepseek_v3": "deepseek-v3",
    "gpt_oss": "gpt-oss-120b",
    "llama4": "llama4-scout",
}


@pytest.mark.parametrize("name", EXPERTS)
def test_a_config_with_experts_is_the_preset(tmp_path, name):
    preset = default_library().get("model", PRESETS[name]).shape()
    assert read_config(write(tmp_path, EXPERTS[name])) == preset


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({**LLAMA, "model_type": "mixtral"}, "num_local_experts: is missing"),
        ({**LLAMA, "model_type": "phimoe", "num_local_experts": 16}, "a mixture of experts of a kind"),
        ({**EXPERTS["qwen3_moe"], "mlp_only_layers": [3]}, "mlp_only_layers"),
        ({**EXPERTS["gpt_oss"], "layer_types": ["full_attention", *["sliding"] * 35]}, "no regular order"),
        ({**EXPERTS["deepseek_v3"], "v_head_dim": None}, "v_head_dim"),
        ({**EXPERTS["mixtral"], "num_experts_per_tok": 9}, "top_k 9 of num_experts 8"),
        ({"model_type": "llama4", "text_config": []}, "does not describe"),
        ({**LLAMA, "model_type": "qwen2", "sliding_window": 64, "max_window_layers": 4}, "max_window_layers"),
        ({**LLAMA, "num_local_experts": 8}, "mixture of experts"),
        ({key: value for key, value in LLAMA.items() if key != "hidden_size"}, "hidden_size"),
        ({**LLAMA, "hidden_size": "large"}, "hidden_size"),
        ([1, 2], "JSON object"),
        ({**LLAMA, "num_experts": 64}, "mixture of experts"),
        ({**LLAMA, "num_experts_per_tok": 2}, "mixture of experts"),
        ({**LLAMA, "quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised weights"),
        ({**LLAMA, "is_encoder_decoder": True}, "not a decoder alone"),
        ({**LLAMA, "hidden_act": "gelu"}, "hidden_act: found 'gelu', which a llama has not"),
        ({**LLAMA, "hidden_act": ["silu"]}, "hidden_act"),
    ],
)
def test_what_cannot_be_expressed_is_refused_with_a_reason(tmp_path, config, complaint):
    with pytest.raises(InputError, match=complaint):
        read_config(write(tmp_path, config))


def test_a_sliding_window_counts_where_it_is_shorter_than_the_sequence(tmp_path):
    mistral = {**LLAMA, "model_type": "mistral", "hidden_act": "silu"}
    windowed = write(tmp_path, {**mistral, "sliding_window": 4096})
    (tmp_path / "full").mkdir()
    full = read_config(write(tmp_path / "full", mistral))
    assert read_config(windowed, 4096) == full
    for seq_len in (4097, None):
        assert read_config(windowed, seq_len) == full.model_copy(update={"attention_window": 4096})


@pytest.mark.parametrize(
    "unused",
    [
        {"use_sliding_window": False, "sliding_window": 4096},
        {"sliding_window": None},
        {"sliding_window": 4096, "layer_types": ["full_attention"] * 32},
        {"quantization_config": None, "num_experts": 0},
    ],
)
def test_what_is_stated_and_not_used_is_no_obstacle(tmp_path, unused):
    plain = read_config(write(tmp_path, {**LLAMA, "model_type": "qwen2"}), 8192)
    assert read_config(write(tmp_path, {**LLAMA, "model_type": "qwen2", **unused}), 8192) == plain


def test_activations_and_biases_that_can_be_expressed_are_taken_over(tmp_path):
    gpt2 = {
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 64,
        "n_head": 2,
        "n_positions": 16,
        "vocab_size": 99,
    }
    assert read_config(write(tmp_path, {**gpt2, "activation_function": "gelu_new"})).mlp == "gelu"
    assert read_config(write(tmp_path, {**gpt2, "activation_function": "relu"})).mlp == "relu"
    opt = {"model_type": "opt", "num_hidden_layers": 2, "hidden_size": 64, "ffn_dim": 256, "vocab_size": 99}
    opt |= {"num_attention_heads": 2, "max_position_embeddings": 16, "enable_bias": False}
    bare = read_config(write(tmp_path, {**opt, "activation_function": "gelu"}))
    assert (bare.mlp, bare.qkv_bias, bare.output_bias, bare.mlp_bias) == ("gelu", False, False, False)


def test_all_that_cannot_be_expressed_is_told_at_once(tmp_path):
    strange = {
        "num_experts": 8,
        "quantization_config": {"bits": 4},
        "hidden_act": "relu",
    }
    with pytest.raises(InputError) as caught:
        read_config(write(tmp_path, {**LLAMA, **strange}), 8192)
    assert {problem.field for problem in caught.value.problems} == set(strange)


def test_broken_files_give_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "missing.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path)
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    with pytest.raises(InputError):
        read_config(deep)
    binary = tmp_path / "binary.json"
    binary.write_bytes(bytes(range(256)))
    with pytest.raises(InputError):
        read_config(binary)
