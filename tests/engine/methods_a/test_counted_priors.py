"""Counted priors: the table against a count by hand, the start against the entropy of bigrams."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import simtool.engine.methods_support.ngram as ngram
from simtool.engine.methods.counted_priors import neighbours
from simtool.engine.methods_support.bigram import EMBEDDING_RMS, bigram_start, log_bigrams
from simtool.engine.methods_support.ngram import count_ngrams
from simtool.errors import InputError
from tests.engine.methods_a.runs import at, decoder, run, trainer_for
from tests.engine.toy import ToyTask

torch.set_num_threads(1)

TEXT = "the cat sat on the mat and the rat sat on that cat"


def by_hand(tokens: list[int], vocab_size: int, offsets: tuple[int, ...]) -> list[list[float]]:
    """The distribution at every place, from dictionaries and the definition."""

    def neighbour(place: int, offset: int) -> int:
        return tokens[place + offset] if 0 <= place + offset < len(tokens) else -1

    seen: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for order in range(len(offsets) + 1):
        for place, token in enumerate(tokens):
            seen[(order, *(neighbour(place, offset) for offset in offsets[:order]))][token] += 1

    def chance(token: int, context: tuple[int, ...]) -> float:
        shorter = chance(token, (context[0] - 1, *context[1:-1])) if context[0] else 1.0 / vocab_size
        followers = seen[context]
        return (followers[token] + len(followers) * shorter) / (followers.total() + len(followers))

    return [
        [
            chance(token, (len(offsets), *(neighbour(place, offset) for offset in offsets)))
            for token in range(vocab_size)
        ]
        for place in range(len(tokens))
    ]


@pytest.mark.parametrize("offsets", [(), (-1,), (-1, -2, -3), (-1, 1, -2), (2,)])
def test_the_table_is_the_count_by_hand(offsets):
    letters = sorted(set(TEXT))
    tokens = [letters.index(letter) for letter in TEXT]
    table = count_ngrams(np.array(tokens), len(letters), offsets)
    assert np.allclose(table.rows[table.row_of], by_hand(tokens, len(letters), offsets), atol=1e-6)


@given(
    tokens=st.lists(st.integers(0, 5), min_size=4, max_size=60),
    offsets=st.lists(st.sampled_from([-3, -2, -1, 1, 2]), max_size=3, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_every_row_is_a_distribution_without_zeros(tokens, offsets):
    table = count_ngrams(np.array(tokens), 7, tuple(offsets))
    assert np.allclose(table.rows.sum(axis=1), 1.0, atol=1e-5)
    assert float(table.rows.min()) > 0.0
    assert set(table.row_of.tolist()) == set(range(len(table.rows)))
    assert table.flop > 0.0


def test_longer_contexts_know_more_of_the_text():
    tokens, vocab_size = decoder().tokens, decoder().vocab_size
    surprise = []
    for order in range(4):
        table = count_ngrams(tokens, vocab_size, neighbours(order, True))
        surprise.append(-np.log(table.rows[table.row_of, tokens]).mean())
    assert surprise == sorted(surprise, reverse=True)
    counts = np.bincount(tokens, minlength=vocab_size) / len(tokens)
    entropy = -sum(share * math.log(share) for share in counts if share)
    assert surprise[0] == pytest.approx(entropy, abs=0.02)


def test_a_table_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(ngram, "MAX_CELLS", 50)
    with pytest.raises(InputError, match="lower the order"):
        count_ngrams(np.arange(20), 20, (-1,))


def test_a_large_vocabulary_is_refused():
    task = ToyTask()
    task.vocab_size = 50_000
    with pytest.raises(InputError, match="50000 different tokens"):
        trainer_for("counted-priors", task)


def test_a_task_that_offers_counts_without_tokens_is_refused():
    task = ToyTask()
    del task.tokens
    with pytest.raises(InputError, match="has no tokens"):
        trainer_for("counted-priors", task)


def test_a_model_without_an_embedding_of_its_own_is_refused():
    task = ToyTask()
    build = task.build

    def tied(seed):
        model = build(seed)
        model.head.linear.weight = model.stem.embedding.weight
        return model

    task.build = tied  # type: ignore[method-assign]
    with pytest.raises(InputError, match="start=off"):
        trainer_for("counted-priors", task).set_up()
    trainer_for("counted-priors:start=off", task).set_up()


@pytest.mark.parametrize("vocab_size", [5, 12])
def test_the_start_is_exact_where_the_width_holds_all(vocab_size):
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, vocab_size, size=500)
    width = 16
    start = bigram_start(tokens, vocab_size, width, generator)
    assert np.sqrt(np.square(start.embedding).mean()) == pytest.approx(EMBEDDING_RMS)
    after, _, _ = log_bigrams(tokens, vocab_size)
    embedding = torch.from_numpy(start.embedding)
    for normed in (
        nn.functional.layer_norm(embedding, (width,)),
        nn.functional.rms_norm(embedding, (width,)),
    ):
        scores = normed.numpy() @ start.head.T + start.bias
        assert np.allclose(scores, after, atol=1e-3)


@pytest.mark.parametrize(("width", "margin"), [(32, 0.15), (64, 0.02)])
def test_the_first_loss_is_about_the_entropy_of_bigrams(width, margin):
    task = decoder(width=width)
    trainer = trainer_for("counted-priors:teacher=off", task)
    blank = trainer.evaluate("validation")["loss"]
    trainer.set_up()
    batch = task.batch(np.arange(task.num_samples), None, np.random.default_rng(0))
    with torch.no_grad():
        loss = float(task.loss(trainer.model(batch.inputs), batch).mean())
    after, _, _ = log_bigrams(task.tokens, task.vocab_size)
    entropy = -after[task.tokens[:-1], task.tokens[1:]].mean()
    assert entropy - 0.01 < loss < entropy + margin
    assert trainer.evaluate("validation")["loss"] < 0.7 * blank


@pytest.mark.parametrize("name", ["char-gpt", "masked-encoder"])
@pytest.mark.parametrize("size", [None, 8])
def test_the_teacher_speaks_of_the_tokens_that_are_asked_for(name, size):
    task = decoder(name)
    trainer = trainer_for("counted-priors:order=2,start=off", task)
    trainer.set_up()
    (method,) = trainer.methods
    batch = task.batch(np.array([3, 17]), size, np.random.default_rng(0))
    rows, length = batch.targets.shape
    outputs = torch.randn(rows, length, task.vocab_size)
    losses = task.loss(outputs, batch)
    table = count_ngrams(task.tokens, task.vocab_size, neighbours(2, task.is_causal))
    first = 1 if task.is_causal else 0
    begins = batch.extra["position"].numpy()
    for row, column in ((0, 0), (rows - 1, length - 1)):
        place = begins[row] + first + column
        assert int(batch.targets[row, column]) == task.tokens[place]
        taught = table.rows[table.row_of[place]]
        soft = -float((torch.from_numpy(taught) * outputs[row, column].log_softmax(-1)).sum())
        mixed = method.losses(outputs, batch, losses, at(0.25))[row, column]
        assert float(mixed) == pytest.approx(0.75 * soft + 0.25 * float(losses[row, column]), rel=1e-5)
    assert torch.equal(method.losses(outputs, batch, losses, at(1.0)), losses)


def test_counting_is_charged_before_the_first_step():
    _, outcome = run("counted-priors")
    _, fewer = run("counted-priors:order=1")
    costs = outcome.costs
    assert costs.declared_flop["prepare"] > fewer.costs.declared_flop["prepare"] > 0.0
    assert costs.flop_by_phase()["prepare"] == costs.declared_flop["prepare"]
    assert "teacher" in next(iter(outcome.steps))


def test_both_halves_help():
    budget = replace(trainer_for("none").settings.budget, amount=80.0)
    texts = ("none", "counted-priors:start=off", "counted-priors:teacher=off")
    none, teacher, start = (run(text, budget=budget)[1].quality["loss"] for text in texts)
    assert teacher < none
    assert start < none
