"""What may stand at a place, in words, read off the JSON Schema that editors get too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from simtool.config.marks import Keys, item, value_at

Node = dict[str, Any]
"""A JSON Schema, or a part of one."""

_TYPES = {
    "boolean": "true or false",
    "null": "nothing (null)",
    "integer": "a whole number",
    "number": "a number",
}
_BOUNDS = (
    ("exclusiveMinimum", "above"),
    ("minimum", "of at least"),
    ("exclusiveMaximum", "below"),
    ("maximum", "at most"),
    ("multipleOf", "a multiple of"),
)
_SIZES = (("minLength", "at least", "characters"), ("maxLength", "at most", "characters"))


class Shape:
    """The JSON Schema of a file, asked about places in a document."""

    def __init__(self, schema: Node) -> None:
        self._root = schema
        self._parts: dict[str, Node] = schema.get("$defs", {})

    def nodes(self, keys: Keys, data: Any) -> list[Node]:
        """The schemas of a place: one, or several where it lies below a choice.

        `data` decides between the branches of a choice that differ in a constant (``mode: rent``).
        """
        nodes = [self._root]
        for key in keys:
            # A constant that tells branches apart is asked of all of them: any may have been meant.
            every = [node for outer in nodes for node in self._branches(outer, None)]
            if not any("const" in node.get("properties", {}).get(key, {}) for node in every):
                every = [node for outer in nodes for node in self._branches(outer, data)]
            below = [self._below(node, key) for node in every]
            nodes = [node for node in below if node is not None]
            data = item(data, key)
        return nodes

    def known_keys(self, keys: Keys, data: Any) -> list[str]:
        """The keys that the mapping at `keys` may have."""
        return sorted({key for node in self._flat(keys, data) for key in node.get("properties", {})})

    def owners_of(self, key: str, keys: Keys, data: Any) -> list[str]:
        """The choices of the mapping at `keys`, as ``mode own``, that take a key which the one written does not."""
        here = value_at(data, keys)
        every = [node for outer in self.nodes(keys, data) for node in self._branches(outer, None)]
        return [
            f"{name} {constant}"
            for node in every
            if key in node.get("properties", {})
            for name, below in node["properties"].items()
            for constant in _constants(below)
            if isinstance(here, dict) and isinstance(constant, str) and here.get(name, constant) != constant
        ]

    def choices(self, keys: Keys, data: Any) -> list[Any]:
        """The constants among what may stand at `keys`."""
        return [choice for node in self._flat(keys, data) for choice in _constants(node)]

    def example(self, keys: Keys, data: Any) -> str:
        """How a value at `keys` might be written; empty where none is known."""
        nodes = self._flat(keys, data)
        return next((str(node["examples"][0]) for node in nodes if node.get("examples")), "")

    def takes(self, kind: str, keys: Keys, data: Any) -> bool:
        """Whether a JSON type is among what may stand at `keys`, quantities and constants aside."""
        nodes = self._flat(keys, data)
        plain = [node for node in nodes if "$comment" not in node and not _constants(node)]
        return any(node.get("type") == kind for node in plain)

    def words(self, keys: Keys, data: Any) -> str:
        """What may stand at `keys`."""
        phrases = [phrase for node in self.nodes(keys, data) for phrase in self._phrases(node)]
        return listed(list(dict.fromkeys(phrases)))

    def places_of(self, key: str) -> list[Keys]:
        """All places outside lists where a mapping may have `key`, the shallowest first."""
        found: list[Keys] = []
        queue: list[tuple[Keys, Node]] = [((), self._root)]
        for keys, outer in queue:
            for node in self._branches(outer, None):
                for name, below in node.get("properties", {}).items():
                    if name == key:
                        found.append((*keys, name))
                    if "$comment" not in below and len(keys) < 6:
                        queue.append(((*keys, name), below))
        return list(dict.fromkeys(found))

    def _flat(self, keys: Keys, data: Any) -> list[Node]:
        """The schemas of a place with every choice spread out."""
        here = value_at(data, keys)
        return [node for outer in self.nodes(keys, data) for node in self._branches(outer, here)]

    def _branches(self, node: Node, data: Any) -> list[Node]:
        """A schema without references and choices; of these, the branches that fit `data` best."""
        if "$ref" in node:
            return self._branches(self._parts[node["$ref"].rpartition("/")[2]], data)
        choices = node.get("anyOf") or node.get("oneOf")
        if not choices:
            return [node]
        branches = [branch for choice in choices for branch in self._branches(choice, data)]
        return _best(branches, data)

    def _below(self, node: Node, key: str | int) -> Node | None:
        if isinstance(key, int):
            first = node.get("prefixItems", [])
            return first[key] if key < len(first) else node.get("items")
        if key in node.get("properties", {}):
            inner: Node = node["properties"][key]
            return inner
        others = node.get("additionalProperties")
        return others if isinstance(others, dict) else None

    def _phrases(self, node: Node) -> Iterator[str]:
        if "$comment" in node:
            yield node["$comment"]
        elif "$ref" in node:
            yield from self._phrases(self._parts[node["$ref"].rpartition("/")[2]])
        elif choices := node.get("anyOf") or node.get("oneOf"):
            for choice in choices:
                if choice.get("type") != "null":
                    yield from self._phrases(choice)
        elif constants := _constants(node):
            yield from map(_quoted, constants)
        else:
            yield self._type_phrase(node)

    def _type_phrase(self, node: Node) -> str:
        kind = node.get("type", "")
        if kind == "object":
            required = node.get("required", [])
            return f"a mapping with {listed(required, 'and')}" if required else "a mapping"
        if kind == "array":
            least, most = node.get("minItems"), node.get("maxItems")
            if least == most:
                return f"a list of {least}" if least is not None else "a list"
            limits = [("at least", least), ("at most", most)]
            return (
                f"a list of {' and '.join(f'{word} {limit}' for word, limit in limits if limit is not None)}"
            )
        if kind == "string":
            return _text_phrase(node)
        what = _TYPES.get(kind, "any value")
        if "minimum" in node and "maximum" in node:
            return f"{what} from {node['minimum']:g} to {node['maximum']:g}"
        bounds = " and ".join(f"{words} {node[key]:g}" for key, words in _BOUNDS if key in node)
        return f"{what} {bounds}".rstrip()


@lru_cache(maxsize=32)
def shape_of(model_class: type[BaseModel]) -> Shape:
    """The shape of the files that are read into a class."""
    return Shape(model_class.model_json_schema())


def listed(words: list[str], last: str = "or") -> str:
    """Words as a list that can be read out.

    >>> listed(["a", "b", "c"])
    'a, b or c'
    """
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def _text_phrase(node: Node) -> str:
    if node.get("format") == "date-time":
        return "a date and time with its zone"
    parts = [f"{words} {node[key]} {unit}" for key, words, unit in _SIZES if key in node]
    if "pattern" in node:
        parts.append(f"of the form {node['pattern']}")
    return ", ".join(["text", *parts])


def _constants(node: Node) -> list[Any]:
    return list(node.get("enum", [node["const"]] if "const" in node else []))


def _best(branches: list[Node], data: Any) -> list[Node]:
    """The branches that contradict no constant of a mapping and leave the fewest of its keys unknown."""
    objects = [branch for branch in branches if "properties" in branch]
    if not isinstance(data, dict) or not objects:
        return branches

    def distance(branch: Node) -> tuple[int, int]:
        below = branch["properties"]
        wrong = sum(
            "const" in below[key] and below[key]["const"] != data[key] for key in data if key in below
        )
        return wrong, sum(key not in below for key in data)

    nearest = min(map(distance, objects))
    return [branch for branch in branches if branch not in objects or distance(branch) == nearest]


def _quoted(constant: Any) -> str:
    return repr(constant) if isinstance(constant, str) else str(constant).lower()
