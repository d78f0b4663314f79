"""A Hugging Face ``config.json`` as a `Transformer`.

Only architectures whose shape the class expresses exactly are read; any other is refused, because a
near guess would be a silently wrong parameter count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from simtool.errors import InputError, Problem
from simtool.workload.huggingface_families import ACTIVATIONS, READERS, WITH_EXPERTS, Fields
from simtool.workload.transformer import Transformer

MAX_CONFIG_BYTES = 2**20


def read_config(path: Path, seq_len: int | None = None) -> Transformer:
    """The transformer that a ``config.json`` describes.

    Args:
        path: the file.
        seq_len: tokens in the sequences that it is trained on: a window that holds them all is none.

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
    if not isinstance(model_type, str) or model_type not in READERS:
        # Near names are other models: no guess.
        experts = any(config.get(key) for key in _EXPERTS)
        hint = (
            "a mixture of experts of a kind that is not known"
            if experts
            else f"known: {', '.join(sorted(READERS))}"
        )
        raise _error(path, "model_type", f"found {model_type!r}, which is not a decoder known here", hint)
    if problems := [Problem(str(path), key, found, "", mend) for key, found, mend in _inexpressible(config)]:
        raise InputError(problems)
    try:
        return _without_idle_window(Transformer.model_validate(READERS[model_type](config)), seq_len)
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
    except (ValueError, TypeError, AttributeError) as error:
        raise _error(path, "", f"does not describe a transformer ({error})", "check its numbers") from None


def _without_idle_window(model: Transformer, seq_len: int | None) -> Transformer:
    window = model.attention_window
    if window is None or seq_len is None or window < seq_len:
        return model
    return model.model_copy(
        update={"attention_window": None, "full_attention_period": None, "window_kind": "sliding"}
    )


def _inexpressible(config: Fields) -> Iterator[tuple[str, str, str]]:
    """What of a config changes the work and has no place in `Transformer`: key, what was found, how to mend it."""
    for key in _EXPERTS if config["model_type"] not in WITH_EXPERTS else ():
        if config.get(key):
            yield key, f"found {_short(config[key])}: a mixture of experts", "use a dense model"
    for key in ("quantization_config", "compression_config"):
        stored = config.get(key)
        if stored and not (isinstance(stored, dict) and stored.get("quant_method") in _STORED):
            found = f"found {_short(config[key])}: quantised weights, which train in another way"
            yield key, found, "give the config of the model before it was quantised"
    for key in ("is_encoder_decoder", "add_cross_attention"):
        if config.get(key):
            yield key, f"found {_short(config[key])}: not a decoder alone", "use a decoder"
    for key in ("hidden_act", "activation_function"):
        allowed = ACTIVATIONS[config["model_type"]]
        if config.get(key) is not None and str(config[key]) not in allowed:
            found = f"found {_short(config[key])}, which a {config['model_type']} has not"
            yield key, found, f"allowed: {', '.join(sorted(allowed))}; others are another MLP"


def _short(value: object) -> str:
    text = "a mapping" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_experts_per_tok")
_STORED = frozenset({"fp8", "mxfp4"})
"""Formats in which some models publish weights that were trained in another; their shape is the same."""


def _error(path: Path, field: str, found: str, mend: str) -> InputError:
    return InputError(Problem(str(path), field, found, "", mend))
