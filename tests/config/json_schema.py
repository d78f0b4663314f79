"""As much of JSON Schema 2020-12 as our schemas use; an unknown keyword is an error, not ignored."""

from __future__ import annotations

import re
from typing import Any

ANNOTATIONS = {"$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples", "format"}
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


class Checker:
    """Tells whether data obey a schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def obeys(self, data: Any, node: dict[str, Any] | None = None) -> bool:
        node = self.schema if node is None else node
        return all(self._keyword(key, argument, node, data) for key, argument in node.items())

    def _keyword(self, key: str, argument: Any, node: dict[str, Any], data: Any) -> bool:
        if key in ANNOTATIONS or key in ("then", "else"):
            return True
        if key == "$ref":
            return self.obeys(data, self.schema["$defs"][argument.removeprefix("#/$defs/")])
        if key == "type":
            return any(
                self._is(kind, data) for kind in ([argument] if isinstance(argument, str) else argument)
            )
        if key in ("const", "enum"):
            return data in ([argument] if key == "const" else argument)
        if key == "anyOf":
            return any(self.obeys(data, choice) for choice in argument)
        if key == "oneOf":
            return sum(self.obeys(data, choice) for choice in argument) == 1
        if key == "if":
            return self.obeys(data, node.get("then" if self.obeys(data, argument) else "else", {}))
        if key == "discriminator":  # of OpenAPI: says again what `oneOf` says
            return set(argument) <= {"propertyName", "mapping"}
        return self._limit(key, argument, node, data)

    def _limit(self, key: str, argument: Any, node: dict[str, Any], data: Any) -> bool:
        is_number = self._is("number", data)
        limits = {
            "minimum": lambda: not is_number or data >= argument,
            "maximum": lambda: not is_number or data <= argument,
            "exclusiveMinimum": lambda: not is_number or data > argument,
            "exclusiveMaximum": lambda: not is_number or data < argument,
            "minLength": lambda: not isinstance(data, str) or len(data) >= argument,
            "maxLength": lambda: not isinstance(data, str) or len(data) <= argument,
            "pattern": lambda: not isinstance(data, str) or re.search(argument, data) is not None,
            "minItems": lambda: not isinstance(data, list) or len(data) >= argument,
            "maxItems": lambda: not isinstance(data, list) or len(data) <= argument,
            "minProperties": lambda: not isinstance(data, dict) or len(data) >= argument,
            "required": lambda: not isinstance(data, dict) or set(argument) <= set(data),
            "prefixItems": lambda: (
                not isinstance(data, list) or all(map(self.obeys, data, argument[: len(data)]))
            ),
            "items": lambda: (
                not isinstance(data, list)
                or all(self.obeys(item, argument) for item in data[len(node.get("prefixItems", [])) :])
            ),
            "properties": lambda: (
                not isinstance(data, dict)
                or all(self.obeys(data[name], part) for name, part in argument.items() if name in data)
            ),
            "propertyNames": lambda: (
                not isinstance(data, dict) or all(self.obeys(name, argument) for name in data)
            ),
            "additionalProperties": lambda: not isinstance(data, dict) or self._others(argument, node, data),
        }
        return bool(limits[key]())

    def _others(self, argument: Any, node: dict[str, Any], data: dict[str, Any]) -> bool:
        others = [data[name] for name in data if name not in node.get("properties", {})]
        if isinstance(argument, bool):
            return argument or not others
        return all(self.obeys(item, argument) for item in others)

    def _is(self, kind: str, data: Any) -> bool:
        return isinstance(data, TYPES[kind]) and not (
            kind in ("integer", "number") and isinstance(data, bool)
        )
