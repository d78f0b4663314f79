"""`simtool schema`: JSON Schema of every file that people write, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from simtool.cli import console, options
from simtool.errors import InputError, Problem, did_you_mean, output_error

KINDS = (
    "scenario",
    "datacenter",
    "accelerator",
    "node",
    "network",
    "software",
    "model",
    "encoder",
    "vision",
    "convnet",
    "recommender",
    "effect",
    "transfer",
    "facility",
    "tariff",
    "reliability",
    "jobs",
)
EPILOG = options.example(
    "simtool schema scenario > scenario.schema.json",
    "simtool schema -o schemas",
    "simtool schema -o schemas --check",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("schema", epilog=EPILOG, short_help="JSON Schema for editors")(schema)


def schema(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help=f"One of {', '.join(KINDS)}; all if not given.", show_default=False
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="DIR",
            help="Write KIND.schema.json files into this folder.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if the files in DIR are not up to date.")
    ] = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Export JSON Schema, so that an editor completes and checks scenarios and profiles.

    In a YAML file, the first line '# yaml-language-server: $schema=DIR/scenario.schema.json' tells
    most editors where it lies.
    """
    console.configure(verbose, quiet)
    from simtool.config.schema_export import json_schema

    if kind and kind not in KINDS:
        raise InputError(Problem("schema", "", f"unknown kind {kind!r}", did_you_mean(kind, KINDS)))
    texts = {
        one: json.dumps(json_schema(one), indent=2, ensure_ascii=False) + "\n"
        for one in ((kind,) if kind else KINDS)
    }
    if check:
        _compare(out, texts)
    elif out is None:
        whole = (
            next(iter(texts.values()))
            if kind
            else json.dumps({one: json.loads(texts[one]) for one in texts}, indent=2)
        )
        console.line(whole.rstrip("\n"))
    else:
        _write(out, texts)


def _compare(out: Path | None, texts: dict[str, str]) -> None:
    if out is None:
        raise InputError(
            Problem("schema", "", "found --check without -o", "", "name the folder that holds the files")
        )
    stale = []
    for kind, text in texts.items():
        path = out / f"{kind}.schema.json"
        if not path.is_file() or path.read_text("utf-8") != text:
            stale.append(Problem(str(path), "", "is not up to date", "", f"simtool schema -o {out}"))
    if stale:
        raise InputError(stale)
    if not console.is_quiet():
        console.line(f"{out}: {len(texts)} up to date")


def _write(out: Path, texts: dict[str, str]) -> None:
    from simtool.result.place import folder_for

    for kind, text in texts.items():
        path = out / f"{kind}.schema.json"
        partial = out / f".{path.name}.partial"
        try:
            with folder_for(out):
                try:
                    partial.write_text(text, "utf-8")
                    partial.replace(path)
                finally:
                    partial.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(error, path) from error
        console.line(str(path))
