"""`simtool plot`: figures of a run, each with the table behind it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from simtool.cli import console, options

EPILOG = options.example(
    "simtool plot quickstart",
    "simtool plot out/quickstart/1a2b3c4d --only step-timeline",
    "simtool plot llama3-405b -o figures --set method=none",
    "simtool plot my-site.yaml --only site-bill",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("plot", epilog=EPILOG, short_help="figures of a run, with the data behind them")(plot)


def plot(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO", help="A scenario, a datacenter, or a run folder.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="DIR",
            help="Folder of the figures; 'figures' in the run folder (below ./out) if not given.",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Draw this figure alone; repeatable.")
    ] = None,
    changes: options.Set = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    profiles: options.Profiles = None,
    force: options.Force = False,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Draw figures: cost and energy projected, cost over the run, energy, power, the step, the method.

    Of a datacenter: power, queue, waits, energy and cost, bill, prices and carbon, weather, failures.

    Each figure is written as SVG and PNG with the CSV behind it.
    """
    console.configure(verbose, quiet)
    from simtool.cli import drawing, inputs, plot_site, sites
    from simtool.cli.drawing import Drawing

    if sites.is_datacenter(scenario):
        chosen_site = sites.target(scenario, profiles, changes, seed, seeds)
        plot_site.plot(chosen_site, out=out, only=only or [], force=force, as_json=as_json)
        return
    from simtool.report.gallery import PLATES, Subject, choose, write_plate
    from simtool.result.folder import FIGURES, write_run_folder

    plates = choose(only or [])
    chosen = inputs.target(scenario, profiles, changes, seed, seeds)
    with console.progress() as progress:
        result = inputs.solve(chosen, progress)
        folder = out
        if folder is None:
            base = chosen.folder or write_run_folder(
                result,
                Path("out"),
                command=console.command_line(),
                force=force,
                seeds=chosen.seeds,
                figures=[plate.name for plate in PLATES],
            )
            folder = base / FIGURES
        subject = Subject(result=result, library=chosen.library, seeds=chosen.seeds)
        drawn = drawing.draw(
            [
                Drawing(plate.name, plate.missing(result) or "", partial(write_plate, plate, subject))
                for plate in plates
            ],
            folder,
            progress,
        )
    drawing.tell(drawn, asked=bool(only), as_json=as_json)
