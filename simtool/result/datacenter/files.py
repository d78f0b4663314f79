"""What lies in the run folder of a datacenter."""

from __future__ import annotations

DATACENTER = "datacenter"
"""Kind of a run folder, in its manifest."""

FILES = {
    "scenario.resolved.yaml": "the datacenter with every default, and where each value came from",
    "manifest.json": "this file: what went in, and by which command",
    "summary.json": "every quantity: value, unit, p10, p50, p90, provenance",
    "ledger.parquet": "what devices did and drew: a row for every interval, job and state of its devices",
    "jobs.parquet": "a row for every job: when it came, started and ended, how, its energy, cost and carbon",
    "power.parquet": "power and water at every site, from every change to the next",
    "bill.csv": "the electricity bill, line by line and month by month",
    "costs.csv": "all costs, line by line",
    "interruptions.csv": "what stopped jobs: when, why, which, and the accelerator-hours that it cost",
    "by_user.csv": "jobs, accelerator-hours, energy and cost by user; the first row is what no job held",
    "by_hour.csv": "every hour of every site: power, losses, water, weather, price, carbon, queue",
    "timeline.perfetto.json.gz": "jobs, queue, power, price, carbon and weather; open it in ui.perfetto.dev",
}
MAX_SLICES = 20_000
"""Stretches of jobs that a timeline shows; of more, those with the most accelerator-hours."""
MAX_POINTS = 10_000
"""Points of a counter of a timeline; of more, means over equal stretches."""
