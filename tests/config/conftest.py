"""A folder of its own for each test, and the scenario that the tests bend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.config.load import LoadedScenario, load_scenario
from simtool.errors import InputError, Problem

SCENARIO = """\
schema: simtool/scenario/1
name: small
question: What does it cost?
workload:
  model: gpt3-13b
  tokens: 300 Gtoken
  seq_len: 2048
  global_batch: 1024
  precision: bf16
method:
  profile: fewer-operations
  forward_frac: 0.6
cluster:
  accelerator: a100-sxm-80
  num_nodes: 16
  power_cap: 350 W
  assume: {power_limit: [300 W, 400 W]}
layout:
  tp: 4
  pp: 2
reliability:
  node_failures_per_1000_node_days: {value: 3.8, kind: published, source: "a paper", spread: 0.1}
  repair: 24 h
  restart: 5 minute
  checkpoint: {kind: asynchronous, stall: 5 s, write: 60 s, interval: daly}
site:
  start: 2025-01-01T00:00Z
  cooling: {pue: 1.15}
  price: 0.08 USD/kWh
  carbon: {average: 363 gCO2e/kWh}
economics:
  mode: rent
  price: 2.50 USD/h
seed: 1
"""

Write = Callable[..., Path]
Bend = Callable[..., list[Problem]]


def problems_in(read: Callable[[], object]) -> list[Problem]:
    """What is wrong, or nothing; any other exception goes through."""
    try:
        read()
    except InputError as error:
        return list(error.problems)
    return []


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write() -> Write:
    """Writes a file below the current folder; its relative path."""

    def write_file(text: str | bytes, name: str = "a.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_file


@pytest.fixture
def scenario(write: Write) -> LoadedScenario:
    return load_scenario(write(SCENARIO))


@pytest.fixture
def bend(write: Write) -> Bend:
    """The problems of the scenario with `old` replaced by `new`, and with overrides."""

    def problems(old: str = "", new: str = "", *overrides: str) -> list[Problem]:
        assert SCENARIO.count(old) == 1 or not old, f"{old!r} must stand in the scenario once"
        with pytest.raises(InputError) as caught:
            load_scenario(write(SCENARIO.replace(old, new) if old else SCENARIO), overrides)
        return list(caught.value.problems)

    return problems
