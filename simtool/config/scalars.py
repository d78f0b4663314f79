"""What a plain scalar means: the core schema of YAML 1.2.2, chapter 10.3."""

from __future__ import annotations

import math
import re

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"(?:0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_TOO_LARGE = 2**1024
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")


def resolve(text: str) -> str | int | float | bool | None:
    """What a plain scalar means in the core schema of YAML 1.2.

    Raises:
        ValueError: a number that no float can hold.

    >>> [resolve(text) for text in ("1e12", "17:00", "NO", "010", "0o10", "~", "2022-01-01")]
    [1000000000000.0, '17:00', 'NO', 10, 8, None, '2022-01-01']
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.match(text) or _BASED.match(text):
        whole = int(text, 0 if text[1:2] in ("o", "x") else 10)
        if abs(whole) >= _TOO_LARGE:
            raise ValueError(text)
        return whole
    if _FLOAT.match(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError(text)
        return number
    if _NOT_FINITE.match(text):
        return float(text.replace(".", "", 1))
    return text
