"""`simtool capture` of a trace: from the profiler's file or an imported folder to a scenario."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.workload.captured import read_workload
from tests.cli.conftest import Called
from tests.trace.kineto_files import write
from tests.workload.test_from_trace import Training

Call = Callable[..., Called]
SIZE = (
    "workload={model: mine.workload.yaml, tokens: 1 Mtoken, seq_len: 256, global_batch: 64, precision: bf16}"
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "trace.json.gz", Training(2, 128).record())


def test_a_trace_becomes_a_file_that_a_scenario_names(simtool: Call, tmp_path: Path) -> None:
    called = simtool("capture", "trace.json.gz", "-o", "mine.workload.yaml")
    assert (called.code, called.err) == (0, "")
    assert "holds for any batch and sequence length" in " ".join(called.out.split())
    changes = [
        SIZE,
        "cluster={accelerator: h100-sxm, num_nodes: 1}",
        "layout={micro_batch: 4}",
        "method=none",
    ]
    ran = simtool("run", "quickstart", "-q", *(word for change in changes for word in ("--set", change)))
    assert ran.code == 0, ran.err
    (folder,) = (tmp_path / "out" / "quickstart").iterdir()
    again = simtool("explain", "step.time", str(folder))
    assert again.code == 0, again.err
    assert "a recorded step" in again.out


def test_a_folder_gives_the_same_as_the_file_it_was_made_of(simtool: Call) -> None:
    assert simtool("import", "trace.json.gz", "-o", "folder").code == 0
    for target, name in (("trace.json.gz", "a.workload.yaml"), ("folder", "b.workload.yaml")):
        assert simtool("capture", target, "-o", name, "--name", "mine").code == 0
    one, other = (read_workload(Path(name)) for name in ("a.workload.yaml", "b.workload.yaml"))
    assert one.model_dump(exclude={"source"}) == other.model_dump(exclude={"source"})


def test_a_full_disk_leaves_no_half_a_file(
    simtool: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.workload.yaml").write_text("before", "utf-8")

    def full(path: Path, text: str, encoding: str) -> int:
        path.write_bytes(text.encode(encoding)[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    called = simtool("capture", "trace.json.gz", "-o", "mine.workload.yaml", "--force")
    assert called.code == 2
    assert "the disk is full" in called.err
    assert (tmp_path / "mine.workload.yaml").read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 2


def test_figures_as_data(simtool: Call) -> None:
    found = json.loads(simtool("capture", "trace.json.gz", "--json").out)
    assert (found["batch"], found["seq_len"], found["optimizer"]) == (2, 128, "Adam")
    assert found["backward_weight_flop"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trace.json.gz", "--batch", "3", "--seq", "77"), "has no product with rows of 3 x 77 tokens"),
        (("trace.json.gz", "--rank", "5"), "holds no rank 5"),
        (("log.csv",), "holds no work of a device"),
        (("none.json",), "name a Python file"),
        (("empty",), "manifest.yaml"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], said: str, simtool: Call, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    log = "timestamp, power.draw [W]\n" + "".join(f"2026/03/01 12:00:0{n}.000, 300 W\n" for n in range(9))
    (tmp_path / "log.csv").write_text(log)
    called = simtool("capture", *words)
    assert called.code == 2
    assert said in called.err
    assert called.err.count("\n") == 1
