"""Checkpoints: exact to the bit, whole or absent, and refused where they do not belong."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from simtool.engine.budget import Budget
from simtool.engine.checkpoint import NAME, CheckpointStore
from simtool.engine.trainer import RunSettings, Trainer
from simtool.engine.watch import Nobody
from simtool.errors import InputError, OutputError
from tests.engine.toy import ToyTask
from tests.house.tree import ROOT

SETTINGS = RunSettings(budget=Budget.parse("400 samples"), seed=3)


class StopAt(Nobody):
    """Ctrl-C after some step."""

    def __init__(self, step: int) -> None:
        self.last, self.events = step, list[str]()

    def step(self, row: Mapping[str, Any]) -> None:
        if row["step"] == self.last:
            raise KeyboardInterrupt

    def event(self, kind: str, detail: Mapping[str, Any]) -> None:
        self.events.append(kind)


def parameters(trainer: Trainer) -> dict[str, torch.Tensor]:
    return trainer.model.state_dict()


@pytest.mark.parametrize("step", [1, 13, 49])
def test_a_resumed_run_is_the_same_to_the_bit(step: int, tmp_path: Path) -> None:
    whole = Trainer(ToyTask(), [], SETTINGS)
    expected = whole.run()
    first = Trainer(ToyTask(), [], SETTINGS, recorder=StopAt(step)).run(CheckpointStore(tmp_path))
    assert first.status == "interrupted"
    resumed = Trainer(ToyTask(), [], SETTINGS)
    outcome = resumed.run(CheckpointStore(tmp_path))
    assert outcome.quality == expected.quality
    assert outcome.progress.step == expected.progress.step
    assert outcome.costs.flop() == expected.costs.flop()
    assert outcome.steps == expected.steps
    assert all(torch.equal(value, parameters(whole)[name]) for name, value in parameters(resumed).items())


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    CheckpointStore(tmp_path).save(Trainer(ToyTask(), [], SETTINGS))
    other = Trainer(ToyTask(), [], RunSettings(budget=Budget.parse("400 samples"), seed=4))
    with pytest.raises(InputError, match="another task, method, budget, seed"):
        other.run(CheckpointStore(tmp_path))


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "flipped"])
def test_a_damaged_checkpoint_is_one_clear_error(damage: str, tmp_path: Path) -> None:
    trainer = Trainer(ToyTask(), [], SETTINGS)
    trainer.set_up()
    CheckpointStore(tmp_path).save(trainer)
    path = tmp_path / NAME
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut": whole[:middle],
            "text": b"hello",
            "empty": b"",
            "flipped": whole[:middle]
            + bytes(byte ^ 255 for byte in whole[middle : middle + 4000])
            + whole[middle + 4000 :],
        }[damage]
    )
    with pytest.raises(InputError, match=f"{NAME}.*cannot be read"):
        Trainer(ToyTask(), [], SETTINGS).run(CheckpointStore(tmp_path))


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    caught = tmp_path / "caught"

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {caught}",)

    torch.save({"fingerprint": Evil()}, tmp_path / NAME)
    with pytest.raises(InputError, match="cannot be read"):
        Trainer(ToyTask(), [], SETTINGS).run(CheckpointStore(tmp_path))
    assert not caught.exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    trainer = Trainer(ToyTask(), [], SETTINGS)
    trainer.set_up()
    store = CheckpointStore(tmp_path)
    store.save(trainer)
    before = (tmp_path / NAME).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OutputError, match="could not be written"):
            store.save(trainer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert (tmp_path / NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.slow
def test_a_killed_run_loses_at_most_the_last_interval(tmp_path: Path) -> None:
    code = textwrap.dedent(
        f"""
        from pathlib import Path
        from simtool.engine.budget import Budget
        from simtool.engine.checkpoint import CheckpointStore
        from simtool.engine.trainer import RunSettings, Trainer
        from tests.engine.toy import ToyTask
        settings = RunSettings(budget=Budget.parse("4000 ksamples"), seed=3)
        Trainer(ToyTask(), [], settings).run(CheckpointStore(Path({str(tmp_path)!r}), interval_s=0.05))
        """
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.DEVNULL)
    deadline, seen = time.monotonic() + 60.0, set[float]()
    while len(seen) < 3 and time.monotonic() < deadline:  # a few checkpoints, however slow the machine is
        time.sleep(0.02)
        if (tmp_path / NAME).exists():
            seen.add((tmp_path / NAME).stat().st_mtime)
    child.send_signal(signal.SIGKILL)
    child.wait()
    trainer = Trainer(ToyTask(), [], RunSettings(budget=Budget.parse("4000 ksamples"), seed=3))
    trainer.set_up()
    assert CheckpointStore(tmp_path).resume(trainer)
    assert trainer.num_steps > 1
    assert trainer.num_seen == 8 * trainer.num_steps
