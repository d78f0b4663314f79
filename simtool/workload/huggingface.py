"""A Hugging Face ``config.json`` as a `Transformer`.

Only architectures whose shape the class expresses exactly are read; any other is refused, because a
near guess would be a silently wrong parameter count.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simtool.errors import InputError, Problem, did_you_mean
from simtool.workload.transformer import Transformer

MAX_CONFIG_BYTES = 2**20

Fields = dict[str, Any]


def read_config(path: Path) -> Transformer:
    """The transformer that a ``config.json`` describes.

    Raises:
        InputError: not a JSON object, an architecture that is not covered, or a field that is missing.
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
        hint = did_you_mean(str(model_type), _READERS)
        raise _error(
            path, "model_type", f"found {model_type!r}, which is not a dense decoder known here", hint
        )
    _refuse_extras(path, config)
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


def _refuse_extras(path: Path, config: Fields) -> None:
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        if config.get(key):
            raise _error(path, key, f"found {config[key]!r}: a mixture of experts", "use a dense model")


def _gpt2(c: Fields) -> Fields:
    return {
        "num_layers": c["n_layer"],
        "hidden_size": c["n_embd"],
        "num_heads": c["n_head"],
        "ffn_hidden_size": c.get("n_inner") or 4 * c["n_embd"],
        "vocab_size": c["vocab_size"],
        "max_positions": c["n_positions"],
        "tied_embeddings": c.get("tie_word_embeddings", True),
    }


def _opt(c: Fields) -> Fields:
    if c.get("word_embed_proj_dim", c["hidden_size"]) != c["hidden_size"]:
        raise ValueError("word_embed_proj_dim differs from hidden_size")
    return {
        **_common(c),
        "ffn_hidden_size": c["ffn_dim"],
        "max_positions": c["max_position_embeddings"] + 2,  # OPT's position table begins at 2
        "mlp": "relu",
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


def _error(path: Path, field: str, found: str, mend: str) -> InputError:
    return InputError(Problem(str(path), field, found, "", mend))
