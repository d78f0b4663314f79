"""`simtool list` knows what the engine has, without the engine; profiles beside a scenario are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool import load_scenario, run
from simtool.cli.list_ import LISTS
from simtool.engine.method import METHODS
from simtool.engine.task import TASKS
from simtool.errors import InputError
from simtool.profiles.find import default_library, shipped_folder


@pytest.mark.parametrize(("name", "registry"), [("tasks", TASKS), ("methods", METHODS)])
def test_the_lists_name_what_the_engine_has(name: str, registry: object) -> None:
    rows = LISTS[name](default_library())
    shown = {row["name"] for row in rows}
    assert set(registry) <= shown  # type: ignore[call-overload]
    assert all(row["what"] for row in rows)


def test_profiles_beside_a_scenario_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    (mine / "hardware_profiles").mkdir(parents=True)
    elsewhere.mkdir()
    text = (shipped_folder("hardware_profiles") / "h100-sxm.yaml").read_text("utf-8")
    (mine / "hardware_profiles" / "my-board.yaml").write_text(
        text.replace("name: h100-sxm", "name: my-board")
    )
    scenario = (shipped_folder("scenarios") / "quickstart.yaml").read_text("utf-8")
    scenario = scenario.replace("accelerator: h100-sxm", "accelerator: my-board")
    (mine / "run.yaml").write_text(scenario.replace("node: dgx-h100", "node: generic-8"))
    monkeypatch.chdir(elsewhere)
    assert run(mine / "run.yaml").value("duration_s") > 0.0
    with pytest.raises(InputError, match="my-board"):
        run(load_scenario("quickstart", ["cluster.accelerator=my-board", "cluster.node=generic-8"]))
