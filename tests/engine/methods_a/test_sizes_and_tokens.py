"""Sizes that grow with progress, and tokens that skip the middle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simtool.engine.methods.progressive_size import buckets
from simtool.engine.task import TaskOptions, load_task
from simtool.engine.tasks.windowed import windowed_attention
from simtool.errors import InputError
from tests.engine.methods_a.runs import Diary, at, decoder, run, trainer_for, whole_step
from tests.engine.toy import ToyTask


@given(
    sizes=st.lists(st.integers(1, 256), min_size=1, max_size=8, unique=True).map(sorted),
    start=st.floats(0.01, 1.0),
    number=st.integers(1, 8),
)
def test_buckets_rise_to_the_full_size(sizes, start, number):
    found = buckets(tuple(sizes), start, number)
    assert list(found) == sorted(set(found))
    assert found[-1] == sizes[-1]
    assert set(found) <= set(sizes)
    assert len(found) <= number
    assert found[0] >= start * sizes[-1]
    if number > 1:
        assert found[0] == next(size for size in sizes if size >= start * sizes[-1])


def test_the_size_rises_and_the_end_is_full():
    (method,) = trainer_for("progressive-size:until=0.6").methods
    sizes = [method.plan(at(frac), whole_step()).size for frac in np.linspace(0.0, 1.0, 101)]
    assert sizes[0] == decoder().sizes[0]
    seen = [size or decoder().sizes[-1] for size in sizes]
    assert seen == sorted(seen)
    assert sizes[60:] == [None] * 41
    assert sizes[59] is not None


@pytest.mark.parametrize("name", ["image-cnn", "image-vit", "series-gru"])
def test_smaller_inputs_cost_less_where_they_are_no_text(name):
    task = load_task(name, TaskOptions(max_samples=200, settings={}))
    task.recipe = replace(task.recipe, batch_size=8)
    diary = Diary()
    _, outcome = run("progressive-size", task, recorder=diary)
    assert outcome.status == "finished"
    assert len(outcome.steps) == len(buckets(task.sizes, 0.125, 4))
    assert diary.rows[0]["flop"] < diary.rows[-1]["flop"]


def test_pieces_of_a_text_keep_the_tokens_of_a_step():
    diary = Diary()
    run("progressive-size", recorder=diary)
    flop = [row["flop"] for row in diary.rows]
    assert 0.5 < flop[0] / flop[-1] < 1.0  # only attention is saved
    assert [row["num_samples"] for row in diary.rows] == list(range(2, 49, 2))


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize(("length", "window"), [(16, 4), (16, 5), (13, 4), (7, 6), (8, 1)])
def test_windowed_attention_is_attention_with_a_mask(length, window, is_causal):
    torch.manual_seed(length + window)
    query, key, value = (
        torch.randn(3, 2, length, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)
    )
    distance = torch.arange(length)[:, None] - torch.arange(length)
    is_seen = (distance < window) & (distance >= 0 if is_causal else distance > -window)
    whole = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=is_seen)
    part = windowed_attention(query, key, value, window, is_causal=is_causal)
    torch.testing.assert_close(part, whole)
    of_part = torch.autograd.grad(part.square().sum(), (query, key, value))
    of_whole = torch.autograd.grad(whole.square().sum(), (query, key, value))
    assert all(torch.isfinite(gradient).all() for gradient in of_part)
    torch.testing.assert_close(of_part, of_whole)


@pytest.mark.parametrize("name", ["char-gpt", "masked-encoder"])
def test_a_window_skips_scores_and_nothing_else(name):
    settings = {"context": "128", "megabytes": "0.3"}
    task = load_task(name, TaskOptions(max_samples=64, width=16, depth=2, settings=settings))
    task.recipe = replace(task.recipe, batch_size=4)
    diary = Diary()
    _, outcome = run("progressive-size:what=window,until=0.6", task, recorder=diary)
    assert {*outcome.steps} == {"n4 window=16", "n4 window=32", "n4"}
    per_token, heads_width, blocks, tokens = 2.0 * 2, 16, 2, 4 * 128
    # forward: scores and outputs; backward: both for each operand, and the scores again: 3.5 times in all
    scores = {keys: 3.5 * per_token * heads_width * keys * blocks * tokens for keys in (32, 48, 96, 128)}
    flop = {row["signature"]: row["flop"] for row in diary.rows}
    sides = 2 if name == "char-gpt" else 3
    assert flop["n4"] - flop["n4 window=16"] == pytest.approx(scores[128] - scores[sides * 16], rel=1e-6)


def test_windows_are_for_tasks_whose_blocks_take_them():
    with pytest.raises(InputError, match="needs window, which task toy does not offer"):
        trainer_for("progressive-size:what=window", ToyTask())
    with pytest.raises(InputError, match="sets size"):
        trainer_for("progressive-size+progressive-size")
    assert len(trainer_for("progressive-size:from=0.5+progressive-size:what=window").methods) == 2


def test_a_task_without_a_smaller_size_is_refused():
    task = ToyTask()
    task.sizes = (8,)
    with pytest.raises(InputError, match=r"no size from 0\.125 of the full one"):
        trainer_for("progressive-size", task)
    with pytest.raises(InputError, match="lower `from`"):
        trainer_for("progressive-size:from=0.9")


def test_half_of_the_tokens_pass_until_the_end_of_dropping():
    diary = Diary()
    _, outcome = run("token-dropping:until=0.5", recorder=diary)
    flop = [row["flop"] for row in diary.rows]
    assert flop[0] < 0.85 * flop[-1]
    assert {row["signature"] for row in diary.rows[:12]} == {"n2 tokens_kept=8"}
    assert {row["signature"] for row in diary.rows[12:]} == {"n2"}
    assert outcome.status == "finished"


def test_a_share_of_the_size_that_is_set():
    _, outcome = run("progressive-size:from=0.5,buckets=2+token-dropping:keep=0.25")
    assert set(outcome.steps) == {"n2 size=8 tokens_kept=2", "n2"}
    with pytest.raises(InputError, match="write it behind the method that sets the size"):
        run("token-dropping+progressive-size:from=0.5")


def test_tokens_left_out_of_the_middle_come_back_untouched():
    trainer = trainer_for("none")
    model = trainer.model
    with torch.no_grad():
        for parameter in model.blocks.parameters():
            parameter.normal_(0.0, 0.2)
    seen = {}

    def keep(name):
        return lambda _, given, out: seen.update({name: (given[0], out)})

    for index, block in enumerate(model.blocks):
        block.register_forward_hook(keep(index))
    kept = torch.tensor([0, 3, 4])
    batch = decoder().batch(np.array([0]), None, np.random.default_rng(0))
    model(batch.inputs, kept=kept)
    after_first, before_last = seen[0][1], seen[3][0]
    left = [place for place in range(16) if place not in kept.tolist()]
    assert torch.equal(after_first[:, left], before_last[:, left])
    assert not torch.equal(after_first[:, kept], before_last[:, kept])
    assert seen[1][0].shape[1] == len(kept)


def test_patches_of_an_image_are_counted_as_such():
    task = load_task("image-vit", TaskOptions(max_samples=100, depth=3))
    chosen = []
    trainer = trainer_for(
        "token-dropping:keep=0.5", task, budget=replace(trainer_for("none").settings.budget, amount=64.0)
    )
    trainer.model.blocks[1].register_forward_hook(
        lambda _, given, __: chosen.append(given[1] if len(given) > 1 else None)
    )
    trainer.run()
    patches = task.num_tokens(None)
    used = [positions for positions in chosen if positions is not None]
    assert patches > task.sizes[-1]
    assert all(len(positions) == patches // 2 for positions in used)
    assert max(int(positions.max()) for positions in used) >= task.sizes[-1]


@pytest.mark.parametrize("active", [(0, 1), (0, 1, 2)])
def test_without_a_middle_nothing_is_dropped(active):
    trainer = trainer_for("token-dropping")
    trainer.set_up()
    (method,) = trainer.methods
    plan = whole_step().changed(active=active)
    assert (method.plan(at(0.1), plan) == plan) == (len(active) < 3)


def test_a_model_of_two_blocks_has_no_middle():
    with pytest.raises(InputError, match="2 blocks has no middle"):
        trainer_for("token-dropping", decoder(depth=2)).set_up()
