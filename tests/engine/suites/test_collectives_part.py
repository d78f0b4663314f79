"""Collectives among real processes, two of them on this processor."""

from __future__ import annotations

import pytest

from simtool.engine.suites.collectives import CollectivesPart
from simtool.engine.suites.part import Unmeasurable
from tests.engine.suites.made import bench


def test_two_ranks_measure_every_size() -> None:
    part = CollectivesPart(backend="gloo", sizes=(2**16, 2**18), kinds=("all_reduce", "all_gather"))
    made = bench("gpu", num_devices=2)
    rows = [part.measure(made, point) for point in part.points(made)]
    assert [(row["op"], row["shape"]) for row in rows] == [
        ("all_reduce", "bytes=262144 ranks=2"),
        ("all_gather", "bytes=262144 ranks=2"),
        ("all_reduce", "bytes=65536 ranks=2"),
        ("all_gather", "bytes=65536 ranks=2"),
    ]
    assert all(0.0 < row["duration_p10_s"] <= row["duration_median_s"] for row in rows)


def test_ranks_that_cannot_talk_to_each_other_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such backend")

    monkeypatch.setattr("torch.multiprocessing.start_processes", fail)
    part = CollectivesPart(sizes=(2**16,), kinds=("all_reduce",))
    made = bench("gpu", num_devices=2)
    with pytest.raises(Unmeasurable):
        part.measure(made, part.points(made)[0])
