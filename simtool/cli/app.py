"""Which verbs there are."""

from __future__ import annotations

from typing import Annotated

import typer

from simtool import __version__
from simtool.cli import (
    calibrate,
    capture,
    check,
    compare,
    console,
    doctor,
    explain,
    import_,
    jobs,
    list_,
    measure,
    new,
    plot,
    project,
    run,
    schema,
    validate,
)

app = typer.Typer(
    name="simtool",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        "\b\nExamples:\n  simtool run quickstart\n  simtool explain cost.total quickstart\n"
        "  simtool new scenario mine.yaml\n"
        "  simtool new datacenter site.yaml\n\n"
        "Exit codes: 0 done, 1 a bug in simtool, 2 bad input, 3 infeasible, 130 interrupted."
    ),
)
for verb in (
    run,
    plot,
    check,
    list_,
    explain,
    compare,
    measure,
    import_,
    jobs,
    capture,
    project,
    validate,
    calibrate,
    schema,
    doctor,
    new,
):
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
