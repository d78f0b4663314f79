"""How fast whole sites are: CPU seconds of a run, reading and writing files excluded.

Run with ``python benchmarks/site_speed.py``. The first case is a year of a 100,000-accelerator site with failures,
hourly price, carbon and weather, cooling and a bill with demand charges. The second is a day of 9,600 nodes with
some 1,500 jobs, on which RAPS at its tick of 15 s takes 20.8 CPU s on such a machine (its start-up excluded).
"""

# ruff: noqa: INP001, T201 - a script that prints

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from simtool.config.load_datacenter import load_datacenter
from simtool.profiles.find import default_library
from simtool.result.datacenter.prepare import jobs_of, prepare_site, simulate_site
from simtool.result.datacenter.run import accounts

NUM_RUNS = 5
RAPS_DAY_CPU_S = 20.8

YEAR = """
schema: simtool/datacenter/1
name: year
start: 2022-01-01T08:00Z
duration: 365 days
time_zone: America/Los_Angeles
pools:
  - {name: main, accelerator: h100-sxm, num_nodes: 12500, spare_nodes: 250, nodes_per_rack: 4}
jobs:
  campaign:
CAMPAIGN
reliability: {node_failures_per_1000_node_days: 3.8, repair: 24 h, detection: 1 min}
facility: {profile: tower-economiser, weather: {place: san-jose}}
electricity: {tariff: pge-industrial-tou}
carbon: {average: {series: carbon-caiso, repeat: yearly}}
"""
RUN = (
    "    - {name: run-MONTH, scenario: llama3-405b, num_nodes: 2048, tokens: 2 Ttoken, submit: 2022-MONTH-02T00:00Z,"
    " method: false, checkpoint: {kind: asynchronous, stall: 5 s, write: 1 min, interval: 30 min}, restart: 10 min}"
)
DAY = """
schema: simtool/datacenter/1
name: day
start: 2022-06-01T00:00Z
duration: 1 day
pools:
  - {name: main, accelerator: mi250x, num_nodes: 9600, nodes_per_rack: 128}
jobs:
  generator: {profile: philly-2017, num_jobs: 1500, load: 0.5}
  work: {activity: 0.5, limit: 2}
facility: {profile: frontier-like, weather: {place: atlanta}}
electricity: {price: 0.094 USD/kWh}
"""


def median_cpu_s(work: Callable[[], object]) -> float:
    """Of several runs."""
    times = []
    for _ in range(NUM_RUNS):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def measure(name: str, text: str) -> float:
    """CPU seconds to simulate a file and draw up its accounts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "site.yaml"
        path.write_text(text, "utf-8")
        loaded = load_datacenter(path)
    begin = time.process_time()
    site = prepare_site(loaded, default_library())
    jobs = jobs_of(site)
    prepared_s = time.process_time() - begin
    outcome = simulate_site(site, jobs)
    simulated_s = median_cpu_s(lambda: simulate_site(site, jobs))
    counted_s = median_cpu_s(lambda: accounts(site, outcome))
    print(
        f"{name}: {len(jobs.table):,} jobs, {outcome.num_events:,} events; names and steps {prepared_s:.2f}, fleet "
        f"{simulated_s:.2f}, power, cooling, bill and carbon {counted_s:.2f} CPU s"
    )
    return simulated_s + counted_s


def main() -> None:
    """Print both cases."""
    campaign = "\n".join(RUN.replace("MONTH", f"{month:02}") for month in range(1, 13))
    year_s = measure("a year of 100,000 accelerators", YEAR.replace("CAMPAIGN", campaign))
    print(f"  together {year_s:.2f} CPU s")
    day_s = measure("a day of 9,600 nodes", DAY)
    print(
        f"  together {day_s:.3f} CPU s: {RAPS_DAY_CPU_S / day_s:.0f} times as fast as RAPS at a tick of 15 s"
    )


if __name__ == "__main__":
    main()
