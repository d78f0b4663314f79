"""The entry point: what every kind of error says and exits with, from the first import on.

Nothing that takes time is imported at the top, so that Ctrl-C finds a guard from the very beginning.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INTERRUPTED = 130
"""The exit code; `simtool.errors`, which names them all, is not imported yet when it is first needed."""


_STOPS: list[int] = []
"""Every Ctrl-C that came: libraries turn the exception into others, or swallow it."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave the process with its exit code."""
    try:
        _listen()
        sys.unraisablehook = _unraisable
        _open_streams()
        code = call(arguments)
    except KeyboardInterrupt:
        code = INTERRUPTED  # a second one, while the first was being answered
    _be_deaf()
    sys.exit(code)


def _listen() -> None:
    """Ctrl-C, and what a batch scheduler sends, unwinds, so that nothing is left half-written."""
    import signal

    for one, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(one) is usual:  # a caller may have it ignored
            signal.signal(one, _stop)


def _stop(number: int, _: object) -> None:
    _STOPS.append(number)
    raise KeyboardInterrupt


def _be_deaf() -> None:
    """Everything is done: what comes now shall not be answered with a traceback of Python's own leaving."""
    import signal

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)


def call(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code. Every error becomes a message on stderr, none a traceback."""
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except BaseException as error:
        if not (_STOPS or isinstance(error, KeyboardInterrupt)):
            from simtool.cli.failure import answer

            return answer(error)
        code = INTERRUPTED
    if code == INTERRUPTED:  # of typer, or ours
        try:
            sys.stderr.write("interrupted; nothing was left half-written\n")
        except OSError:
            return code  # nobody reads it
    return code


def _invoke(arguments: list[str] | None) -> int:
    from simtool.cli.app import app
    from simtool.cli.failure import refuse_empty_words

    refuse_empty_words(sys.argv[1:] if arguments is None else arguments)
    code = app(arguments, prog_name="simtool", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _open_streams() -> None:
    """Give stdin, stdout and stderr a place where the caller closed them, and let any path be printed."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    import codecs
    import io

    codecs.register_error("simtool", _as_it_came)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="simtool")


def _as_it_came(error: UnicodeError) -> tuple[bytes, int]:
    """Bytes of a path that is not text go out as they came in; what a terminal cannot show is escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return b"".join(
        bytes([ord(letter) - 0xDC00])
        if "\udc80" <= letter <= "\udcff"
        else letter.encode("ascii", "backslashreplace")
        for letter in letters
    ), error.end


def _unraisable(what: Any) -> None:
    """Ctrl-C in a place from which Python raises nothing: raised again a moment later, not printed."""
    if not issubclass(what.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(what)
        return
    import _thread
    import threading

    again = threading.Timer(0.05, _thread.interrupt_main)
    again.daemon = True
    again.start()
