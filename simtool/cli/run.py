"""`simtool run`: what a training run costs, or what a datacenter does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simtool.cli import console, options

EPILOG = options.example(
    "simtool run quickstart",
    "simtool run my-scenario.yaml --set cluster.num_nodes=64 -o results",
    "simtool run llama3-405b --seeds 20 --json > llama.json",
    "simtool run my-datacenter.yaml --set scheduler.name=fcfs",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(
        "run", epilog=EPILOG, short_help="time, energy, money and carbon of a scenario or a datacenter"
    )(run)


def run(
    scenario: options.Target,
    out: options.Out = Path("out"),
    changes: options.Set = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    profiles: options.Profiles = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and price one step; simulate and write nothing.")
    ] = False,
    force: options.Force = False,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Run a scenario: time, energy, money and carbon, with and without its method. Or run a datacenter.

    Of a datacenter: its jobs over months, with queue, failures, power, cooling, bill, carbon and water.

    Writes a run folder OUT/SCENARIO/HASH with the summary, the bill, the ledger and a timeline. The
    same question again is answered from its folder.
    """
    console.configure(verbose, quiet)
    from simtool.cli import inputs, show_run, sites

    if sites.is_datacenter(scenario):
        from simtool.cli import run_site

        run_site.run(
            scenario,
            out=out,
            changes=changes,
            seed=seed,
            seeds=seeds,
            profiles=profiles,
            dry_run=dry_run,
            force=force,
            as_json=as_json,
        )
        return
    if dry_run:
        from simtool.cli import show_plan

        chosen = inputs.target(scenario, profiles, changes, seed, seeds)
        show_plan.show(chosen, out, as_json=as_json)
        return
    chosen = inputs.target(scenario, profiles, changes, seed, seeds)
    with console.progress() as progress:
        answer = inputs.answer(chosen, out, force=force, progress=progress)
    if as_json:
        console.say_json(
            {
                "folder": str(answer.folder),
                "reused": answer.reused,
                "manifest": answer.manifest,
                "quantities": answer.summary,
            }
        )
    else:
        show_run.show(answer)
