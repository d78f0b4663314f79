"""Which model a published row trained: a preset by its name, the shape in its columns, or one of its size."""

from __future__ import annotations

import re
from typing import Any

from simtool.profiles.find import ProfileLibrary
from simtool.units import GIGA, TERA
from simtool.validate.table import Filled
from simtool.workload.encoder import Encoder
from simtool.workload.families import FAMILIES
from simtool.workload.transformer import Transformer

Expressed = Transformer | Encoder
PRESETS = ("model", "encoder")
ALIASES = {"gpt3-175b": "megatron-175b", "llama3.1-405b": "llama3.1-405b", "llama3-70b": "llama3-70b"}
ASPECT = 128
"""Width over depth of a decoder of which only the size is known (GPT-3 175B: 12,288 / 96)."""
T5_TARGETS_FRAC = 114.0 / 512.0
"""Decoder tokens for each of the encoder in span corruption (Raffel et al. 2020, arXiv 1910.10683)."""


def model_of(filled: Filled, library: ProfileLibrary) -> Expressed | None:
    """The model of a row; None where neither shape nor size is known.

    R-preset: the preset whose name the model's begins with, provided that stated layers and width agree; it
    fills what the columns do not say (shared experts, latent attention, windows, tied tables). R-size: a
    decoder of the stated number of weights, else of the one in its name.
    """
    name = filled.text("model").lower().replace("_", "-").replace(" ", "-")
    preset = _preset(name, filled, library)
    if preset is not None:
        filled.rules.append("R-preset")
        return preset
    fields = _columns(filled)
    if fields is None:
        fields = _of_size(filled, name)
    if fields is None:
        return None
    if name.startswith("t5"):
        return _encoder_decoder(filled, fields)
    return Transformer.model_validate(fields)


def _preset(name: str, filled: Filled, library: ProfileLibrary) -> Expressed | None:
    known = [(one, kind) for kind in PRESETS for one in library.names(kind) if name.startswith(one)]
    for one, kind in sorted(known, key=lambda pair: -len(pair[0])):
        rest = name.removeprefix(one)
        if rest and rest[0].isalnum():
            continue
        found = library.get(kind, one)
        model = FAMILIES[getattr(found, "family", "decoder")].model_validate(
            {
                field: getattr(found, field)
                for field in FAMILIES[getattr(found, "family", "decoder")].model_fields
            }
        )
        if isinstance(model, Transformer | Encoder) and _agrees(model, filled):
            return model
    return None


def _agrees(model: Expressed, filled: Filled) -> bool:
    layers = model.num_layers if isinstance(model, Transformer) else model.num_encoder_layers
    stated = ((filled.number("layers"), layers), (filled.number("hidden"), model.hidden_size))
    return all(value is None or int(value) == own for value, own in stated)


def _columns(filled: Filled) -> dict[str, Any] | None:
    """Fields of a decoder; None without layers and width.

    R-head: heads of 128 features where their number is blank. R-ffn: MLP of 4 x hidden. R-kv:
    as many key-value heads as heads. R-vocab: 51,200. R-mlp: an MLP other than 4 x hidden is gated, and a Llama's.
    R-topk: two of the experts. Models that are known to run every expert in full say so in no column: a blank
    top_k with experts whose size is given as switched stands for all of them (R-all).
    """
    layers, hidden = filled.number("layers"), filled.number("hidden")
    if not layers or not hidden:
        return None
    heads = filled.number("heads", "R-head", max(1, round(hidden / 128))) or 1
    ffn = filled.number("ffn_hidden", "R-ffn", 4 * hidden) or 4 * hidden
    experts = int(filled.number("experts") or 1)
    gated = ffn != 4 * hidden or experts > 1 or "llama" in filled.text("model").lower()
    if gated:
        filled.rules.append("R-mlp")
    fields: dict[str, Any] = {
        "num_layers": int(layers),
        "hidden_size": int(hidden),
        "num_heads": int(heads),
        "num_kv_heads": int(filled.number("kv_heads", "R-kv", heads) or heads),
        "head_dim": max(1, round(hidden / heads)),
        "ffn_hidden_size": int(ffn),
        "vocab_size": int(filled.number("vocab", "R-vocab", 51_200) or 51_200),
        "mlp": "swiglu" if gated else "gelu",
        "norm": "rmsnorm" if gated else "layernorm",
        "positions": "rotary" if gated else "alibi",
        "tied_embeddings": not gated,
        "qkv_bias": not gated,
        "output_bias": not gated,
        "mlp_bias": not gated,
    }
    if experts > 1:
        eager = filled.text("framework").startswith("PyTorch/HF")
        rule, copies = ("R-all", experts) if eager else ("R-topk", 2)
        top_k = filled.number("top_k", rule, copies) or copies
        fields |= {"num_experts": experts, "top_k": min(experts, int(top_k))}
    return fields


def _of_size(filled: Filled, name: str) -> dict[str, Any] | None:
    """R-size: 12 x layers x width^2 weights, width 128 x layers, or near it where tp would not divide the heads.

    R-work: as many weights as the stated work of a token needs, which is what the source counts per token (its
    FLOP/s over its tokens per second), a fact of the model and not of the speed; it tells a model whose name counts
    idle experts too.
    """
    if filled.text("moe") == "True":
        return None
    stated = filled.number("params_b")
    rate, throughput = filled.number("tflops_per_accel"), filled.number("tokens_per_s_per_accel")
    written = re.search(r"(\d+(?:\.\d+)?)b\b", name)
    if not stated and rate and throughput and written:
        filled.rules.append("R-work")
        stated = rate * TERA / throughput / 6.0 / GIGA
    if not stated and written:
        stated = float(written[1])
    if not stated:
        return None
    filled.rules.append("R-size")
    tp = int(filled.count("tp"))
    unit = ASPECT * tp
    width = unit * max(1, round((ASPECT * stated * GIGA / 12.0) ** (1.0 / 3.0) / unit))
    layers = width // ASPECT if tp == 1 else round(stated * GIGA / (12.0 * width**2))
    return {
        "num_layers": max(1, layers),
        "hidden_size": width,
        "num_heads": max(1, width // 128),
        "ffn_hidden_size": 4 * width,
        "vocab_size": 51_200,
    }


def _encoder_decoder(filled: Filled, fields: dict[str, Any]) -> Encoder:
    """R-t5: both stacks have the stated layers; the decoder reads 114 tokens for 512 of the encoder."""
    filled.rules.append("R-t5")
    return Encoder(
        num_encoder_layers=fields["num_layers"],
        num_decoder_layers=fields["num_layers"],
        hidden_size=fields["hidden_size"],
        num_heads=fields["num_heads"],
        head_dim=64,
        ffn_hidden_size=fields["ffn_hidden_size"],
        vocab_size=fields["vocab_size"],
        mlp="swiglu" if fields["mlp"] == "swiglu" else "relu",
        norm="rmsnorm",
        bias=False,
        positions="relative",
        target_frac=T5_TARGETS_FRAC,
    )
