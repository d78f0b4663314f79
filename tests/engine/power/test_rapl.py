"""RAPL on a made-up tree of the kernel's power capping folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.engine.power.meter import UnavailableError
from simtool.engine.power.open import open_meter
from simtool.engine.power.probe import ProbeLostError
from simtool.engine.power.rapl import open_rapl
from simtool.engine.power.sampled import SampledMeter
from simtool.errors import InputError

RANGE_UJ = 262_143_328_850
SERVER = {
    "intel-rapl": ("control", 0),
    "intel-rapl:0": ("package-0", 1_000_000),
    "intel-rapl:0:0": ("core", 500_000),
    "intel-rapl:0:1": ("dram", 200_000),
    "intel-rapl:1": ("package-1", 3_000_000),
    "intel-rapl:1:0": ("dram", 100_000),
    "intel-rapl:2": ("psys", 9_000_000),
    "intel-rapl-mmio:0": ("package-0", 1_000_000),
}


class Tree:
    """A folder like /sys/class/powercap."""

    def __init__(self, folder: Path, zones: dict[str, tuple[str, int]]) -> None:
        self.folder = folder
        for zone, (name, energy_uj) in zones.items():
            (folder / zone).mkdir(parents=True)
            (folder / zone / "name").write_text(f"{name}\n")
            (folder / zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
            self.set(zone, energy_uj)

    def set(self, zone: str, energy_uj: int) -> None:
        """Writes a counter."""
        (self.folder / zone / "energy_uj").write_text(f"{energy_uj % RANGE_UJ}\n")


class Steps:
    """A sampler that reads when told, and the clock beside it."""

    now_s = 100.0

    def start(self, take: Callable[[], bool]) -> None:
        self.take = take

    def wait(self, duration_s: float) -> None: ...
    def stop(self) -> None: ...

    def pass_time(self, duration_s: float) -> None:
        """Moves the clock and reads."""
        self.now_s += duration_s
        self.take()


def meter_of(folder: Path) -> tuple[SampledMeter, Steps]:
    """A meter of a tree."""
    steps = Steps()
    return SampledMeter(open_rapl(folder), steps, clock=lambda: steps.now_s), steps


def test_packages_and_memory_are_summed_and_nothing_twice(tmp_path: Path) -> None:
    tree = Tree(tmp_path, SERVER)
    meter, steps = meter_of(tmp_path)
    meter.start()
    meter.mark("work")
    for second in range(1, 6):
        for zone, watts in (("0", 50), ("0:0", 40), ("0:1", 5), ("1", 30), ("1:0", 3), ("2", 200)):
            tree.set(f"intel-rapl:{zone}", SERVER[f"intel-rapl:{zone}"][1] + second * watts * 1_000_000)
        steps.pass_time(1.0)
    report = meter.stop()
    assert report.energy_j == pytest.approx(5 * 88.0)
    assert report.energy_by_label_j() == pytest.approx({"work": 5 * 88.0})
    assert (report.kind, report.source, report.scope) == ("measured", "rapl", "cpu-package-dram")
    assert meter.readings()[-1]["power_w"] == pytest.approx(88.0)
    assert any("psys" in note for note in report.notes)
    assert report.integral_j is None
    assert report.gap_frac is None


def test_each_domain_wraps_at_its_own_range(tmp_path: Path) -> None:
    tree = Tree(
        tmp_path, {"intel-rapl:0": ("package-0", RANGE_UJ - 2_500_000), "intel-rapl:1": ("package-1", 0)}
    )
    meter, steps = meter_of(tmp_path)
    meter.start()
    for second in range(1, 6):
        tree.set("intel-rapl:0", RANGE_UJ - 2_500_000 + second * 1_000_000)
        tree.set("intel-rapl:1", second * 2_000_000)
        steps.pass_time(1.0)
    report = meter.stop()
    assert report.energy_j == pytest.approx(15.0)
    assert report.scope == "cpu-package"
    assert any("wrapped 1 times" in note for note in report.notes)
    assert any("no memory domain" in note for note in report.notes)


def test_a_counter_that_starts_anew_is_no_wrap(tmp_path: Path) -> None:
    tree = Tree(tmp_path, {"intel-rapl:0": ("package-0", 90_000_000_000)})
    meter, steps = meter_of(tmp_path)
    meter.start()
    for energy_uj in (90_010_000_000, 5_000_000, 15_000_000):
        tree.set("intel-rapl:0", energy_uj)
        steps.pass_time(1.0)
    report = meter.stop()
    assert report.energy_j < 100_000
    assert any("started anew" in note for note in report.notes)


def test_a_domain_that_vanishes_keeps_what_was_read(tmp_path: Path) -> None:
    tree = Tree(tmp_path, {"intel-rapl:0": ("package-0", 0)})
    meter, steps = meter_of(tmp_path)
    meter.start()
    for second in range(1, 5):
        tree.set("intel-rapl:0", second * 10_000_000)
        steps.pass_time(1.0)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    steps.pass_time(4.0)
    report = meter.stop()
    assert report.kind == "modelled"
    assert report.energy_j == pytest.approx(80.0)
    assert report.modelled_j == pytest.approx(40.0)
    assert any("is gone" in note for note in report.notes)


def test_a_counter_that_never_moves_is_not_zero_energy(tmp_path: Path) -> None:
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 7)})
    meter, steps = meter_of(tmp_path)
    meter.start()
    for _ in range(5):
        steps.pass_time(1.0)
    report = meter.stop()
    assert math.isnan(report.energy_j)
    assert report.kind == "none"
    assert report.is_flagged


def test_a_platform_domain_alone_is_taken_as_such(tmp_path: Path) -> None:
    Tree(tmp_path, {"intel-rapl:0": ("psys", 7)})
    assert open_rapl(tmp_path).identity.scope == "platform"


def test_without_permission_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 7)})
    read_text = Path.read_text

    def guarded(path: Path, *arguments: str) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path, *arguments)

    monkeypatch.setattr(Path, "read_text", guarded)
    with pytest.raises(InputError, match=r"no permission to read .*energy_uj; run as root, or .*chmod a\+r"):
        open_meter("rapl", powercap=tmp_path)
    assert open_meter(device="cpu", powercap=tmp_path).kind == "modelled"


def test_permission_that_is_taken_away_midway_ends_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tree(tmp_path, {"intel-rapl:0": ("package-0", 7)})
    probe = open_rapl(tmp_path)

    def forbidden(_path: Path, *_arguments: str) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", forbidden)
    with pytest.raises(ProbeLostError, match="may not be read any more"):
        probe.read()


@pytest.mark.parametrize(
    "zones", [{}, {"intel-rapl": ("control", 0)}, {"intel-rapl-mmio:0": ("package-0", 0)}]
)
def test_a_machine_without_domains_is_refused(tmp_path: Path, zones: dict[str, tuple[str, int]]) -> None:
    Tree(tmp_path, zones)
    with pytest.raises(UnavailableError, match="no domain"):
        open_rapl(tmp_path)


def test_a_damaged_counter_is_refused(tmp_path: Path) -> None:
    tree = Tree(tmp_path, {"intel-rapl:0": ("package-0", 0)})
    (tree.folder / "intel-rapl:0" / "max_energy_range_uj").write_text("many")
    with pytest.raises(UnavailableError, match="cannot be read"):
        open_rapl(tmp_path)
