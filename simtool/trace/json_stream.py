"""Reads a JSON file of events that may be larger than the memory.

The text goes by in pieces. Of the outer object every value is kept but one: the array of events, which is
handed out in batches. A batch is a run of whole events, cut where one object ends and the next begins and
decoded at once by the C decoder of `json`. That the cut lay between two events is proved by the decoder
itself: text that decodes as a list has no event that is open at its end.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from simtool.trace.source import Source, refuse

EVENTS = "traceEvents"
_SHORT = 2**16
MAX_VALUE_CHARACTERS = 2**26
"""One event, or one other value of the outer object, is not longer."""
_BLANK = re.compile(r"[ \t\n\r]*")
_NEXT = re.compile(r"[ \t\n\r]*,[ \t\n\r]*\{")
_DECODER = json.JSONDecoder(strict=False)
Event = dict[str, Any]


class _Window:
    """The part of the text that is being looked at."""

    def __init__(self, source: Source) -> None:
        self.where = source.where
        self._pieces = source.pieces()
        self.text, self.place, self.num_before = "", 0, 0
        self.slow_until = 0
        """Character of the file up to which no cut between events could be found."""
        self.is_ended = False

    def more(self) -> bool:
        """Let go of what is behind `place`, and double what is before it. False at the end of the file."""
        if self.is_ended:
            return False
        parts, size = [self.text[self.place :]], 0
        self.num_before += self.place
        self.place = 0
        while size <= len(parts[0]):
            piece = next(self._pieces, None)
            if piece is None:
                self.is_ended = True
                break
            parts.append(piece)
            size += len(piece)
        self.text = "".join(parts)
        return size > 0

    def character(self) -> str:
        """The next one that is no blank, or nothing at the end of the file; `place` is moved to it."""
        while True:
            match = _BLANK.match(self.text, self.place)
            self.place = match.end() if match else self.place
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.more():
                return ""

    def value(self, what: str) -> Any:
        """The value that begins at `place`, which is moved behind it."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.place)
            except (ValueError, RecursionError) as error:
                self._refuse_or_grow(error, what)
                continue
            # A number at the end of the window may go on behind it.
            if end < len(self.text) or not self.more():
                self.place = end
                return value

    def _refuse_or_grow(self, error: Exception, what: str) -> None:
        if isinstance(error, RecursionError):
            self.fail(f"{what} is nested too deeply")
        if len(self.text) - self.place > MAX_VALUE_CHARACTERS:
            self.fail(f"{what} is longer than {MAX_VALUE_CHARACTERS} characters, or no JSON: {_told(error)}")
        ahead = getattr(error, "pos", self.place) - self.place
        if not self.more():
            position = self.place + ahead
            is_open = position >= len(self.text.rstrip()) or str(error).startswith("Unterminated")
            if is_open:
                self.fail(f"is cut in {what}")
            self.fail(f"{what} is no JSON: {_told(error)}", position)

    def expect(self, allowed: str, what: str) -> str:
        """Move behind the next character, which must be one of `allowed`."""
        found = self.character()
        if not found:
            self.fail(f"is cut behind {what}")
        if found not in allowed:
            self.fail(f"found {found!r} behind {what}, expected {' or '.join(map(repr, allowed))}")
        self.place += 1
        return found

    def fail(self, found: str, position: int | None = None) -> NoReturn:
        """Refuse the file at `place`, or at another position of the window."""
        place = self.num_before + (self.place if position is None else position)
        mend = "export the trace again, or copy it again"
        raise refuse(f"{self.where}:character {place + 1}", found, mend)


@contextmanager
def no_cycle_search() -> Iterator[None]:
    """Keeps the collector of cycles from looking through millions of plain values, which have none.

    They are freed by the count of references alone; the search would take a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_events(source: Source, header: dict[str, Any], events: str = EVENTS) -> Iterator[list[Event]]:
    """The events of a file in batches; what stands beside them is put into `header`.

    Args:
        source: the file: an object with an array `events`, or the array alone.
        header: takes the other values of the outer object, those behind the events too.
        events: name of the array.

    Raises:
        InputError: if it is no JSON, is cut, or has no such array; the place is told.
    """
    window = _Window(source)
    first = window.character()
    if first == "[":
        window.place += 1
        yield from _array(window)
    elif first == "{":
        window.place += 1
        yield from _object(window, header, events)
    else:
        window.fail("is empty" if not first else f"found {first!r}, where an object or array should begin")
    if window.character():
        window.fail("goes on behind the end of its JSON")


def read_documents(source: Source) -> Iterator[Any]:
    """JSON values that stand one behind the other, with or without commas between; of one array its elements.

    Raises:
        InputError: if one of them is no JSON, or is cut.
    """
    window = _Window(source)
    is_array = window.character() == "["
    if is_array:
        window.place += 1
    number = 0
    while found := window.character():
        if found == "]" and is_array:
            window.place += 1
            if window.character():
                window.fail("goes on behind the end of its JSON")
            return
        if found == "," and number:
            window.place += 1
            continue
        number += 1
        yield window.value(f"value {number}")
    if is_array:
        window.fail("is cut")


def _object(window: _Window, header: dict[str, Any], events: str) -> Iterator[list[Event]]:
    has_events = False
    if window.character() == "}":
        window.place += 1
    else:
        while True:
            key = window.value("a name") if window.character() == '"' else None
            if not isinstance(key, str):
                window.fail("found no name of a value" if window.character() else "is cut")
            window.expect(":", f"the name {key[:40]!r}")
            if window.character() == "[" and key == events:
                window.place += 1
                has_events = True
                yield from _array(window)
            else:
                header[key] = window.value(f"the value of {key[:40]!r}")
            if window.expect(",}", f"the value of {key[:40]!r}") == "}":
                break
    if not has_events:
        mend = "name a trace of the PyTorch profiler, or say with --format what it is"
        raise refuse(window.where, f"has no array {events!r}", mend)


def _array(window: _Window) -> Iterator[list[Event]]:
    """Events up to the end of the array, `place` behind it."""
    if window.character() == "]":
        window.place += 1
        return
    num_events = 0
    while True:
        window.character()
        batch = _batch(window)
        if not batch:
            event = window.value(f"event {num_events + 1}")
            if not isinstance(event, dict):
                window.fail(f"event {num_events + 1} is no object")
            batch = [event]
        num_events += len(batch)
        yield batch
        if window.expect(",]", f"event {num_events}") == "]":
            return


def _batch(window: _Window) -> list[Event]:
    """Whole events at once, or none where no cut can be found."""
    text, end = window.text, len(window.text)
    is_short = window.is_ended and end - window.place < _SHORT
    if is_short or window.num_before + window.place < window.slow_until:
        return []
    while (end := text.rfind("}", window.place, end)) > window.place:
        if _NEXT.match(text, end + 1):
            break
    else:
        return []
    try:
        batch = json.loads(f"[{text[window.place : end + 1]}]", strict=False)
    except (ValueError, RecursionError):
        batch = []
    if not batch or not all(type(event) is dict for event in batch):
        # The cut lay within an event or behind the array, or there is an error: event by event will tell.
        window.slow_until = window.num_before + len(text)
        return []
    window.place = end + 1
    found: list[Event] = batch
    return found


def _told(error: Exception) -> str:
    return getattr(error, "msg", str(error))
