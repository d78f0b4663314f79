"""Jobs of a site that write their checkpoints to one store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simtool.config.load_datacenter import load_datacenter
from simtool.errors import InputError
from simtool.result.datacenter.prepare import jobs_of, prepare_site
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.run import run_datacenter
from tests.result.datacenter.sites import LIBRARY, ONE_SITE

WORK = "jobs.work={activity: 0.5, restart: 2 min, checkpoint: {size: 60 GB, bandwidth: 1 GB/s, interval: 10 min}}"
TOGETHER = "name,submit_s,num_devices,run_s\n" + "".join(f"j{index},0,8,36000\n" for index in range(4))
APART = "name,submit_s,num_devices,run_s\n" + "".join(
    f"j{index},{index * 40_000},8,36000\n" for index in range(3)
)


def solved(folder: Path, jobs: str, *changes: str) -> DatacenterResult:
    (folder / "jobs.csv").write_text(jobs, "utf-8")
    path = folder / "site.yaml"
    path.write_text(ONE_SITE, "utf-8")
    return run_datacenter(load_datacenter(path, [WORK, "power={limit: 1 GW}", *changes]), LIBRARY)


def write_s(result: DatacenterResult) -> float:
    use = result.jobs.kinds[0].uses[0]
    assert use is not None
    assert use.checkpoint is not None
    return use.checkpoint.write_s


def checkpoint_s(result: DatacenterResult) -> float:
    return result.outcome.ledgers["main"].device_s(state="checkpoint")


def test_writes_of_jobs_that_run_together_take_longer(tmp_path: Path) -> None:
    alone, shared = solved(tmp_path, TOGETHER), solved(tmp_path, TOGETHER, "store_bandwidth=1 GB/s")
    # each of four is in the store for write / (600 s + write); the others are found there: w = 60 (1 + 3 w / (600 + w))
    expected_s = max(np.roots([1.0, 600.0 - 240.0, -36_000.0]).real)
    assert write_s(alone) == 60.0
    assert write_s(shared) == pytest.approx(expected_s, rel=0.03)
    assert checkpoint_s(shared) == pytest.approx(checkpoint_s(alone) * write_s(shared) / 60.0, rel=1e-6)
    assert (shared.outcome.finish_s > alone.outcome.finish_s).all()
    assert any("to the store that jobs share" in note for note in shared.notes)
    assert not any("store" in note for note in alone.notes)


@pytest.mark.parametrize(("jobs", "bandwidth"), [(TOGETHER, "1000 TB/s"), (APART, "1 GB/s")])
def test_a_store_that_nobody_waits_for_changes_nothing(tmp_path: Path, jobs: str, bandwidth: str) -> None:
    alone, shared = solved(tmp_path, jobs), solved(tmp_path, jobs, f"store_bandwidth={bandwidth}")
    assert np.array_equal(alone.outcome.finish_s, shared.outcome.finish_s, equal_nan=True)
    assert alone.notes == shared.notes


def test_a_slow_store_holds_one_job_up_too(tmp_path: Path) -> None:
    one = "name,submit_s,num_devices,run_s\nj,0,8,36000\n"
    assert write_s(solved(tmp_path, one, "store_bandwidth=0.5 GB/s")) == pytest.approx(120.0)


def test_sizes_must_be_known(tmp_path: Path) -> None:
    unknown = "jobs.work.checkpoint={write: 60 s, interval: 10 min}"
    assert write_s(solved(tmp_path, TOGETHER, unknown)) == 60.0
    loaded = load_datacenter(tmp_path / "site.yaml", [WORK, unknown, "store_bandwidth=1 GB/s"])
    with pytest.raises(InputError, match=r"jobs\.work\.checkpoint\.size: found no size .* which jobs share"):
        jobs_of(prepare_site(loaded, LIBRARY))  # before anything is simulated


def test_the_seed_of_a_study_sees_the_store_too(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(TOGETHER, "utf-8")
    path = tmp_path / "site.yaml"
    path.write_text(ONE_SITE, "utf-8")
    loaded = load_datacenter(path, [WORK, "power={limit: 1 GW}", "store_bandwidth=1 GB/s"])
    study = run_datacenter(loaded, LIBRARY, seeds=2)
    low, middle, high = study.intervals["energy_it_j"]
    assert low == middle == high == study.quantities["energy_it_j"].value  # nothing is random here
    assert write_s(study) > 60.0
