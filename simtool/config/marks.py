"""Where each value of a document was written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypeVar

from simtool.errors import Problem

T = TypeVar("T")
Key = str | int
Keys = tuple[Key, ...]
"""Path of a value inside a document: mapping keys and list indices, from the top down."""

COMMAND_LINE = "--set"
MAX_PROBLEMS = 50
"""More problems than this in one file are counted, not shown."""
_MAX_SHOWN = 60
_STEP = re.compile(r"(?P<key>[^.\[\]]+)|\[(?P<index>[0-9]{1,6})\]")


class Mark(NamedTuple):
    """A place in a file, counted from 1; line 0 means the whole of `file`, e.g. the command line.

    >>> str(Mark(8, 11, "scenarios/a.yaml"))
    'scenarios/a.yaml:8:11'
    >>> str(Mark(0, 0, "--set"))
    '--set'
    """

    line: int
    column: int
    file: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Plain data and where it was written; parents and overrides are already merged in."""

    path: Path
    data: dict[str, Any]
    marks: Mapping[Keys, Mark]
    """Place of every value; the empty path is the document itself."""
    key_marks: Mapping[Keys, Mark]
    """Place of every mapping key, by the path of its value."""
    files: tuple[str, ...]
    """The file itself, then its parents, nearest first."""
    at: Keys = ()
    """Path of this part in the whole document; paths in messages begin with it."""

    def mark(self, keys: Keys) -> Mark:
        """Place of a value, or of the nearest mapping or list around it."""
        around = (keys[:end] for end in range(len(keys), -1, -1))
        return next((self.marks[at] for at in around if at in self.marks), Mark(0, 0, str(self.path)))

    def key_mark(self, keys: Keys) -> Mark:
        """Place of a key; of the value where the key stands in no mapping."""
        return self.key_marks.get(keys) or self.mark(keys)

    def origin(self, keys: Keys) -> str:
        """Place of a value as results cite it: the file is named relative to the document's folder.

        Unlike a `Mark` it does not depend on the folder that simtool was started from, so the same
        scenario gives the same result files everywhere.
        """
        mark = self.mark(keys)
        if not mark.line:
            return str(mark)
        file = PurePath(os.path.relpath(mark.file, self.path.parent)).as_posix()
        return str(mark._replace(file=file.encode("utf-8", "backslashreplace").decode("utf-8")))

    def part(self, keys: Keys) -> Document:
        """The mapping at `keys` as a document of its own, with its places.

        Raises:
            KeyError: no mapping stands there.
        """
        data: Any = self.data
        for key in keys:
            data = data[key]
        if not isinstance(data, dict):
            raise KeyError(dotted(keys))

        def below(marks: Mapping[Keys, Mark]) -> dict[Keys, Mark]:
            return {at[len(keys) :]: mark for at, mark in marks.items() if at[: len(keys)] == keys}

        return Document(
            path=self.path,
            data=data,
            marks=below(self.marks),
            key_marks=below(self.key_marks),
            files=self.files,
            at=(*self.at, *keys),
        )

    def locate(self, field: str) -> str:
        """Place of a dotted field, or of the nearest section around it, as messages give it."""
        return str(self.mark(tuple(steps(field))))

    def field(self, keys: Keys) -> str:
        """A path in this part as messages write it, from the top of the whole document."""
        return dotted((*self.at, *keys))

    def in_order(self, placed: Sequence[tuple[Mark, T]]) -> list[tuple[Mark, T]]:
        """What has places, by file (this one, its parents, the command line), line and column."""

        def place(item: tuple[Mark, T]) -> tuple[int, Mark]:
            file = item[0].file
            return (self.files.index(file) if file in self.files else len(self.files), item[0])

        return sorted(placed, key=place)


def dotted(keys: Keys) -> str:
    """A path as people write it.

    >>> dotted(("cluster", "assume", "power_limit", 0))
    'cluster.assume.power_limit[0]'
    """
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            shown_key = key if key.isprintable() and len(key) <= _MAX_SHOWN else shown(key)
            text += f".{shown_key}" if text else shown_key
    return text


def steps(path: str) -> Iterator[Key]:
    """Keys and indices of a written path, the way back from `dotted`.

    >>> tuple(steps("cluster.assume.power_limit[0]"))
    ('cluster', 'assume', 'power_limit', 0)
    """
    for step in _STEP.finditer(path):
        yield step["key"] if step["key"] is not None else int(step["index"])


def shown(value: object) -> str:
    """A value as error messages quote it: in YAML's words, on one line, never long.

    >>> shown(None), shown(True), shown({"a": 1}), shown("700 W")
    ('nothing (null)', 'true', 'a mapping', "'700 W'")
    """
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, str):
        return repr(value if len(value) <= _MAX_SHOWN else value[: _MAX_SHOWN - 3] + "...")
    if isinstance(value, int) and abs(value) >= 10**_MAX_SHOWN:
        return "a number of more than 60 digits"
    return repr(value)


def holds(data: Any, key: Key) -> bool:
    """Whether a mapping has this key, or a list this index."""
    if isinstance(data, dict):
        return key in data
    return isinstance(data, list) and isinstance(key, int) and 0 <= key < len(data)


def item(data: Any, key: Key) -> Any:
    """What stands at a key or index; None where nothing does."""
    return data[key] if holds(data, key) else None


def value_at(data: Any, keys: Keys) -> Any:
    """What stands at a path; None where nothing does."""
    for key in keys:
        data = item(data, key)
    return data


def walk(data: object, keys: Keys = ()) -> Iterator[tuple[Keys, object]]:
    """Every value of plain data with its path, top down."""
    yield keys, data
    if isinstance(data, dict):
        for key, value in data.items():
            yield from walk(value, (*keys, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from walk(value, (*keys, index))


def capped(problems: Sequence[Problem], file: str, num_more: int = 0) -> list[Problem]:
    """At most `MAX_PROBLEMS` problems, and how many more there are, `num_more` that are not listed included."""
    more = max(0, len(problems) - MAX_PROBLEMS) + num_more
    if not more:
        return list(problems)
    return [*problems[:MAX_PROBLEMS], Problem(file, "", f"found {more} more problems")]
