"""`simtool run` for a datacenter, and what `check` and `--dry-run` say of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simtool import units
from simtool.cli import console, show_site, sites
from simtool.cli.sites import SiteTarget


def run(
    name: str,
    *,
    out: Path,
    changes: Sequence[str] | None,
    seed: int | None,
    seeds: int | None,
    profiles: Sequence[Path] | None,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Run a datacenter, or say what would run."""
    chosen = sites.target(name, profiles, changes, seed, seeds)
    if dry_run:
        _plan(chosen, out, as_json=as_json)
        return
    with console.progress() as progress:
        answer = sites.answer(chosen, out, force=force, progress=progress)
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
        show_site.show(answer)


def describe(chosen: SiteTarget) -> tuple[dict[str, Any], str]:
    """A prepared datacenter with its jobs as plain data, and the hash that names its run folder."""
    from simtool.jobs.summary import describe as describe_jobs
    from simtool.result.datacenter.check import check_site
    from simtool.result.datacenter.manifest import hash_of
    from simtool.result.datacenter.prepare import jobs_of, prepare_site

    site = prepare_site(chosen.loaded, chosen.library)
    jobs = jobs_of(site)
    check_site(site, jobs)
    datacenter = chosen.loaded.datacenter
    return {
        "datacenter": datacenter.name,
        "pools": [
            {
                "name": pool.name,
                "accelerator": pool.machine.accelerator.name,
                "num_nodes": pool.fleet.num_nodes,
                "spare_nodes": pool.fleet.spare_nodes,
                "num_devices": pool.fleet.total_devices,
                "power_it_limit_w": pool.capacity_w,
            }
            for pool in site.pools
        ],
        "scheduler": datacenter.scheduler.name,
        "duration_s": None if datacenter.duration is None else float(datacenter.duration),
        "jobs": describe_jobs(jobs.table),
        "notes": [*jobs.notes, *site.notes],
    }, hash_of(site, chosen.seeds)


def _plan(chosen: SiteTarget, out: Path, *, as_json: bool) -> None:
    from simtool.result.folder import is_whole
    from simtool.result.manifest import HASH_LENGTH

    plan, digest = describe(chosen)
    folder = out / plan["datacenter"] / digest[:HASH_LENGTH]
    plan |= {"folder": str(folder), "exists": is_whole(folder)}
    if as_json:
        console.say_json(plan)
        return
    jobs = plan["jobs"]
    pools = ", ".join(show_site.pool_words(pool) for pool in plan["pools"])
    console.say(f"{plan['datacenter']}: {jobs['num_jobs']:,.0f} jobs on {pools}", style="bold")
    devices = sum(pool["num_devices"] for pool in plan["pools"])
    until = (
        "until the last job has ended"
        if plan["duration_s"] is None
        else f"for {units.display(plan['duration_s'], 's')}"
    )
    console.say(
        f"jobs ask for {jobs['gpu_hours']:,.0f} accelerator-hours, the largest for {jobs['largest_devices']:,.0f} of "
        f"{devices:,}; simulated {until} by {plan['scheduler']}"
    )
    limit_w = sum(pool["power_it_limit_w"] for pool in plan["pools"])
    console.say(f"IT power with every board at its limit: {units.display(limit_w, 'W')}")
    for note in plan["notes"]:
        console.say(f"note: {note}")
    what = "is there already" if plan["exists"] else "would be written"
    console.line(f"{folder} {what}")
