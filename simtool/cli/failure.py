"""What every kind of error says, and which exit code it has."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import cast

import typer

from simtool import __version__
from simtool.cli import console
from simtool.errors import (
    EXIT_BUG,
    EXIT_INFEASIBLE,
    EXIT_INPUT,
    EXIT_OK,
    InputError,
    Problem,
    SimtoolError,
)

_EMPTY_VALUE = re.compile(r"--[a-z][a-z-]*=\Z")


def refuse_empty_words(words: Sequence[str]) -> None:
    """Refuse ``""`` and ``--name=``: an empty path would be the current folder, an empty name as good as none.

    Raises:
        InputError: the first of them, and behind which word it stands.
    """
    for place, word in enumerate(words):
        if word and not _EMPTY_VALUE.match(word):
            continue
        before = words[place - 1] if place else ""
        behind = f" behind {before}" if before.startswith("-") else ""
        found = f"found an empty word{behind}" if not word else f"found {word} without a value"
        mend = "write a value, or leave the option out" if word or behind else "write a name or a path"
        raise InputError(Problem("command line", "", found, "", mend))


def answer(error: BaseException) -> int:
    """Say what went wrong, and how that is called as an exit code."""
    if isinstance(error, SystemExit) and isinstance(error.__context__, OSError):
        error = error.__context__  # typer leaves on its own when a pipe closes
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_BUG
    if _is_broken_pipe(error):
        _forget_stdout()
        return EXIT_OK  # whoever read our output has seen enough
    code, message = _explained(error)
    if console.is_verbose():
        message = "".join(traceback.format_exception(error)) + message
    console.complain(message)
    return code


def _explained(error: BaseException) -> tuple[int, str]:
    if isinstance(error, SimtoolError):
        return error.exit_code, str(error)
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer: a word it does not know
        return EXIT_INPUT, _usage(error)
    if isinstance(error, MemoryError):
        return EXIT_INFEASIBLE, (
            "infeasible: memory of this machine: the question does not fit; fewer --seeds, a smaller "
            "scenario, or a machine with more memory"
        )
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if error.filename else "output: " if error.errno == errno.ENOSPC else ""
        return EXIT_INPUT, f"{place}{os.strerror(error.errno)}"
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return EXIT_BUG, (
        f"this is a bug in simtool {__version__}: {what}\n"
        "Please report it with the command and the scenario; -v shows where it arose."
    )


def _usage(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    lines = (
        [] if context is None else [context.get_usage(), f"Try '{context.command_path} --help' for help.", ""]
    )
    message = cast("typer.BadParameter", error).format_message()
    if message.startswith("Usage:"):  # no word at all: the help itself
        return message
    return "\n".join([*lines, f"Error: {message}"])


def _is_broken_pipe(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _forget_stdout() -> None:
    """Point stdout elsewhere, so that Python's own flush at exit does not fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
