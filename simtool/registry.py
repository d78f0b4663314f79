"""Tables of plug-ins: register by name, refuse duplicates, help with a misspelt name.

A table knows its package by *name* and imports it on the first look-up, so a low layer can offer
the names of a high layer without importing it. Plug-ins of other distributions come in through
the entry-point group of the same name. A table stands beside the protocol of its entries: METHODS,
TARIFFS, SCHEDULERS, ALGORITHMS, TOPOLOGIES.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from simtool.errors import InputError, Problem, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Named implementations of one idea.

    >>> colours = Registry[int]("colour")
    >>> colours.register("red")(1)
    1
    >>> colours["red"]
    1
    """

    def __init__(self, noun: str, package: str = "", group: str = "") -> None:
        self.noun, self._package, self._group = noun, package, group
        self._items: dict[str, T] = {}
        self._loaded = not (package or group)

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files its target under `name`; a name taken twice is a programming error."""

        def file(item: T) -> T:
            if name in self._items:
                raise ValueError(
                    f"{self.noun} {name!r} is registered twice: "
                    f"{_where(self._items[name])} and {_where(item)}"
                )
            self._items[name] = item
            return item

        return file

    def __getitem__(self, name: str) -> T:
        self._load()
        if name not in self._items:
            raise InputError(
                Problem("", self.noun, f"unknown {self.noun} {name!r}", "", did_you_mean(name, self._items))
            )
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._items))

    def __len__(self) -> int:
        self._load()
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._items

    def summaries(self) -> dict[str, str]:
        """First docstring line of every entry, by name."""
        return {name: (self[name].__doc__ or "").strip().partition("\n")[0] for name in self}

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        if self._package:
            package = importlib.import_module(self._package)
            for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
                importlib.import_module(f"{self._package}.{module}")
        if self._group:
            for point in sorted(entry_points(group=self._group), key=lambda point: point.name):
                self.register(point.name)(point.load())


def _where(item: object) -> str:
    return f"{getattr(item, '__module__', '?')}.{getattr(item, '__qualname__', item)}"
