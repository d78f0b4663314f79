"""Batches that grow: tokens are conserved, small batches cost more, and bad ramps are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool import InputError, default_library, load_scenario
from simtool.result.prepare import prepare
from simtool.workload.batch_ramp import linear_ramp

STAGES = "workload.batch_ramp=[{until: 1 Gtoken, global_batch: 64}, {until: 2 Gtoken, global_batch: 256}]"


@given(
    start=st.integers(1, 500),
    more=st.integers(1, 4000),
    increment=st.integers(1, 600),
    over=st.floats(1e3, 1e12),
    multiple=st.integers(1, 64),
)
def test_a_ramp_rises_and_keeps_its_tokens(
    start: int, more: int, increment: int, over: float, multiple: int
) -> None:
    final = -(-(start + more) // multiple) * multiple
    stages = linear_ramp(start=start, final=final, increment=increment, over_tokens=over, multiple=multiple)
    batches = [stage.global_batch for stage in stages]
    assert sum(stage.num_tokens for stage in stages) == pytest.approx(over)
    assert batches == sorted(batches)
    assert all(batch % multiple == 0 and multiple <= batch <= final for batch in batches)


def test_small_batches_take_longer_for_the_same_tokens() -> None:
    library = default_library()
    flat = prepare(load_scenario("bloom-176b", ["workload.batch_ramp=null"]), library)
    ramped = prepare(load_scenario("bloom-176b"), library)

    def work_s(prepared: object) -> float:
        return sum(phase.num_steps * float(phase.estimate.step_time_s) for phase in prepared.phases)  # type: ignore[attr-defined]

    assert len(flat.phases) == 1
    assert flat.num_steps < ramped.num_steps
    assert work_s(flat) < work_s(ramped) < 1.05 * work_s(flat)
    tokens = sum(phase.num_steps * float(phase.estimate.tokens_per_step) for phase in ramped.phases)
    assert tokens == pytest.approx(366e9, rel=1e-3)
    assert ramped.phases[0].progress[0] == 0.0
    assert ramped.phases[-1].progress[1] == 1.0


def test_a_ramp_and_a_method_cut_the_same_run() -> None:
    loaded = load_scenario("quickstart", [STAGES, "workload.global_batch=512"])
    prepared = prepare(loaded, default_library())
    plain = prepare(loaded, default_library(), with_method=False)
    assert [float(phase.estimate.tokens_per_step) for phase in plain.phases] == sorted(
        float(phase.estimate.tokens_per_step) for phase in plain.phases
    )
    assert len(prepared.phases) == len(plain.phases) == 3
    for with_method, without in zip(prepared.phases, plain.phases, strict=True):
        assert float(with_method.estimate.step_time_s) < float(without.estimate.step_time_s)


@pytest.mark.parametrize(
    ("override", "word"),
    [
        (
            "workload.batch_ramp=[{until: 2 Gtoken, global_batch: 64}, {until: 1 Gtoken, global_batch: 128}]",
            "later",
        ),
        ("workload.batch_ramp=[{until: 1 Gtoken, global_batch: 63}]", "multiples"),
        ("workload.batch_ramp={start: 100000, increment: 8, over: 1 Gtoken}", "lower start"),
        ("workload.batch_ramp={start: 8, increment: 8, over: 1 Ptoken}", "before the tokens do"),
        ("workload.batch_ramp=[{until: 1 Gtoken}]", "global_batch"),
        ("workload.batch_ramp=[{until: 1 Gtoken, global_batch: 1024}]", "rising"),
        ("workload.batch_ramp=[{until: 1 ktoken, global_batch: 64}]", "at least one step"),
        (
            "workload.batch_ramp=[{until: 1 Gtoken, global_batch: 128}, {until: 2 Gtoken, global_batch: 64}]",
            "rising",
        ),
    ],
)
def test_a_bad_ramp_is_refused(override: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        prepare(load_scenario("quickstart", [override]), default_library())


@given(
    first=st.integers(1, 7),
    second=st.integers(8, 64),
    until_first=st.floats(0.1, 1.0),
    more=st.floats(0.1, 1.0),
)
def test_a_ramp_trains_the_tokens_asked_for(first: int, second: int, until_first: float, more: float) -> None:
    stages = (
        f"workload.batch_ramp=[{{until: {until_first:.4f} Gtoken, global_batch: {first * 64}}}, "
        f"{{until: {until_first + more:.4f} Gtoken, global_batch: {second * 64}}}]"
    )
    loaded = load_scenario("quickstart", [stages, "workload.global_batch=4096"])
    plain = prepare(loaded, default_library(), with_method=False)
    wanted = float(loaded.scenario.workload.tokens)
    last = float(plain.phases[-1].estimate.tokens_per_step)
    trained = sum(phase.num_steps * float(phase.estimate.tokens_per_step) for phase in plain.phases)
    assert wanted <= trained * (1 + 1e-12) < wanted + last
    assert any(note.startswith("the batch grows") for note in plain.notes)


def test_stages_of_the_full_batch_are_a_flat_run() -> None:
    stages = (
        "workload.batch_ramp=[{until: 1 Gtoken, global_batch: 512}, {until: 2 Gtoken, global_batch: 512}]"
    )
    flat = prepare(load_scenario("quickstart", ["workload.global_batch=512"]), default_library())
    ramped = prepare(load_scenario("quickstart", [stages, "workload.global_batch=512"]), default_library())
    assert ramped.num_steps == flat.num_steps
    assert ramped.phases == flat.phases
