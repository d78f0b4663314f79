"""`simtool import`: other tools' traces and power logs as a trace of ours, and what stands in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simtool.cli import console, options

EPILOG = options.example(
    "simtool import trace.json.gz -o trace",
    "simtool import rank0.json rank1.json power.csv -o trace --json",
    "simtool import power.csv --format nvidia-smi --power-unit mW",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("import", epilog=EPILOG, short_help="a trace of other tools' traces and power logs")(import_)


def import_(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Traces and power logs of one run, plain or gzip.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Trace folder to write; none if not given."),
    ] = None,
    format_name: Annotated[
        str, typer.Option("--format", metavar="NAME", help="Format of all files; else told by their content.")
    ] = "",
    rank: Annotated[
        int | None, typer.Option("--rank", min=0, metavar="N", help="Keep this rank alone.")
    ] = None,
    power_unit: Annotated[
        str, typer.Option("--power-unit", metavar="UNIT", help="Unit of the powers: W, mW, kW or uW.")
    ] = "",
    power_offset: Annotated[
        float | None,
        typer.Option(
            "--power-offset",
            metavar="S",
            help="Seconds to add to the power logs' times; else they are found.",
        ),
    ] = None,
    period: Annotated[
        float | None,
        typer.Option("--period", metavar="S", help="Seconds between readings of a log without times."),
    ] = None,
    profiles: options.Profiles = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a trace that is there.")] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Read traces of the PyTorch profiler or Chakra and power logs, and say what stands in them.

    The format of each file is told by its content; power and ops are laid over each other by the time of day or,
    where that is not known, by power and load. With -o they are written as a trace folder.
    """
    console.configure(verbose, quiet)
    from simtool.cli import inputs, show_import
    from simtool.trace.importing import import_trace
    from simtool.trace.summary import summarise

    library = inputs.library(profiles)
    imported = import_trace(
        files,
        format_name=format_name,
        rank=rank,
        power_unit=power_unit,
        power_offset_s=power_offset,
        period_s=period,
    )
    summary = summarise(imported, library)
    if out is not None:
        imported.write(out, force=force)
    if as_json:
        console.say_json({**summary.as_json(), "folder": None if out is None else str(out)})
        return
    show_import.show(summary)
    if out is not None:
        console.line(str(out))
