"""Plain data back to YAML that people like to read and `load_yaml` reads back to the same data.

So do plain PyYAML and other readers of YAML 1.1: what they would take for something else is quoted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from simtool.config.marks import Keys, dotted
from simtool.config.scalars import resolve

_INDENT = "  "
_MAX_KEY = 100
"""YAML finds the colon of a plain key within 1024 characters; a longer key is written with a ``?``."""

_FIRST = r"(?:[A-Za-zÀ-ɏ0-9_/(+]|-(?=[0-9.]))"
_LETTERS = r"A-Za-zÀ-ɏ0-9_./()+*%=<>~^@ "
_PLAIN = re.compile(rf"{_FIRST}[{_LETTERS}-]*(?<! )\Z")
_PLAIN_IN_BLOCK = re.compile(rf"{_FIRST}(?:[{_LETTERS},;'-]|:(?=[A-Za-z0-9/]))*(?<! )\Z")
_TO_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Inline(dict[str, Any]):
    """A mapping of scalars that `dump_yaml` writes on one line."""


def dump_yaml(data: Mapping[str, Any], comments: Mapping[Keys, str] | None = None) -> str:
    """YAML 1.2 in block style.

    Args:
        data: mappings with text keys (`Inline` ones of scalars on one line), lists, text, numbers,
            booleans and None.
        comments: what to write behind a value, by its path.

    Raises:
        TypeError: anything else in the data.
        ValueError: text with half of a surrogate pair, which no YAML file can hold.

    >>> print(dump_yaml({"name": "NO", "tokens": "15 T", "limits": [1e12, None], "notes": {}}), end="")
    name: "NO"
    tokens: 15 T
    limits:
      - 1000000000000.0
      - null
    notes: {}
    """
    lines = _mapping(data, "", (), comments or {}) if data else ["{}"]
    return "\n".join(lines) + "\n"


def _mapping(data: Mapping[str, Any], pad: str, keys: Keys, comments: Mapping[Keys, str]) -> Iterator[str]:
    for key, value in data.items():
        if not isinstance(key, str):
            raise TypeError(f"{dotted(keys)}: a key must be text, not {type(key).__name__}")
        here = (*keys, key)
        written = _scalar(key)
        if len(written) > _MAX_KEY:
            yield f"{pad}? {written}"
            written = ""
        yield from _entry(f"{pad}{written}:", value, pad + _INDENT, here, comments)


def _entry(head: str, value: Any, pad: str, keys: Keys, comments: Mapping[Keys, str]) -> Iterator[str]:
    """A key or a dash with its value, on one line or on the lines below."""
    comment = f"  # {comments[keys]}" if keys in comments else ""
    if isinstance(value, Mapping) and value and not isinstance(value, Inline):
        below = _mapping(value, pad, keys, comments)
    elif isinstance(value, list | tuple) and value:
        below = _list(value, pad, keys, comments)
    else:
        yield f"{head} {_one_line(value)}{comment}"
        return
    if head.endswith("-"):  # the first line of a list's item stands beside the dash
        yield f"{head} {next(below)[len(pad) :]}"
    else:
        yield f"{head}{comment}"
    yield from below


def _list(items: Sequence[Any], pad: str, keys: Keys, comments: Mapping[Keys, str]) -> Iterator[str]:
    for index, item in enumerate(items):
        yield from _entry(f"{pad}-", item, pad + _INDENT, (*keys, index), comments)


def _one_line(value: Any) -> str:
    if isinstance(value, Inline):
        parts = [f"{_scalar(key)}: {_scalar(item, inline=True)}" for key, item in value.items()]
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    return _scalar(value, inline=False)


def _scalar(value: Any, *, inline: bool = True) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return _text(value, _PLAIN if inline else _PLAIN_IN_BLOCK)
    raise TypeError(f"{type(value).__name__} cannot be written as YAML")


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    written = repr(float(value))
    return written if "." in written else written.replace("e", ".0e")  # YAML 1.1 asks for the point


def _text(text: str, plain: re.Pattern[str]) -> str:
    """Text without quotes where it cannot be taken for anything else, else in double quotes."""
    if plain.match(text) and not _is_special(text):
        return text
    if _SURROGATE.search(text):
        raise ValueError(f"{text!r} holds half of a surrogate pair")
    quoted = json.dumps(text, ensure_ascii=False)
    return _TO_ESCAPE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _is_special(text: str) -> bool:
    """Whether YAML 1.2, or a reader that still follows YAML 1.1, would take plain text for something else."""
    try:
        meaning = resolve(text)
    except ValueError:
        return True
    elsewhere = yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], [])
    return not isinstance(meaning, str) or any(pattern.match(text) for _, pattern in elsewhere)
