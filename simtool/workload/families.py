"""Every family of models that a scenario or a preset can name, by what ``family`` says."""

from __future__ import annotations

from simtool.errors import InputError, Problem, did_you_mean
from simtool.workload.convnet import ConvNet
from simtool.workload.encoder import Encoder
from simtool.workload.recommender import Recommender
from simtool.workload.transformer import Transformer
from simtool.workload.vision import VisionTransformer

FamilyClass = type[Transformer] | type[Encoder] | type[VisionTransformer] | type[ConvNet] | type[Recommender]

FAMILIES: dict[str, FamilyClass] = {
    "decoder": Transformer,
    "encoder": Encoder,
    "vision": VisionTransformer,
    "convnet": ConvNet,
    "recommender": Recommender,
}

PRESET_KINDS = ("model", "encoder", "vision", "convnet", "recommender")
"""Kinds of files that presets are: a decoder's is ``model``."""


def family_of(fields: dict[str, object], where: str) -> FamilyClass:
    """The class that a model's fields are of: a decoder where they do not say.

    Raises:
        InputError: an unknown family.

    >>> family_of({"family": "convnet"}, "").__name__
    'ConvNet'
    """
    name = fields.get("family", "decoder")
    if not isinstance(name, str) or name not in FAMILIES:
        found = f"found {name!r}"[:80]
        hint = did_you_mean(str(name)[:80], FAMILIES)
        raise InputError(
            Problem(where, "workload.model.family", found, f"allowed: {', '.join(FAMILIES)}", hint)
        )
    return FAMILIES[name]
