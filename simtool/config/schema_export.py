"""JSON Schema (draft 2020-12) of every kind of file, for editors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from simtool.config.kinds import FileKind, file_kind
from simtool.config.phrases import Node

DIALECT = "https://json-schema.org/draft/2020-12/schema"
WHOLE = "Whole"
"""Ends the names of the parts that ask for everything a file must hold."""


def json_schema(kind: str) -> dict[str, Any]:
    """JSON Schema of a kind of file.

    A file that extends another may leave out what its parent holds, at any depth. So the schema asks
    for nothing but what is told apart by it, and a file without ``extends`` must also obey a second
    copy that asks for everything.

    Args:
        kind: a key of `simtool.config.kinds.KINDS`.

    Raises:
        InputError: no such kind.
    """
    described = file_kind(kind)
    whole = _described(described)
    part = copy.deepcopy(whole)
    _each_node(part, _relax)
    _each_node(whole, _refer_to_whole)
    parts, wholes = part.pop("$defs", {}), whole.pop("$defs", {})
    names = {f"{name}{WHOLE}": node for name, node in wholes.items()}
    return {
        "$schema": DIALECT,
        "$id": f"https://simtool.invalid/schema/{kind}.json",
        **part,
        "required": ["schema"],
        "if": {"required": ["extends"]},
        "else": {"$ref": f"#/$defs/{WHOLE}"},
        "$defs": {**parts, **names, WHOLE: whole},
    }


def _described(kind: FileKind) -> Node:
    """The schema of the class, with what every file may hold."""
    schema = copy.deepcopy(kind.load().model_json_schema())
    schema["properties"] = {
        "schema": {"const": kind.schema, "title": "Schema", "description": "Kind and version of this file."},
        "extends": {
            "type": "string",
            "title": "Extends",
            "description": "A file of the same kind; its values hold where this file states none.",
        },
        **{key: below for key, below in schema["properties"].items() if key != "schema"},
    }
    _each_node(schema, lambda node: node.pop("discriminator", None))  # a word of OpenAPI
    if not kind.bare_quantities:
        _each_node(schema, _require_source)
    return schema


def _each_node(node: Any, change: Callable[[Node], object]) -> None:
    """Change every mapping of a schema, the inner ones first."""
    for below in list(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()):
        _each_node(below, change)
    if isinstance(node, dict):
        change(node)


def _require_source(node: Node) -> None:
    """Leave only the long form of a quantity."""
    if "$comment" in node and "oneOf" in node:
        words, long = node["$comment"], node.pop("oneOf")[1]
        node |= {**long, "$comment": words}


def _relax(node: Node) -> None:
    """Ask for no key, except in a quantity, which is written whole or not at all."""
    if "$comment" in node:
        return
    if isinstance(node.get("required"), list):
        del node["required"]
    if isinstance(node.get("oneOf"), list):
        node["anyOf"] = node.pop("oneOf")


def _refer_to_whole(node: Node) -> None:
    if isinstance(node.get("$ref"), str):
        node["$ref"] += WHOLE
