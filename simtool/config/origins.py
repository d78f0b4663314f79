"""Where the values of a checked model were written: for results, and as the source of bare quantities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from simtool.config.marks import Document, Keys, dotted
from simtool.provenance import Sourced

DEFAULT = "default"
"""The origin of what was written nowhere."""

M = TypeVar("M", bound=BaseModel)


def origins_of(model: BaseModel, document: Document) -> dict[str, str]:
    """Origin of each leaf field, by dotted path: ``file.yaml:5:11``, ``--set`` or ``default``."""
    origins = {}
    for keys, leaf in leaves(model):
        at = (*keys, "value") if isinstance(leaf, Sourced) and (*keys, "value") in document.marks else keys
        origins[dotted(keys)] = document.origin(at) if at in document.marks else DEFAULT
    return origins


def with_sources(model: M, document: Document) -> M:
    """The same model; each quantity without a source gets the place where it was written."""
    filled: M = _filled(model, (), document)
    return filled


def leaves(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """The values of a model that hold no other values, with their path as files write it."""
    below: list[tuple[str | int, Any]] = []
    if isinstance(value, BaseModel):
        below = [(key, getattr(value, name)) for name, key in written_names(value)]
    elif isinstance(value, dict):
        below = list(value.items())
    elif isinstance(value, list | tuple):
        below = list(enumerate(value))
    for key, inner in below:
        yield from leaves(inner, (*keys, key))
    if not below:
        yield keys, value


def written_names(model: BaseModel) -> list[tuple[str, str]]:
    """Attribute and key in the file of every field, in their order."""
    return [(name, field.alias or name) for name, field in type(model).model_fields.items()]


def _filled(value: Any, keys: Keys, document: Document) -> Any:
    if isinstance(value, Sourced):
        return value if value.source else replace(value, source=document.origin(keys))
    if isinstance(value, BaseModel):
        before = {name: (getattr(value, name), (*keys, key)) for name, key in written_names(value)}
        after = {name: _filled(inner, at, document) for name, (inner, at) in before.items()}
        changed = {name: inner for name, inner in after.items() if inner is not before[name][0]}
        return value.model_copy(update=changed) if changed else value
    if isinstance(value, tuple):
        items = tuple(_filled(inner, (*keys, index), document) for index, inner in enumerate(value))
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(value, dict):
        members = {key: _filled(inner, (*keys, key), document) for key, inner in value.items()}
        return members if any(new is not value[key] for key, new in members.items()) else value
    return value
