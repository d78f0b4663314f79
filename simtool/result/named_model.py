"""The model that a scenario names: a preset, a file, or its fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simtool.config.marks import Document
from simtool.config.validate import validate
from simtool.errors import InputError, Problem, did_you_mean
from simtool.profiles.find import ProfileLibrary
from simtool.workload.captured_graph import read_model
from simtool.workload.families import PRESET_KINDS, family_of
from simtool.workload.huggingface import read_config
from simtool.workload.model import Model
from simtool.workload.preset import PRESETS
from simtool.workload.transformer import Transformer

FIELD = "workload.model"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """A model and where it comes from."""

    model: Model
    source: str
    digests: dict[str, str]
    """SHA-256 of its preset by ``kind/name``; of a file of the user's it is taken elsewhere."""


def named_model(
    written: str | dict[str, Any],
    *,
    seq_len: int | None,
    document: Document,
    folder: Path,
    library: ProfileLibrary,
) -> NamedModel:
    """The model that stands in a scenario.

    Args:
        written: a preset's name, a file's path, or the model's fields.
        seq_len: tokens in a sequence, None where that is not known.
        document: of the scenario.
        folder: where relative paths begin.
        library: where presets are found.

    Raises:
        InputError: it is none of them.
    """
    if isinstance(written, dict):
        section = document.part(tuple(FIELD.split(".")))
        family = family_of(written, document.locate(FIELD))
        origins = (section.origin((field,)) for field in written)
        return NamedModel(model=validate(section, family), source=next(origins, "the scenario"), digests={})
    if written.endswith(".json"):
        return NamedModel(model=read_config(folder / written, seq_len), source=written, digests={})
    if written.endswith((".yaml", ".yml")):
        captured = read_model(folder / written)
        return NamedModel(model=captured, source=captured.workload.source, digests={})
    kinds = {name: kind for kind in PRESET_KINDS for name in library.names(kind)}
    if written not in kinds:
        found = f"found {written!r}, which is no preset"
        allowed = "a preset, the path of a config.json or a captured workload, or the model's fields"
        mend = did_you_mean(written, kinds)
        raise InputError(Problem(document.locate(FIELD), FIELD, found, allowed, mend))
    kind = kinds[written]
    preset = library.get(kind, written)
    if not isinstance(preset, PRESETS):
        raise TypeError(f"library returned {type(preset).__name__} for {kind} {written}")
    digests = {f"{kind}/{written}": library.digest(kind, written)}
    return NamedModel(model=preset.shape(), source=preset.source, digests=digests)


def check_length(model: Model, seq_len: int, locate: Callable[[str], str]) -> None:
    """Refuse sequences that a model cannot have: samples count as one token each, learned positions end.

    Raises:
        InputError: with why, at the scenario's place.
    """
    field, allowed = "workload.seq_len", ""
    if problem := model.sequence_problem(seq_len):
        found, mend = problem
    elif isinstance(model, Transformer) and model.positions == "learned" and seq_len > model.max_positions:
        found = f"found {seq_len:,} tokens"
        allowed = f"at most {model.max_positions:,}, the model's learned positions"
        mend = "shorten the sequences, or write the model with a larger max_positions"
    else:
        return
    raise InputError(Problem(locate(field), field, found, allowed, mend))
