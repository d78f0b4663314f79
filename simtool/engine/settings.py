"""Settings of a method or task as written on the command line, checked by name and range."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from simtool.errors import InputError, Problem, did_you_mean

T = TypeVar("T", float, int, str)


class Settings:
    """Reads ``{"keep": "0.5"}`` by name, with range, and refuses what nobody asked for.

    >>> settings = Settings("infobatch", {"drop": "0.5"})
    >>> settings.number("drop", 0.5, 0.0, 0.9)
    0.5
    >>> settings.done()
    """

    def __init__(self, owner: str, written: dict[str, str], where: str = "--method") -> None:
        self._owner, self._written, self._where = owner, dict(written), where
        self._known: set[str] = set()

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number from `low` to `high`, both allowed."""
        return self._take(name, default, float, low, high)

    def count(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both allowed."""
        return self._take(name, default, int, low, high)

    def word(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        """One of a few words."""
        self._known.add(name)
        value = self._written.get(name, default)
        if value not in allowed:
            raise InputError(
                Problem(
                    self._where, f"{self._owner}:{name}", f"found {value!r}", "", did_you_mean(value, allowed)
                )
            )
        return value

    def done(self) -> None:
        """Refuse settings that were not read."""
        problems = [
            Problem(
                self._where, f"{self._owner}:{name}", "unknown setting", "", did_you_mean(name, self._known)
            )
            for name in self._written
            if name not in self._known
        ]
        if problems:
            raise InputError(problems)

    def _take(self, name: str, default: T, convert: Callable[[str], T], low: T, high: T) -> T:
        self._known.add(name)
        if name not in self._written:
            return default
        text = self._written[name]
        value: T | None = None
        with suppress(ValueError):
            value = convert(text)
        if value is None or not low <= value <= high:
            raise InputError(
                Problem(
                    self._where,
                    f"{self._owner}:{name}",
                    f"found {text!r}",
                    f"{low} to {high}",
                    f"write e.g. {self._owner}:{name}={default}",
                )
            )
        return value
