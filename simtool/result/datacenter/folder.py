"""The run folder of a datacenter: the same contract as that of a scenario, whole or absent."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from simtool.account.bill_text import COLUMNS, bill_rows
from simtool.config.resolved import resolved_yaml
from simtool.result.datacenter.columns import write_csv, write_parquet, write_parquet_parts
from simtool.result.datacenter.history import holdings
from simtool.result.datacenter.manifest import hash_of, manifest
from simtool.result.datacenter.per_job import per_job
from simtool.result.datacenter.prepare import PreparedSite
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.summary import summarise
from simtool.result.datacenter.tables import (
    hour_columns,
    interruption_columns,
    job_columns,
    ledger_parts,
    power_columns,
    user_columns,
)
from simtool.result.datacenter.timeline import write_timeline
from simtool.result.folder import keep_or_write, write_json
from simtool.result.manifest import HASH_LENGTH
from simtool.result.saved import MANIFEST, RESOLVED, SUMMARY, sealed
from simtool.result.summary import rounded


def site_folder(out: Path, site: PreparedSite, seeds: int = 1) -> Path:
    """Where the run folder of a question is, or will be."""
    return out / site.loaded.datacenter.name / hash_of(site, seeds)[:HASH_LENGTH]


def write_site_folder(
    result: DatacenterResult,
    out: Path,
    *,
    command: str,
    force: bool = False,
    seeds: int = 1,
    figures: Collection[str] = (),
) -> Path:
    """Write the run folder of a result below `out`; a whole one of the same hash is kept unless `force`.

    Args:
        result: what is written.
        out: the folder of all run folders.
        command: for the manifest.
        force: replace a folder that is there.
        seeds: number of runs in the result.
        figures: names of the figures that simtool draws into run folders; other files there are kept.

    Raises:
        OutputError: the folder cannot be written, then nothing of it is left; or what stands there is
            not simtool's alone.
    """
    content = manifest(result, command=command, seeds=seeds)

    def write(new: Path) -> None:
        _write(result, new)
        write_json(new / MANIFEST, sealed(content, new))

    return keep_or_write(
        out / result.datacenter.name, str(content["hash"]), write, force=force, figures=figures
    )


def _write(result: DatacenterResult, new: Path) -> None:
    held, found = holdings(result.outcome), per_job(result)
    write_json(new / SUMMARY, summarise(result))
    (new / RESOLVED).write_text(resolved_yaml(result.datacenter, result.loaded.origins), "utf-8")
    write_parquet_parts(new / "ledger.parquet", ledger_parts(result))
    write_parquet(new / "jobs.parquet", job_columns(result, found))
    write_parquet_parts(new / "power.parquet", power_columns(result))
    write_csv(new / "by_user.csv", user_columns(result, found))
    write_csv(new / "by_hour.csv", hour_columns(result, held))
    write_csv(new / "interruptions.csv", interruption_columns(result))
    _write_rows(new / "bill.csv", ("site", *COLUMNS), _bill(result))
    lines = [(line.name, rounded(line.amount_usd), line.driver, line.note) for line in result.costs]
    _write_rows(new / "costs.csv", ("name", "amount_usd", "driver", "note"), lines)
    write_timeline(new / "timeline.perfetto.json.gz", result, held)


def _bill(result: DatacenterResult) -> list[tuple[Any, ...]]:
    return [
        (
            view.name,
            *(rounded(cell) if isinstance(cell, float | np.floating) else cell for cell in row.values()),
        )
        for view in result.sites
        for row in bill_rows(view.bill)
    ]


def _write_rows(path: Path, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
