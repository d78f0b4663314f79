"""A scenario with every default written out, and where each value came from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from simtool.config.dump import Inline, dump_yaml
from simtool.config.fields import written_long
from simtool.config.marks import Keys, dotted
from simtool.config.origins import written_names
from simtool.provenance import Sourced


def resolved_yaml(scenario: BaseModel, origins: Mapping[str, str]) -> str:
    """A scenario with every default and, behind each value, where it came from.

    `load_scenario` reads it back to an equal scenario: quantities are written with kind and source.

    Args:
        scenario: the scenario.
        origins: origin by dotted field, from `LoadedScenario.origins`.
    """
    comments: dict[Keys, str] = {}
    data = _written(scenario, (), origins, comments)
    return dump_yaml(data, comments)


def _written(value: Any, keys: Keys, origins: Mapping[str, str], comments: dict[Keys, str]) -> Any:
    """A model's value as plain data; the origins of its leaves are filed in `comments`."""
    if isinstance(value, BaseModel):
        return {
            key: _written(getattr(value, name), (*keys, key), origins, comments)
            for name, key in written_names(value)
        }
    if isinstance(value, dict) and value:
        return {key: _written(item, (*keys, key), origins, comments) for key, item in value.items()}
    if isinstance(value, list | tuple) and value:
        return [_written(item, (*keys, index), origins, comments) for index, item in enumerate(value)]
    if origin := origins.get(dotted(keys)):
        comments[keys] = origin
    if isinstance(value, Sourced):
        return Inline(written_long(value))
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value
