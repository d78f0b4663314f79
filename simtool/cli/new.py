"""`simtool new`: a commented file to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from simtool.cli import console, options
from simtool.cli.template import SCENARIO
from simtool.cli.template_site import DATACENTER
from simtool.errors import InputError, OutputError, Problem, did_you_mean, output_error

KINDS = {"scenario": SCENARIO, "datacenter": DATACENTER}
EPILOG = options.example(
    "simtool new scenario my-run.yaml", "simtool new datacenter my-site.yaml", "simtool check my-run.yaml"
)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("new", epilog=EPILOG, short_help="a commented file to start from")(new)


def new(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="What to write: scenario or datacenter.", show_default=False)
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Write a scenario or a datacenter with a comment on every line, to be changed and run."""
    console.configure(verbose, quiet)
    if kind not in KINDS:
        raise InputError(Problem("new", "", f"unknown kind {kind!r}", did_you_mean(kind, KINDS)))
    if file.suffix not in (".yaml", ".yml"):
        raise InputError(
            Problem("new", "", f"found file {str(file)!r}", "a name ending in .yaml", f"write {file}.yaml")
        )
    if file.exists() and not force:
        raise OutputError(str(file), "exists already", "choose another name, or use --force")
    _write(file, KINDS[kind].replace("NAME", _name(file)).replace("FILE", console.plain(str(file))))
    if not quiet:
        console.line(f"{file} (now: simtool check {file}; simtool run {file})")


def _name(file: Path) -> str:
    """The name of what it asks from the file's: lower-case letters, digits, dot, dash, underscore.

    >>> _name(Path("My run #2.yaml"))
    'my-run-2'
    """
    return re.sub(r"[^a-z0-9._-]+", "-", file.stem.lower()).strip("-._")[:64] or "scenario"


def _write(file: Path, text: str) -> None:
    if not file.parent.is_dir():
        is_there = file.parent.exists()
        found = (
            f"{str(file.parent)!r} is no folder" if is_there else f"there is no folder {str(file.parent)!r}"
        )
        mend = "choose another place" if is_there else "make it, or choose another place"
        raise OutputError(str(file), found, mend)
    from simtool.result.place import write_whole

    try:
        write_whole(file, text)
    except OSError as error:
        raise output_error(error, file, "choose another place") from error
