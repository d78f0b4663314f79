"""Small datacenters that tests run: two sites with supply, failures and owned hardware, from a table of jobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simtool.config.load_datacenter import load_datacenter
from simtool.profiles.find import default_library
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.run import run_datacenter

LIBRARY = default_library()
TWO_SITES = """
schema: simtool/datacenter/1
name: pair
start: 2022-01-01T08:30Z
duration: 4 days
sites:
  east:
    time_zone: America/New_York
    facility: {profile: tower-economiser, weather: {place: leesburg}}
    electricity: {tariff: pge-industrial-tou}
    carbon: {average: {series: carbon-pjm}, marginal: 0.5 kgCO2e/kWh}
    supply:
      battery: {energy: 100 kWh, policy: peak-shaving, threshold: 60 kW, price: 30000 USD}
      solar: {rated: 20 kW}
  west:
    facility: {pue: 1.2}
    electricity: {price: 0.08 USD/kWh}
    carbon: {average: 0.3 kgCO2e/kWh, marginal: 0.5 kgCO2e/kWh}
pools:
  - {name: e, accelerator: h100-sxm, num_nodes: 12, spare_nodes: 1, site: east}
  - {name: w, accelerator: h100-sxm, num_nodes: 4, site: west}
jobs:
  trace: {file: jobs.csv}
  work:
    activity: 0.5
    limit: 2
    restart: 2 min
    checkpoint: {kind: asynchronous, write: 60 s, stall: 5 s, interval: 30 min}
reliability: {node_failures_per_1000_node_days: 400, repair: 6 h, detection: 5 min}
economics:
  mode: own
  network_share: 0.2
  lifetime: 5 year
  interest_per_year: 0.08
  residual_value: 0.1
  utilisation: 0.8
  maintenance_per_year: 0.03
seed: 3
"""
ONE_SITE = """
schema: simtool/datacenter/1
name: tiny
start: 2022-01-01T00:00Z
duration: 2 days
pools: [{name: main, accelerator: h100-sxm, num_nodes: 4}]
jobs:
  trace: {file: jobs.csv}
  work: {activity: 0.5}
facility: {pue: 1.2}
electricity: {price: 0.08 USD/kWh}
carbon: {average: 0.3 kgCO2e/kWh}
"""


def jobs_csv(num: int = 120, seed: int = 5, largest: int = 32, days: float = 3.0) -> str:
    """A table of jobs, each of one of three users."""
    chance = np.random.Generator(np.random.PCG64(seed))
    submit = np.sort(chance.uniform(0.0, days * 86_400.0, num)).round(1)
    devices = np.minimum(2 ** chance.integers(0, 6, num), largest)
    run = chance.lognormal(8.5, 1.2, num).round(1) + 1.0
    outcome = chance.choice(["completed", "failed", "cancelled"], num, p=[0.7, 0.2, 0.1])
    rows = [
        f"j{index},{submit[index]},{devices[index]},{run[index]},{outcome[index]},user-{index % 3}"
        for index in range(num)
    ]
    return "\n".join(["name,submit_s,num_devices,run_s,outcome,user", *rows]) + "\n"


def written(folder: Path, text: str, jobs: str | None = None) -> Path:
    """The file of a datacenter, with its table of jobs beside it."""
    (folder / "jobs.csv").write_text(jobs_csv() if jobs is None else jobs, "utf-8")
    path = folder / "site.yaml"
    path.write_text(text, "utf-8")
    return path


def solved(
    folder: Path, text: str, *changes: str, jobs: str | None = None, seeds: int = 1
) -> DatacenterResult:
    """Written and run."""
    return run_datacenter(load_datacenter(written(folder, text, jobs), changes), LIBRARY, seeds=seeds)
