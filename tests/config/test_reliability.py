"""Failures as a scenario writes them: one rate, a preset, causes; and what is refused."""

from __future__ import annotations

import pytest

from simtool.config.load import load_scenario
from simtool.config.reliability import Reliability
from tests.config.conftest import SCENARIO

RATE = '  node_failures_per_1000_node_days: {value: 3.8, kind: published, source: "a paper", spread: 0.1}\n'
REPAIR = "  repair: 24 h\n"
CHECKPOINT = "{kind: asynchronous, stall: 5 s, write: 60 s, interval: daly}"


def written(text: str, write) -> Reliability:
    found = load_scenario(write(SCENARIO.replace(RATE, text).replace(REPAIR, ""))).scenario.reliability
    assert isinstance(found, Reliability)
    return found


def test_a_plain_rate_is_as_before(write):
    found = load_scenario(write(SCENARIO)).scenario.reliability
    assert isinstance(found, Reliability)
    assert found.is_simple
    assert found.repair is not None
    assert found.repair.value == 24 * 3600.0


def test_a_preset_needs_no_rate(write):
    found = written("  preset: llama3-54-days\n", write)
    assert not found.is_simple
    assert found.node_failures_per_1000_node_days is None


def test_causes_are_read_with_their_distributions(write):
    found = written(
        """\
  causes:
    switch:
      events_per_1000_node_days: 0.3
      group_nodes: 16
      lives: {kind: weibull, shape: 0.7, age: 30 day}
      detection: {mean: 30 s}
      repair: {mean: 4 h, distribution: lognormal, sigma: 1.2}
      replacement: {mean: 2 day}
      replacement_frac: 0.1
    bug: {effect: software, events_per_1000_job_days: 900}
    slow: {effect: straggler, events_per_1000_node_days: 1, slowdown: 1.2, detection: {mean: 1 h}}
  maintenance:
    firmware: {first: 7 day, every: 30 day, length: 2 h, group_nodes: 8}
  lemons: {share: 0.01, factor: 20}
  cordon: {failures: 3, within: 30 day, repair: {mean: 3 day}}
""",
        write,
    )
    assert found.causes is not None
    switch = found.causes["switch"]
    assert switch.group_nodes == 16
    assert switch.repair is not None
    assert switch.repair.sigma is not None
    assert found.maintenance is not None
    assert found.maintenance["firmware"].every is not None


@pytest.mark.parametrize(
    ("causes", "field", "said"),
    [
        ("{x: {repair: {mean: 1 h}}}", "reliability.causes.x", "found no rate"),
        (
            "{x: {events_per_1000_node_days: 1, effect: straggler, detection: {mean: 1 h}}}",
            "reliability.causes.x.slowdown",
            "found no such key",
        ),
        (
            "{x: {events_per_1000_node_days: 1, slowdown: 1.2}}",
            "reliability.causes.x.slowdown",
            "found it with a failure",
        ),
        (
            "{x: {events_per_1000_node_days: 1, effect: corruption}}",
            "reliability.causes.x.detection",
            "found no such key",
        ),
        (
            "{x: {events_per_1000_node_days: 1, effect: corruption, group_nodes: 2, detection: {mean: 1 h}}}",
            "reliability.causes.x.group_nodes",
            "found 2 nodes",
        ),
        (
            "{x: {events_per_1000_node_days: 1, effect: software, repair: {mean: 1 h}}}",
            "reliability.causes.x.repair",
            "takes no node down",
        ),
        (
            "{x: {events_per_1000_job_days: 1}}",
            "reliability.causes.x.events_per_1000_job_days",
            "found it with a failure",
        ),
        (
            "{x: {events_per_1000_node_days: 1, replacement: {mean: 1 h}}}",
            "reliability.causes.x.replacement_frac",
            "found no such key",
        ),
        (
            "{x: {events_per_1000_node_days: 1, repair: {mean: 1 h, distribution: lognormal}}}",
            "reliability.causes.x.repair.sigma",
            "found no such key",
        ),
        (
            "{x: {events_per_1000_node_days: 1, repair: {mean: 1 h, sigma: 1}}}",
            "reliability.causes.x.repair.sigma",
            "with the constant distribution",
        ),
        (
            "{x: {events_per_1000_node_days: -1}}",
            "reliability.causes.x.events_per_1000_node_days",
            "found -1",
        ),
    ],
)
def test_a_cause_that_is_no_cause_is_told_at_its_place(bend, causes, field, said):
    problems = bend(RATE, f"  causes: {causes}\n")
    assert [(problem.field, said in problem.found) for problem in problems] == [(field, True)], problems


def test_a_rate_beside_causes_is_refused(bend):
    (problem,) = bend(RATE, RATE + "  preset: rsc-1\n")
    assert problem.field == "reliability.node_failures_per_1000_node_days"
    assert "beside causes" in problem.found


def test_neither_rate_nor_causes_is_told(bend):
    (problem,) = bend(RATE, "")
    assert problem.field == "reliability.node_failures_per_1000_node_days"
    assert "or name a preset" in problem.mend


@pytest.mark.parametrize(
    ("checkpoint", "member"),
    [
        ("{kind: in-memory, stall: 1 s, write: 60 s}", "persistent_interval"),
        ("{kind: in-memory, write: 60 s, persistent_interval: 1 h}", "stall"),
        ("{kind: asynchronous, stall: 5 s, write: 60 s, persistent_interval: 1 h}", "persistent_interval"),
        ("{write: 60 s, restart: 10 s}", "restart"),
        ("{write: 60 s, size: 2 TB}", "size"),
    ],
)
def test_a_checkpoint_of_mixed_kinds_is_refused(bend, checkpoint, member):
    problems = bend(CHECKPOINT, checkpoint)
    assert [problem.field for problem in problems] == [f"reliability.checkpoint.{member}"]
