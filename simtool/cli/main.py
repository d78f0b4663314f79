"""The entry point: which verbs there are, and what every kind of error says and exits with."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
from typing import Annotated, cast

import typer

from simtool import __version__
from simtool.cli import (
    check,
    compare,
    console,
    doctor,
    explain,
    list_,
    new,
    plot,
    run,
    schema,
    validate,
)
from simtool.errors import EXIT_BUG, EXIT_INFEASIBLE, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_OK, SimtoolError

app = typer.Typer(
    name="simtool",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        "\b\nExamples:\n  simtool run quickstart\n  simtool explain cost.total quickstart\n"
        "  simtool new scenario mine.yaml\n\n"
        "Exit codes: 0 done, 1 a bug in simtool, 2 bad input, 3 infeasible, 130 interrupted."
    ),
)
for verb in (run, plot, check, list_, explain, compare, validate, schema, doctor, new):
    verb.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        console.line(f"simtool {__version__}")
        raise typer.Exit


@app.callback()
def simtool(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """What a training run of an AI model costs, in time, energy, money and carbon, before it is started."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave the process with its exit code."""
    # What a batch scheduler sends unwinds like Ctrl-C, so that nothing is left half-written.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(call(arguments))


def call(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code. Every error becomes a message on stderr, none a traceback."""
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except BaseException as error:
        return _answer(error)
    if code == EXIT_INTERRUPTED:
        console.complain("interrupted; nothing was left half-written")
    return code


def _invoke(arguments: list[str] | None) -> int:
    code = app(arguments, prog_name="simtool", standalone_mode=False)
    return code if isinstance(code, int) else EXIT_OK


def _answer(error: BaseException) -> int:
    """Say what went wrong, and how that is called as an exit code."""
    if isinstance(error, SystemExit) and isinstance(error.__context__, OSError):
        error = error.__context__  # typer leaves on its own when a pipe closes
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_BUG
    if _is_broken_pipe(error):
        _forget_stdout()
        return EXIT_OK  # whoever read our output has seen enough
    code, message = _explained(error)
    if console.is_verbose() and not isinstance(error, KeyboardInterrupt):
        message = "".join(traceback.format_exception(error)) + message
    with contextlib.suppress(OSError):
        console.complain(message)
    return code


def _explained(error: BaseException) -> tuple[int, str]:
    if isinstance(error, SimtoolError):
        return error.exit_code, str(error)
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer: a word it does not know
        return EXIT_INPUT, _usage(error)
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED, "interrupted; nothing was left half-written"
    if isinstance(error, MemoryError):
        return EXIT_INFEASIBLE, (
            "infeasible: memory of this machine: the question does not fit; fewer --seeds, a smaller "
            "scenario, or a machine with more memory"
        )
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if error.filename else ""
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
    return "\n".join([*lines, f"Error: {message}"])


def _is_broken_pipe(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _forget_stdout() -> None:
    """Point stdout elsewhere, so that Python's own flush at exit does not fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
