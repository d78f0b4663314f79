"""The tables of fields of `docs/reference/datacenter.md`, made of the schema itself.

``python tests/docs/fields.py`` writes them into the page, between the two marks; the test compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from simtool.config.datacenter import Datacenter

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "datacenter.md"
BEGIN, END = "<!-- fields, written by tests/docs/fields.py -->\n", "<!-- end of the fields -->\n"
NOTHING = "-"
OF_SCENARIOS = ("Money", "Layout")
"""Sections that a scenario has as well, told there."""
PLAIN = {
    "accelerator": "Accelerator of the nodes: `simtool list hardware`",
    "bandwidth": "Of the store, for one job",
    "begin": "From when on",
    "causes": "By name",
    "cordon": "Nodes that break often are taken out",
    "detection": "Time until it is noticed",
    "fuel": "What it burns",
    "interest_per_year": "Of the money that stands in it",
    "interval": "Time of work between two checkpoints, `daly` or `young`",
    "jobs": "What runs",
    "kind": "How it is done",
    "length": "How long",
    "lemons": "Nodes that break far more often than others",
    "lifetime": "Over which the price is spread",
    "maintenance": "Planned, by name",
    "mode": "Whose the hardware is",
    "name": "A word for results: lower-case letters, digits, dot, dash, underscore",
    "network": "Network of the nodes, of their own if not given",
    "num_nodes": "Nodes that run jobs",
    "pool": "Name of the pool; any pool if not given",
    "power": "Most that all servers together may draw",
    "preemptible": "Whether others may take its accelerators",
    "preset": "`simtool list reliability`",
    "priority": "Higher goes first, where the scheduler looks at it",
    "profile": "Of a building: `simtool list facilities`",
    "pue": "One constant in place of a building and its weather",
    "question": "What the file is to answer",
    "repair": "Time until a failed node works again",
    "schema": "`simtool/datacenter/1`",
    "seed": "Of jobs and failures",
    "start": "Moment of second 0, with a time zone",
    "size": "Of a checkpoint",
    "stall": "Time that training stands still",
    "average": "What the grid emits",
    "deadline": "By when it is to have ended",
    "distribution": "Of the times around their mean",
    "energy": "Of the whole battery",
    "facility_lifetime": "Over which the building is spread",
    "failures": "So many",
    "file": "Path, relative to this file",
    "first": "Jobs submitted from then on",
    "lives": "How the times between failures are distributed",
    "marginal": "What one more kWh makes the grid emit",
    "mean": "Of the times",
    "money": "Year of the prices, and whether they are nominal or real",
    "node_failures_per_1000_node_days": "One rate for all that takes a node down, in place of causes",
    "num_accelerators": "That are reserved",
    "price": "What it costs",
    "rated": "Most that it gives",
    "reclaims_per_1000_node_days": "How often the owner takes nodes back",
    "region": "Only rows of this region",
    "restart": "Time after an interruption, before the first new work",
    "term": "How long",
    "threshold": "Power from the grid that peak shaving holds",
    "within": "In this time",
    "write": "Time until a checkpoint is safe",
}
"""Meaning of fields whose name says most."""


def tables() -> str:
    """One table for the file, and one for every section of it."""
    schema = Datacenter.model_json_schema()
    parts = [_table("The file", schema, schema)]
    parts += [_table(f"`{name}`", schema["$defs"][name], schema) for name in _sections(schema)]
    return "\n".join(parts)


def _sections(schema: dict[str, Any]) -> list[str]:
    """Names of the sections, those that stand higher in the file first."""
    found: list[str] = []
    waiting: list[Any] = [schema["properties"]]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            below = schema["$defs"].get(name, {})
            if "properties" in below and name not in (*found, *OF_SCENARIOS):
                found.append(name)
                waiting.append(below["properties"])
            waiting += [value for key, value in node.items() if key != "$ref"]
    return found


def _table(title: str, node: dict[str, Any], schema: dict[str, Any]) -> str:
    needed = set(node.get("required", ()))
    about = " ".join(str(node.get("description", "")).split()) if node is not schema else ""
    lines = [f"### {title}", "", *([about, ""] if about else [])]
    lines += ["| field | value | default | meaning |", "|---|---|---|---|"]
    for name, field in node["properties"].items():
        default = "needed" if name in needed else _default(field.get("default"))
        meaning = field.get("description") or PLAIN.get(name) or _of_section(field, schema)
        meaning = " ".join(str(meaning).split()).rstrip(".")
        cells = (f"`{name}`", _kind(field, schema), default, meaning.replace("|", "\\|").replace("``", "`"))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _of_section(field: Any, schema: dict[str, Any]) -> str:
    """What is said of the section that a field holds."""
    if isinstance(field, list):
        return next((found for one in field if (found := _of_section(one, schema))), "")
    if not isinstance(field, dict):
        return ""
    name = str(field.get("$ref", "")).rpartition("/")[2]
    about = str(schema["$defs"].get(name, {}).get("description", ""))
    return about.partition("\n")[0] or _of_section(list(field.values()), schema)


def _kind(field: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$comment" in field:
        return str(field["$comment"])
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"`{name}`" if "properties" in schema["$defs"].get(name, {}) else "quantity"
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in field:
            kinds = [_kind(one, schema) for one in field[choice] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    match field.get("type"):
        case "array":
            return f"list of {_kind(field.get('items', {}), schema)}" if field.get("items") else "list"
        case "object":
            inner = field.get("additionalProperties")
            return f"{_kind(inner, schema)} by name" if isinstance(inner, dict) else "mapping"
        case "string":
            return "moment" if field.get("format") == "date-time" else "text"
        case "integer":
            return "whole number"
        case "boolean":
            return "`true` or `false`"
        case kind:
            return str(kind or "text")


def _default(value: object) -> str:
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, dict):
        return f"{value['value']:g} {value.get('unit', '')}".strip() if "value" in value else "its own"
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value}`" if isinstance(value, str) else json.dumps(value)


def written(page: str) -> str:
    """A page with the tables as they are now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
