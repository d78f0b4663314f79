"""Two processes train one model: same decisions, same result as one process with the whole batch."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from simtool.engine.budget import Budget
from simtool.engine.trainer import RunSettings, Trainer
from tests.engine.toy import ToyTask
from tests.house.tree import ROOT

SCRIPT = textwrap.dedent(
    """
    import json, sys
    import torch, torch.distributed as dist
    from simtool.engine.budget import Budget, Progress
    from simtool.engine.method import Method
    from simtool.engine.parallel import Distributed
    from simtool.engine.trainer import RunSettings, Trainer
    from tests.engine.toy import ToyTask

    class Halves(Method):
        name = "halves"
        writes = frozenset({"active", "frozen"})
        watches_samples = True
        seen = []
        def plan(self, progress, plan):
            if progress.frac < 0.4:
                return plan.changed(active=(0, 1))
            return plan.changed(frozen=1)
        def observe(self, work, result):
            self.seen.append([sorted(result.row_indices.tolist()), round(float(result.row_losses.sum()), 4)])

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    method = Halves()
    trainer = Trainer(
        ToyTask(), [method], RunSettings(budget=Budget.parse("200 samples"), num_evaluations=1),
        parallel=Distributed(sys.argv[1]),
    )
    outcome = trainer.run()
    total = {}
    for name, value in trainer.model.state_dict().items():
        value = value.full_tensor() if hasattr(value, "full_tensor") else value
        total[name] = value.double().sum().item()
    with open(f"{sys.argv[2]}/{dist.get_rank()}.json", "w") as file:
        json.dump({"steps": dict(outcome.steps), "total": total, "seen": method.seen}, file)
    dist.barrier()
    dist.destroy_process_group()
    """
)


def distributed(wrapping: str, folder: Path) -> list[dict[str, Any]]:
    script = folder / "run.py"
    script.write_text(SCRIPT, "utf-8")
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
    ]
    ran = subprocess.run(
        [*command, str(script), wrapping, str(folder)],
        cwd=ROOT,
        env=None,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text("utf-8")) for rank in range(2)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "part"}
    before = SCRIPT.partition("torch.set_num_threads")[0]
    exec(compile(before, "part", "exec"), namespace)  # noqa: S102 - the method that the processes run
    method = namespace["Halves"]()
    method.seen = []
    trainer = Trainer(ToyTask(), [method], RunSettings(budget=Budget.parse("200 samples"), num_evaluations=1))
    outcome = trainer.run()
    total = {name: value.double().sum().item() for name, value in trainer.model.state_dict().items()}
    return {"steps": dict(outcome.steps), "total": total, "seen": method.seen}


@pytest.mark.slow
@pytest.mark.parametrize("wrapping", ["ddp", "fsdp"])
def test_two_processes_are_one_with_the_whole_batch(
    wrapping: str, alone: dict[str, Any], tmp_path: Path
) -> None:
    first, second = distributed(wrapping, tmp_path)
    assert first["steps"] == second["steps"] == alone["steps"]
    assert first["seen"] == second["seen"]
    assert [indices for indices, _ in first["seen"]] == [indices for indices, _ in alone["seen"]]
    assert [losses for _, losses in first["seen"]] == pytest.approx(
        [losses for _, losses in alone["seen"]], abs=2e-3
    )
    for name, total in alone["total"].items():
        assert first["total"][name] == pytest.approx(total, abs=1e-3), name
    assert first["total"] == second["total"]


def test_a_batch_that_ranks_cannot_share_is_refused() -> None:
    class Three:
        rank, world = 0, 3

    with pytest.raises(Exception, match="not divisible by 3"):
        Trainer(ToyTask(), [], RunSettings(budget=Budget.parse("80 samples")), parallel=Three())  # type: ignore[arg-type]
    assert torch.get_num_threads() >= 1
