"""A Hugging Face ``config.json`` as a `Transformer`.

Only architectures whose shape the class expresses exactly are read; any other is refused, because a
near guess would be a silently wrong parameter count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simtool.errors import InputError, Problem
from simtool.workload.transformer import Transformer

MAX_CONFIG_BYTES = 2**20

Fields = dict[str, Any]


def read_config(path: Path, seq_len: int | None = None) -> Transformer:
    """The transformer that a ``config.json`` describes.

    Args:
        path: the file.
        seq_len: tokens in the sequences that it is trained on; without it, no sliding window is allowed.

    Raises:
        InputError: not a JSON object, an architecture that is not covered, a field that is missing, or one
            that changes the work in a way that `Transformer` cannot express.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise _error(path, "", "found a device or pipe", "give a model's config.json")
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise _error(
                path, "", f"found a file above {MAX_CONFIG_BYTES} bytes", "give a model's config.json"
            )
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise _error(path, "", f"cannot be read: {error.strerror}", "check the path") from None
    except (ValueError, RecursionError) as error:
        raise _error(path, "", f"found no valid JSON ({error})", "give a model's config.json") from None
    if not isinstance(config, dict):
        raise _error(path, "", "found no JSON object", "give a model's config.json")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in _READERS:
        # Near names are other models: no guess.
        experts = any(config.get(key) for key in _EXPERTS)
        hint = (
            "a mixture of experts, which is not modelled yet"
            if experts
            else f"known: {', '.join(sorted(_READERS))}"
        )
        raise _error(
            path, "model_type", f"found {model_type!r}, which is not a dense decoder known here", hint
        )
    if problems := [
        Problem(str(path), key, found, "", mend) for key, found, mend in _inexpressible(config, seq_len)
    ]:
        raise InputError(problems)
    try:
        return Transformer.model_validate(_READERS[model_type](config))
    except KeyError as error:
        raise _error(path, str(error.args[0]), "is missing", "add it") from None
    except ValidationError as error:
        flaws = [
            Problem(
                str(path), ".".join(map(str, flaw["loc"])), f"found {flaw['input']!r}"[:80], "", flaw["msg"]
            )
            for flaw in error.errors()
        ]
        raise InputError(flaws) from None
    except (ValueError, TypeError) as error:
        raise _error(path, "", f"does not describe a transformer ({error})", "check its numbers") from None


def _inexpressible(config: Fields, seq_len: int | None) -> Iterator[tuple[str, str, str]]:
    """What of a config changes the work and has no place in `Transformer`: key, what was found, how to mend it."""
    for key in _EXPERTS:
        if config.get(key):
            yield key, f"found {_short(config[key])}: a mixture of experts", "use a dense model"
    for key in ("quantization_config", "compression_config"):
        if config.get(key):
            found = f"found {_short(config[key])}: quantised weights, which train in another way"
            yield key, found, "give the config of the model before it was quantised"
    for key in ("is_encoder_decoder", "add_cross_attention"):
        if config.get(key):
            yield key, f"found {_short(config[key])}: not a decoder alone", "use a decoder"
    window = config.get("sliding_window")
    if window is not None and _slides(config) and not (_is_count(window) and seq_len and window >= seq_len):
        found = f"found {_short(window)}: attention over a window that is shorter than the sequence"
        mend = "remove it to count full attention, which is more work, or lower workload.seq_len to it"
        yield "sliding_window", found, mend
    for key in ("hidden_act", "activation_function"):
        allowed = _ACTIVATIONS[config["model_type"]]
        if config.get(key) is not None and str(config[key]) not in allowed:
            found = f"found {_short(config[key])}, which a {config['model_type']} has not"
            yield key, found, f"allowed: {', '.join(sorted(allowed))}; others are another MLP"


def _slides(config: Fields) -> bool:
    """Whether any layer uses the sliding window that a config states."""
    layers = config.get("layer_types")
    if isinstance(layers, list):
        return any("sliding" in str(layer) for layer in layers)
    return config.get("use_sliding_window") is not False


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _short(value: object) -> str:
    text = "a mapping" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _gpt2(c: Fields) -> Fields:
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


def _opt(c: Fields) -> Fields:
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


def _bloom(c: Fields) -> Fields:
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


def _llama(c: Fields) -> Fields:
    biased = c.get("attention_bias", False)
    return _gated(c, qkv_bias=biased, output_bias=biased, mlp_bias=c.get("mlp_bias", False))


def _mistral(c: Fields) -> Fields:
    return _gated(c, qkv_bias=False, output_bias=False, mlp_bias=False)


def _qwen2(c: Fields) -> Fields:
    return _gated(c, qkv_bias=True, output_bias=False, mlp_bias=False)


def _gated(c: Fields, **biases: bool) -> Fields:
    return {
        **_common(c),
        "ffn_hidden_size": c["intermediate_size"],
        "num_kv_heads": c.get("num_key_value_heads"),
        "head_dim": c.get("head_dim"),
        "mlp": "swiglu",
        "positions": "rotary",
        "norm": "rmsnorm",
        "tied_embeddings": c.get("tie_word_embeddings", False),
        **biases,
    }


def _common(c: Fields) -> Fields:
    return {
        "num_layers": c["num_hidden_layers"],
        "hidden_size": c["hidden_size"],
        "num_heads": c["num_attention_heads"],
        "vocab_size": c["vocab_size"],
    }


_READERS: dict[str, Callable[[Fields], Fields]] = {
    "gpt2": _gpt2,
    "opt": _opt,
    "bloom": _bloom,
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
}

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_experts_per_tok")
_GELU = frozenset({"gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu"})
_SILU = frozenset({"silu", "swish"})
_ACTIVATIONS: dict[str, frozenset[str]] = {
    "gpt2": _GELU | {"relu"},
    "opt": _GELU | {"relu"},
    "bloom": _GELU,
    "llama": _SILU,
    "mistral": _SILU,
    "qwen2": _SILU,
}
"""Activations whose MLP is the one that the family's reader gives: gated with silu, plain otherwise."""


def _error(path: Path, field: str, found: str, mend: str) -> InputError:
    return InputError(Problem(str(path), field, found, "", mend))
