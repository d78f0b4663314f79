"""What reaches the terminal: tables to stdout, everything else to stderr.

Plain text by default: no colour without a terminal or with NO_COLOR, no boxes, ASCII lines, and a
width of 80 where there is no terminal to ask.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

DEFAULT_WIDTH = 80
PATIENCE_S = 0.7
"""Work that takes less shows no progress."""
LOGGER = logging.getLogger("simtool")


def configure(verbose: int, quiet: bool) -> None:
    """Send the library's log to stderr: warnings; with -q errors only; with -v and -vv more."""
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False


def is_verbose() -> bool:
    """Whether -v was given."""
    return LOGGER.isEnabledFor(logging.INFO)


def is_quiet() -> bool:
    """Whether -q was given."""
    return not LOGGER.isEnabledFor(logging.WARNING)


def stdout() -> Console:
    """Where results go."""
    from rich.console import Console

    return Console(
        file=sys.stdout, highlight=False, markup=False, emoji=False, width=_width(sys.stdout), soft_wrap=False
    )


def _width(stream: Any) -> int | None:
    """The terminal's own width (None), COLUMNS, or 80."""
    if stream.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return None
    return DEFAULT_WIDTH


def say(text: str = "", style: str = "") -> None:
    """One paragraph to stdout, wrapped at words."""
    console = stdout()
    for part in textwrap.wrap(text, console.width, break_long_words=False, break_on_hyphens=False) or [""]:
        console.print(part, style=style or None, soft_wrap=True)


def line(text: str) -> None:
    """One line to stdout that is never wrapped: paths, YAML, what is meant to be copied."""
    sys.stdout.write(text + "\n")


def tell(text: str) -> None:
    """One line to stderr, unless -q was given."""
    if not is_quiet():
        complain(text)


def complain(text: str) -> None:
    """An error to stderr; where nobody reads that, the exit code still tells."""
    with suppress(OSError):
        sys.stderr.write(text.rstrip("\n") + "\n")


def say_json(content: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON value to stdout. Paths that are not text are escaped, so that the JSON always is."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        text = json.dumps(content, indent=2, allow_nan=False, default=str)
    sys.stdout.write(text + "\n")


WIDEST = 1000
"""What no table is wider than."""


def table(headings: Sequence[str], right: Sequence[str] = (), fold: Sequence[str] = ()) -> Table:
    """A table without boxes.

    Args:
        headings: of the columns.
        right: those whose cells end at the right edge: numbers.
        fold: those that give way, in lines of whole words, where the terminal is narrow.
    """
    from rich.box import Box
    from rich.table import Table

    lines = Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)
    new = Table(box=lines, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for heading in headings:
        new.add_column(
            heading,
            justify="right" if heading in right else "left",
            no_wrap=heading not in fold,
            overflow="fold",
        )
    return new


def show(shown: Table, *, below: bool = True) -> None:
    """A table to stdout, without blanks at the ends of its lines, and an empty line below it.

    One that does not fit is wider than the terminal rather than cut.
    """
    from rich.measure import Measurement

    console = stdout()
    wide = console.options.update_width(WIDEST)
    for column in shown.columns:
        if column.no_wrap:  # what rich takes for its minimum is the longest word
            cells = [column.header, *column.cells]
            column.min_width = max(Measurement.get(console, wide, cell).maximum for cell in cells)
    console.width = max(console.width, Measurement.get(console, wide, shown).minimum)
    with console.capture() as captured:
        console.print(shown)
    text = "\n".join(row.rstrip() for row in captured.get().splitlines())
    sys.stdout.write(text + ("\n\n" if below else "\n"))


def command_line() -> str:
    """The command as it was typed, for the manifest."""
    return plain(shlex.join(["simtool", *sys.argv[1:]]))


def plain(text: str) -> str:
    r"""Text for a file; bytes of a path that are no text are escaped.

    >>> print(plain("caf\udce9.yaml"))
    caf\udce9.yaml
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def progress() -> Iterator[Progress]:
    """One line on stderr that follows long work; on a terminal only, and wiped at the end."""
    follower = Progress()
    try:
        yield follower
    finally:
        follower.wipe()


class Progress:
    """Called with what is being done and the share of it that is done."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._shown_s = 0.0
        self._length = 0
        self._wanted = sys.stderr.isatty() and not is_quiet()

    def __call__(self, what: str, done_frac: float) -> None:
        """Redraw the line, at most ten times a second."""
        now_s = time.monotonic()
        if not self._wanted or now_s - self._began_s < PATIENCE_S or now_s - self._shown_s < 0.1:
            return
        self._shown_s = now_s
        text = f"{what} {100 * done_frac:3.0f} %"[: DEFAULT_WIDTH - 1]
        sys.stderr.write("\r" + text.ljust(self._length))
        sys.stderr.flush()
        self._length = len(text)

    def with_time_left(self, what: str) -> Callable[[float], None]:
        """A follower of one piece of work that also says how long it still takes."""

        def follow(done_frac: float) -> None:
            passed_s = time.monotonic() - self._began_s
            left = f", {passed_s / done_frac - passed_s:.0f} s left" if done_frac > 0.02 else ""
            self(f"{what}{left}", done_frac)

        return follow

    def wipe(self) -> None:
        """Take the line away."""
        if self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            sys.stderr.flush()
            self._length = 0
