"""Training, validation and test share nothing, and each task treats its data as it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simtool.engine.data.series import windows
from simtool.engine.data.split import split
from simtool.engine.data.text import Vocabulary, load_text
from simtool.engine.task import TASKS, TaskOptions
from simtool.engine.tasks.vision import AUGMENTATIONS, augmented, scaled


@given(st.integers(14, 5000), st.integers(1, 5000), st.integers(1, 500))
def test_no_sample_is_in_two_parts(num_samples: int, max_train: int, max_held_out: int) -> None:
    parts = split(num_samples, "here", max_train=max_train, max_held_out=max_held_out)
    every = np.concatenate([parts.train, parts.validation, parts.test])
    assert len(np.unique(every)) == len(every)
    assert every.min() >= 0
    assert every.max() < num_samples
    assert 1 <= len(parts.train) <= max_train
    assert 1 <= min(len(parts.validation), len(parts.test)) <= max_held_out


@given(st.integers(200, 3000), st.integers(1, 9), st.integers(1, 5))
def test_no_step_of_a_held_out_window_was_trained_on(num_steps: int, window: int, horizon: int) -> None:
    parts = windows(num_steps, window, horizon, "here")
    seen = {
        name: set(
            np.concatenate(
                [begins + offset for offset in range(window)] + [begins + window - 1 + horizon]
            ).tolist()
        )
        for name, begins in parts.items()
    }
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]
    assert max(seen["train"]) < min(seen["validation"]) < max(seen["validation"]) < min(seen["test"])
    assert max(seen["test"]) < num_steps


def test_held_out_text_is_of_other_files() -> None:
    text = load_text(None, 300_000)
    assert len(text.train) > 250_000
    assert min(len(text.validation), len(text.test)) > 10_000
    assert text.validation[2000:2200] not in text.train
    assert text.test[2000:2200] not in text.train
    assert load_text(None, 300_000) == text


@given(st.text(min_size=1, max_size=60), st.text(max_size=60))
def test_known_characters_have_ids_of_their_own(seen: str, other: str) -> None:
    vocabulary = Vocabulary.of(seen)
    ids = vocabulary.encode(seen)
    assert len(set(ids.tolist())) == len(set(seen)) == vocabulary.size - 1
    assert ids.min() >= 1
    unknown = [
        identity
        for character, identity in zip(other, vocabulary.encode(other), strict=True)
        if character not in seen
    ]
    assert all(identity == 0 for identity in unknown)


def test_pieces_of_a_window_are_the_window() -> None:
    task = TASKS["char-gpt"](TaskOptions(settings={"megabytes": "0.1", "context": "32"}))
    generator = np.random.default_rng(0)
    indices = np.array([5, 2])
    whole, pieces = task.batch(indices, None, generator), task.batch(indices, 8, generator)
    assert pieces.inputs.shape == (8, 8)
    assert torch.equal(pieces.inputs.reshape(2, 32), whole.inputs)
    assert torch.equal(pieces.targets.reshape(2, 32), whole.targets)
    assert pieces.indices.tolist() == [5, 5, 5, 5, 2, 2, 2, 2]
    tokens = task.tokens  # type: ignore[attr-defined]
    for row, begin in enumerate(pieces.extra["position"].tolist()):
        assert pieces.inputs[row].tolist() == tokens[begin : begin + 8].tolist()
        assert pieces.targets[row].tolist() == tokens[begin + 1 : begin + 9].tolist()


def test_a_decoder_does_not_see_what_comes() -> None:
    task = TASKS["char-gpt"](TaskOptions(settings={"megabytes": "0.1", "context": "32"}))
    model = task.build(0).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2, generator=torch.Generator().manual_seed(1))
    inputs = task.batch(np.array([1]), None, np.random.default_rng(0)).inputs
    changed = inputs.clone()
    changed[0, 20:] = (changed[0, 20:] + 1) % task.vocab_size  # type: ignore[attr-defined]
    with torch.no_grad():
        assert torch.allclose(model(inputs)[:, :20], model(changed)[:, :20], atol=1e-5)
        assert not torch.allclose(model(inputs)[:, 20:], model(changed)[:, 20:], atol=1e-2)


def test_the_encoder_learns_only_what_it_cannot_see() -> None:
    task = TASKS["masked-encoder"](TaskOptions(settings={"megabytes": "0.1", "context": "32"}))
    batch = task.batch(np.arange(64), None, np.random.default_rng(0))
    hidden = batch.inputs == task.mask_id  # type: ignore[attr-defined]
    assert batch.mask is not None
    assert torch.equal(hidden, batch.mask.bool())
    assert torch.equal(batch.inputs[~hidden], batch.targets[~hidden])
    assert 0.25 < float(batch.mask.mean()) < 0.35
    assert bool(hidden.any(dim=1).all())


def test_noise_looks_the_same_after_scaling_down() -> None:
    blank = torch.zeros(200, 1, 16, 16)
    how = AUGMENTATIONS["noise"]
    late = scaled(augmented(blank, how, np.random.default_rng(0)), 8)
    early = augmented(scaled(blank, 8), how, np.random.default_rng(1))
    assert float(early.std()) == pytest.approx(float(late.std()), rel=0.03)


def test_augmentation_keeps_the_middle_and_can_be_repeated() -> None:
    images = torch.rand(50, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    for name, how in AUGMENTATIONS.items():
        one = augmented(images, how, np.random.default_rng(4))
        assert torch.equal(one, augmented(images, how, np.random.default_rng(4))), name
        assert torch.equal(one, images) == how.is_none, name


def test_a_mirror_is_a_mirror() -> None:
    from dataclasses import replace

    images = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    mirrored = augmented(images, replace(AUGMENTATIONS["none"], mirrors=True), np.random.default_rng(0))
    same = torch.isclose(mirrored, images, atol=1e-5).flatten(1).all(1)
    flipped = torch.isclose(mirrored, images.flip(-1), atol=1e-5).flatten(1).all(1)
    assert bool((same ^ flipped).all())
    assert 10 < int(flipped.sum()) < 54


def test_short_windows_end_where_long_ones_do() -> None:
    task = TASKS["series-gru"](TaskOptions(settings={"window": "12"}))
    long, short = (task.batch(np.array([7, 9]), size, np.random.default_rng(0)) for size in (12, 4))
    assert torch.equal(short.inputs, long.inputs[:, -4:])
    assert torch.equal(short.targets, long.targets)


def test_the_target_lies_ahead() -> None:
    task = TASKS["series-gru"](TaskOptions(settings={"window": "6", "horizon": "2"}))
    series = task.series  # type: ignore[attr-defined]
    batch = task.batch(np.array([10]), None, np.random.default_rng(0))
    assert batch.inputs[0, -1].numpy() == pytest.approx(series.inputs[15], abs=1e-5)
    assert float(batch.targets[0]) == pytest.approx(series.target[17], abs=1e-5)


def test_tuning_begins_with_the_pretrained_body_and_its_own_images() -> None:
    task = TASKS["fine-tune-cnn"](TaskOptions())
    known = task.pretrained()  # type: ignore[attr-defined]
    one, two = task.build(0).state_dict(), task.build(1).state_dict()
    assert torch.equal(one["blocks.0.0.weight"], known.state["blocks.0.0.weight"])
    assert not torch.equal(one["head.linear.weight"], two["head.linear.weight"])
    assert known.accuracy > 0.8
    assert known.flop > 0.0
    source, target = task._source, task.images  # type: ignore[attr-defined]
    clean = {image.tobytes() for image in source.pixels[source.split.train]}
    assert not clean & {image.tobytes() for image in 1.0 - target.pixels[target.split.train]}
    assert task.describe()["pretraining_flop"] == known.flop


def test_the_pretrained_net_can_be_kept_in_a_folder(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from simtool.engine.tasks import fine_tune_cnn
    from simtool.errors import InputError

    options = TaskOptions(settings={"cache": str(tmp_path)}, width=2, max_samples=100)
    monkeypatch.setattr(fine_tune_cnn, "SOURCE_PASSES", 1)
    first = TASKS["fine-tune-cnn"](options).build(0).state_dict()
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(fine_tune_cnn, "_KNOWN", {})
    monkeypatch.setattr(fine_tune_cnn, "_pretrain", None)
    again = TASKS["fine-tune-cnn"](options).build(0).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    monkeypatch.setattr(fine_tune_cnn, "_KNOWN", {})
    file.write_bytes(b"damaged")
    with pytest.raises(InputError, match="remove the file"):
        TASKS["fine-tune-cnn"](options).build(0)
