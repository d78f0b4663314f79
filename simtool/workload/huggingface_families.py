"""How each architecture of Hugging Face transformers writes its shape: readers of ``config.json`` by model type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]


def gpt2(c: Fields) -> Fields:
    """GPT-2."""
    return {
        "num_layers": c["n_layer"],
        "hidden_size": c["n_embd"],
        "num_heads": c["n_head"],
        "ffn_hidden_size": c.get("n_inner") or 4 * c["n_embd"],
        "vocab_size": c["vocab_size"],
        "max_positions": c["n_positions"],
        "mlp": "relu" if c.get("activation_function") == "relu" else "gelu",
        "tied_embeddings": c.get("tie_word_embeddings", True),
    }


def opt(c: Fields) -> Fields:
    """OPT."""
    if c.get("word_embed_proj_dim", c["hidden_size"]) != c["hidden_size"]:
        raise ValueError("word_embed_proj_dim differs from hidden_size")
    biased = c.get("enable_bias", True)
    return {
        **_common(c),
        "ffn_hidden_size": c["ffn_dim"],
        "max_positions": c["max_position_embeddings"] + 2,  # OPT's position table begins at 2
        "mlp": "gelu" if "gelu" in str(c.get("activation_function")) else "relu",
        "qkv_bias": biased,
        "output_bias": biased,
        "mlp_bias": biased,
        "tied_embeddings": c.get("tie_word_embeddings", True),
    }


def bloom(c: Fields) -> Fields:
    """BLOOM."""
    hidden = c.get("hidden_size") or c["n_embed"]
    return {
        "num_layers": c["n_layer"],
        "hidden_size": hidden,
        "num_heads": c.get("n_head") or c["num_attention_heads"],
        "ffn_hidden_size": 4 * hidden,
        "vocab_size": c["vocab_size"],
        "positions": "alibi",
        "embedding_norm": True,
        "tied_embeddings": c.get("tie_word_embeddings", True),
    }


def llama(c: Fields) -> Fields:
    """Llama 1 to 3."""
    biased = c.get("attention_bias", False)
    return _gated(c, qkv_bias=biased, output_bias=biased, mlp_bias=c.get("mlp_bias", False))


def mistral(c: Fields) -> Fields:
    """Mistral."""
    return {**_gated(c), **_window(c)}


def qwen2(c: Fields) -> Fields:
    """Qwen2."""
    return {**_gated(c, qkv_bias=True), **_window(c)}


def qwen3(c: Fields) -> Fields:
    """Qwen3: norms on queries and keys."""
    biased = c.get("attention_bias", False)
    return {**_gated(c, qkv_bias=biased, output_bias=biased), "qk_norm": True, **_window(c)}


def mixtral(c: Fields) -> Fields:
    """Mixtral: every layer has experts."""
    experts = {"num_experts": c["num_local_experts"], "top_k": c["num_experts_per_tok"]}
    return {**_gated(c), **_window(c), **experts}


def qwen2_moe(c: Fields) -> Fields:
    """Qwen2 with experts: a gated shared expert beside them."""
    shared = {
        "num_shared_experts": 1,
        "shared_ffn_hidden_size": c["shared_expert_intermediate_size"],
        "shared_expert_gate": True,
    }
    return {**_gated(c, qkv_bias=c.get("qkv_bias", True)), **_window(c), **_qwen_experts(c), **shared}


def qwen3_moe(c: Fields) -> Fields:
    """Qwen3 with experts."""
    return {**qwen3(c), **_qwen_experts(c)}


def _qwen_experts(c: Fields) -> Fields:
    if c.get("mlp_only_layers"):
        raise ValueError("mlp_only_layers names single layers without experts")
    return {
        "num_experts": c["num_experts"],
        "top_k": c["num_experts_per_tok"],
        "expert_ffn_hidden_size": c["moe_intermediate_size"],
        "expert_layer_period": c.get("decoder_sparse_step", 1),
    }


def deepseek(c: Fields) -> Fields:
    """DeepSeek-V2 and V3, Kimi K2: latent attention, dense layers at the begin, shared experts."""
    fields = _gated(c)
    del fields["head_dim"]
    latent = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    fields |= {name: c.get(name) for name in latent[:1]} | {name: c[name] for name in latent[1:]}
    fields["num_kv_heads"] = None
    if c.get("n_routed_experts"):
        fields |= {
            "num_experts": c["n_routed_experts"],
            "top_k": c["num_experts_per_tok"],
            "expert_ffn_hidden_size": c["moe_intermediate_size"],
            "num_shared_experts": c.get("n_shared_experts") or 0,
            "num_dense_layers": c.get("first_k_dense_replace", 0),
            "expert_layer_period": c.get("moe_layer_freq", 1),
            "router_bias": c.get("topk_method") == "noaux_tc" or c["model_type"] != "deepseek_v2",
        }
    return fields


def llama4(c: Fields) -> Fields:
    """Llama 4, its text part: chunked attention in three of four layers, a shared expert."""
    text = c.get("text_config", c)
    period = text.get("no_rope_layer_interval") or 4
    fields = _gated(text) | {
        "ffn_hidden_size": text["intermediate_size_mlp"],
        "num_experts": text["num_local_experts"],
        "top_k": text["num_experts_per_tok"],
        "expert_ffn_hidden_size": text["intermediate_size"],
        "num_shared_experts": 1,
        "expert_layer_period": text.get("interleave_moe_layer_step", 1),
    }
    if chunk := text.get("attention_chunk_size"):
        fields |= {"attention_window": chunk, "window_kind": "chunked", "full_attention_period": period}
    return fields


def gpt_oss(c: Fields) -> Fields:
    """GPT-OSS: biases everywhere, sinks, every second layer with a window."""
    biased = c.get("attention_bias", True)
    return {
        **_gated(c, qkv_bias=biased, output_bias=biased, mlp_bias=True),
        **_window(c),
        "attention_sinks": True,
        "num_experts": c["num_local_experts"],
        "top_k": c["num_experts_per_tok"],
        "router_bias": True,
    }


def _window(c: Fields) -> Fields:
    """A sliding window, in all layers or in all but every n-th."""
    window = c.get("sliding_window")
    layers = c.get("layer_types")
    if window is None or c.get("use_sliding_window") is False:
        return {}
    if not isinstance(layers, list):
        first = c.get("max_window_layers", 0) if c["model_type"].startswith("qwen") else 0
        if first:
            raise ValueError(
                "max_window_layers lets the first layers see all tokens, which has no place here"
            )
        return {"attention_window": window}
    whole = [index for index, layer in enumerate(layers, start=1) if "sliding" not in str(layer)]
    if len(whole) == len(layers):
        return {}
    if not whole:
        return {"attention_window": window}
    period = round(len(layers) / len(whole))
    if any(index % period for index in whole) or len(whole) != len(layers) // period:
        raise ValueError("layer_types with windows in no regular order")
    return {"attention_window": window, "full_attention_period": period}


def _gated(c: Fields, *, qkv_bias: bool = False, output_bias: bool = False, mlp_bias: bool = False) -> Fields:
    return {
        **_common(c),
        "ffn_hidden_size": c["intermediate_size"],
        "num_kv_heads": c.get("num_key_value_heads"),
        "head_dim": c.get("head_dim"),
        "mlp": "swiglu",
        "positions": "rotary",
        "norm": "rmsnorm",
        "tied_embeddings": c.get("tie_word_embeddings", False),
        "qkv_bias": qkv_bias,
        "output_bias": output_bias,
        "mlp_bias": mlp_bias,
    }


def _common(c: Fields) -> Fields:
    return {
        "num_layers": c["num_hidden_layers"],
        "hidden_size": c["hidden_size"],
        "num_heads": c["num_attention_heads"],
        "vocab_size": c["vocab_size"],
    }


READERS: dict[str, Callable[[Fields], Fields]] = {
    "gpt2": gpt2,
    "opt": opt,
    "bloom": bloom,
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "mixtral": mixtral,
    "qwen2_moe": qwen2_moe,
    "qwen3_moe": qwen3_moe,
    "deepseek_v2": deepseek,
    "deepseek_v3": deepseek,
    "kimi_k2": deepseek,
    "llama4": llama4,
    "llama4_text": llama4,
    "gpt_oss": gpt_oss,
}
"""By ``model_type``."""

WITH_EXPERTS = frozenset(
    {
        "mixtral",
        "qwen2_moe",
        "qwen3_moe",
        "deepseek_v2",
        "deepseek_v3",
        "kimi_k2",
        "llama4",
        "llama4_text",
        "gpt_oss",
    }
)
"""Model types whose reader takes the experts over; in any other they are refused."""

_GELU = frozenset({"gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu"})
_SILU = frozenset({"silu", "swish"})
ACTIVATIONS: dict[str, frozenset[str]] = {
    **dict.fromkeys(READERS, _SILU),
    "gpt2": _GELU | {"relu"},
    "opt": _GELU | {"relu"},
    "bloom": _GELU,
}
"""Activations whose MLP is the one that the family's reader gives: gated with silu, plain otherwise."""
