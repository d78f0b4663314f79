"""Options that mean the same for every verb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Target = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO", help="Name of a shipped scenario, or path of a file.", show_default=False
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Change one field, e.g. cluster.num_nodes=64; repeatable."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, metavar="N", help="Seed of the run; the scenario's if not given."),
]
MAX_SEEDS = 10_000
"""Ten times as many move the 10th and 90th percentile by less than a hundredth of their distance."""
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        min=1,
        max=MAX_SEEDS,
        metavar="N",
        help=f"Simulate N runs, at most {MAX_SEEDS:,}, and show the spread between them.",
    ),
]
Profiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--profiles",
        metavar="DIR",
        envvar="SIMTOOL_PROFILES",
        help="Folder with profiles of your own, searched first; repeatable.",
    ),
]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where results go.")]
Force = Annotated[bool, typer.Option("--force", help="Compute again, and replace what is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        show_default=False,
        help="Say more; with an error, show where it arose.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but results and errors.")]


def example(*lines: str) -> str:
    """The closing lines of a verb's help: commands to copy."""
    return "\b\nExamples:\n" + "\n".join(f"  {one}" for one in lines)
