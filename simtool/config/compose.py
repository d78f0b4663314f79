"""PyYAML's events put together, without recursion and within bounds.

Events arrive one by one, so the bounds on depth and on the number of values, aliases written out, hold
before any of them costs time or memory. Keys are text and unique, no tag but the core ones is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from simtool.config.marks import Keys, Mark, capped, dotted, shown
from simtool.config.scalars import resolve
from simtool.errors import InputError, Problem

MAX_DEPTH = 60
"""Levels of mappings and lists inside each other."""
MAX_VALUES = 100_000
"""Values in a document, with every alias written out."""
_MAX_SHOWN_KEYS = 10

FAST_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it; both parsers give the same data and marks."""

_TAG = "tag:yaml.org,2002:"
_CHECK_BRACKETS = "check the indentation and the brackets"
_CHECK_ESCAPES = "in double quotes a backslash is written twice"
_MENDS = (
    ("cannot start any token", "quote text that begins with one of % @ ` and indent with spaces, not tabs"),
    ("mapping values are not allowed", "put text that holds ': ' in quotes, and check the indentation"),
    ("',' or", "close the bracket, or put a comma between its items"),
    ("while scanning a quoted scalar", "close the quotation mark"),
    ("escape", _CHECK_ESCAPES),
    ("while scanning a simple key", "put a colon and a space after the key"),
)


@dataclass(slots=True, kw_only=True)
class Node:
    """A value before aliases are written out."""

    mark: Mark
    content: Any = None
    """A scalar, a list of nodes, or a list of (key, mark of the key, node)."""
    is_list: bool = False
    is_mapping: bool = False
    num_values: int = 1
    """Itself and all below, aliases written out; 0 while it is still open."""
    height: int = 0
    """Levels of collections from here down."""
    plain_merge: bool = False
    """A plain ``<<``, which YAML 1.1 would merge."""


@dataclass(slots=True, kw_only=True)
class _Open:
    """A collection whose end has not come yet."""

    node: Node
    start_values: int
    key: str | None = None
    key_mark: Mark | None = None
    first: dict[str, Mark] = field(default_factory=dict)

    def here(self) -> Keys:
        """The part of a path that this collection adds: nothing while a key is being read."""
        if self.node.is_list:
            return (len(self.node.content),)
        return () if self.key is None else (self.key,)


@dataclass(slots=True, kw_only=True)
class Composer:
    """Puts events together; what can be gone on from is collected, what cannot is raised."""

    file: str
    """Name of the text in marks and messages."""
    root_keys: Keys
    """Path of this text's root inside a larger document."""
    inline: bool
    """Block collections are refused and places not counted, as in ``--set``."""
    root: Node | None = None
    problems: list[Problem] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    num_values: int = 0

    def read(self, text: str, loader: type[Any]) -> None:
        """Compose a text with the parser of a PyYAML loader."""
        for event in _events(text, loader, self):
            match event:
                case yaml.DocumentStartEvent():
                    self._start_document(event)
                case yaml.ScalarEvent():
                    self._add(self._scalar(event))
                case yaml.AliasEvent():
                    self._add(self._alias(event))
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._open(event)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    self._close()

    def mark(self, line: int, column: int) -> Mark:
        """A place, from PyYAML's counts, which begin at 0."""
        return Mark(0, 0, self.file) if self.inline else Mark(line + 1, column + 1, self.file)

    def stop(self, mark: Mark, found: str, allowed: str = "", mend: str = "") -> InputError:
        """What was found so far, and the problem after which nothing can be read."""
        keys = self._keys()
        field = dotted(keys) if len(keys) <= _MAX_SHOWN_KEYS else ""
        problem = Problem(str(mark), field, found, allowed, mend)
        return InputError([*capped(self.problems, self.file), problem])

    def _complain(self, mark: Mark, found: str, allowed: str, mend: str, key: str | None = None) -> None:
        keys = self._keys() if key is None else (*self._keys(), key)
        self.problems.append(Problem(str(mark), dotted(keys), found, allowed, mend))

    def _keys(self) -> Keys:
        return self.root_keys + tuple(key for frame in self.stack for key in frame.here())

    def _mark(self, event: Any) -> Mark:
        return self.mark(event.start_mark.line, event.start_mark.column)

    def _start_document(self, event: Any) -> None:
        if self.root is not None:
            mend = "write one document a file, and remove '---'"
            raise self.stop(self._mark(event), "found a second document", "", mend)
        if event.version not in (None, (1, 2)):
            found = f"found %YAML {'.'.join(map(str, event.version))[:20]}"
            raise self.stop(self._mark(event), found, "allowed: YAML 1.2", "remove the line")

    def _scalar(self, event: Any) -> Node:
        mark = self._mark(event)
        self._count(mark, 1)
        node = Node(mark=mark, content=self._meaning(event, mark))
        node.plain_merge = event.implicit[0] and event.value == "<<"
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _meaning(self, event: Any, mark: Mark) -> Any:
        text: str = event.value
        tag: str | None = event.tag
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            self._complain(mark, "found half of a surrogate pair", "", "write \\U and eight hex digits")
            return None
        if tag == _TAG + "str" or (tag is None and not event.implicit[0]):
            return text
        if tag is not None and tag not in {_TAG + name for name in ("null", "bool", "int", "float")}:
            self._complain_tag(mark, tag)
            return None
        try:
            meaning = resolve(text)
        except ValueError:
            mend = "write a smaller number, or put it in quotes"
            self._complain(mark, f"found the number {shown(text)[1:-1]}", "allowed: up to 1.8e308", mend)
            return None
        if tag is None:
            return meaning
        name = tag.removeprefix(_TAG)
        if name == "float" and type(meaning) is int:
            return float(meaning)
        if type(meaning).__name__.removesuffix("Type").replace("None", "null") != name:
            self._complain(mark, f"found {shown(text)} with the tag !!{name}", "", "remove the tag")
        return meaning

    def _complain_tag(self, mark: Mark, tag: str) -> None:
        found = f"found the tag {shown(tag.replace(_TAG, '!!'))}"
        self._complain(mark, found, "allowed: plain YAML values; nothing in a file is run", "remove the tag")

    def _alias(self, event: Any) -> Node:
        mark = self._mark(event)
        target = self.anchors.get(event.anchor)
        if target is None:
            self._complain(mark, f"found *{event.anchor[:40]} without &{event.anchor[:40]} before it", "", "")
            return Node(mark=mark)
        if target.num_values == 0:
            raise self.stop(mark, f"found *{event.anchor[:40]} inside itself", "", "write the value out")
        self._count(mark, target.num_values)
        self._check_depth(mark, len(self.stack) + target.height)
        return Node(
            mark=mark,
            content=target.content,
            is_list=target.is_list,
            is_mapping=target.is_mapping,
            num_values=target.num_values,
            height=target.height,
            plain_merge=target.plain_merge,
        )

    def _open(self, event: Any) -> None:
        mark = self._mark(event)
        if self.inline and not event.flow_style:
            mend = "put text in quotes, or write [a, b] or {key: value}"
            raise self.stop(mark, "found a block of several parts", "allowed: one value", mend)
        self._check_depth(mark, len(self.stack) + 1)
        is_list = isinstance(event, yaml.SequenceStartEvent)
        if event.tag not in (None, _TAG + ("seq" if is_list else "map")):
            self._complain_tag(mark, event.tag)
        start_values = self.num_values
        self._count(mark, 1)
        node = Node(mark=mark, content=[], is_list=is_list, is_mapping=not is_list, num_values=0)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        self.stack.append(_Open(node=node, start_values=start_values))

    def _close(self) -> None:
        frame = self.stack.pop()
        node = frame.node
        below = node.content if node.is_list else [item for *_, item in node.content]
        node.height = 1 + max((item.height for item in below), default=0)
        node.num_values = self.num_values - frame.start_values
        self._add(node)

    def _add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if frame.node.is_list:
            frame.node.content.append(node)
        elif frame.key is None:
            self._add_key(frame, node)
        else:
            frame.node.content.append((frame.key, frame.key_mark, node))
            frame.key = None

    def _add_key(self, frame: _Open, node: Node) -> None:
        key = node.content
        if node.plain_merge:
            mend = "write the keys out, or take them from another file with 'extends:'"
            self._complain(node.mark, "found the merge key <<", "", mend, "<<")
        elif not isinstance(key, str):
            what = shown([] if node.is_list else {} if node.is_mapping else key)
            mend = "write a text" if node.is_list or node.is_mapping else "put it in quotes"
            self._complain(node.mark, f"found {what} as a key", "allowed: text", mend)
            key = f"?{len(frame.first)}"
        elif key in frame.first:
            found = f"found this key a second time, first at {frame.first[key]}"
            self._complain(node.mark, found, "allowed: each key once", "remove one of them", key)
        frame.first.setdefault(key, node.mark)
        frame.key, frame.key_mark = key, node.mark

    def _count(self, mark: Mark, num_values: int) -> None:
        self.num_values += num_values
        if self.num_values > MAX_VALUES:
            found = f"found more than {MAX_VALUES:,} values, counted with every alias written out"
            raise self.stop(mark, found, "", "write fewer, and keep tables in CSV files")

    def _check_depth(self, mark: Mark, depth: int) -> None:
        if depth > MAX_DEPTH:
            found = f"found more than {MAX_DEPTH} mappings and lists inside each other"
            raise self.stop(mark, found, "", "nest less, and check for brackets that are not closed")


def _events(text: str, loader: type[Any], composer: Composer) -> Iterator[Any]:
    """PyYAML's events; whatever its parsers raise on malformed text becomes one problem."""
    last = composer.mark(0, 0)
    try:
        events: Iterator[Any] = yaml.parse(text, Loader=loader)
        for event in events:
            last = composer.mark(event.start_mark.line, event.start_mark.column)
            yield event
    except yaml.MarkedYAMLError as error:
        words = f"{error.context or ''} {error.problem or ''}"
        unclosed = "quoted scalar" in words and "end of stream" in words
        place: Any = error.context_mark if unclosed else error.problem_mark
        mark = last if place is None else composer.mark(place.line, place.column)
        mend = next((mend for part, mend in _MENDS if part in words), _CHECK_BRACKETS)
        problem = str(error.problem).removeprefix("found ")
        raise composer.stop(mark, f"found text that is not YAML: {problem}", "", mend) from None
    except (yaml.YAMLError, ValueError, OverflowError):
        # The pure-Python scanner lets int() and chr() fail on escapes like "\UFFFFFFFF".
        found = "found text that is not YAML here or soon after"
        raise composer.stop(last, found, "", _CHECK_ESCAPES) from None
