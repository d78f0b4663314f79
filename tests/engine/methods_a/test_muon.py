"""Orthogonalised momentum: the iteration, the weights it takes, the gate, the steps between."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from simtool.engine.methods.muon import Gate, MuonSettings, decide
from simtool.engine.methods_support.orthogonal import MatrixMomentum, orthogonalise_flop, orthogonalised
from simtool.errors import InputError
from tests.engine.methods_a.runs import Diary, at, decoder, run, trainer_for, whole_step

torch.set_num_threads(1)


@given(rows=st.integers(2, 24), columns=st.integers(2, 24), steps=st.integers(4, 7), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_directions_stay_and_lengths_become_about_one(rows, columns, steps, seed):
    small = min(rows, columns)
    torch.manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(rows, small))
    right, _ = torch.linalg.qr(torch.randn(columns, small))
    matrix = left @ torch.diag(torch.linspace(0.2, 1.0, small)) @ right.T
    found = left.T @ orthogonalised(matrix, steps) @ right
    assert torch.allclose(found, torch.diag(found.diagonal()), atol=2e-4)
    assert bool(((found.diagonal() > 0.5) & (found.diagonal() < 1.3)).all())
    assert torch.allclose(orthogonalised(3.0 * matrix, steps), orthogonalised(matrix, steps), atol=2e-4)
    assert torch.allclose(orthogonalised(matrix.T, steps).T, orthogonalised(matrix, steps), atol=2e-4)


@pytest.mark.parametrize("shape", [(16, 16), (16, 40), (64, 16), (8, 128)])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_formula_is_what_runs(shape, steps):
    with FlopCounterMode(display=False) as counter:
        orthogonalised(torch.randn(shape), steps)
    assert counter.get_total_flops() == orthogonalise_flop(*shape, steps)


def steps_of(optimizer, weights, number):
    torch.manual_seed(1)
    for _ in range(number):
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        optimizer.step()
    return weights


@pytest.mark.parametrize("shape", [(12, 12), (24, 8), (8, 40)])
def test_float32_does_what_torch_does_in_bfloat16(shape):
    ends = []
    for kernel in ("torch", "float32"):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(shape))
        begin = weight.detach().clone()
        optimizer = MatrixMomentum([weight], learning_rate=0.1, momentum=0.9, num_iterations=5, kernel=kernel)
        ends.append(steps_of(optimizer, [weight], 3)[0].detach() - begin)
    assert float((ends[0] - ends[1]).norm() / ends[1].norm()) < 0.1


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_moves_in_place(memory):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(6, 4, 3, 3).contiguous(memory_format=memory))
    flat = nn.Parameter(weight.detach().contiguous().reshape(6, -1).clone())
    ends = []
    for parameter in (weight, flat):
        torch.manual_seed(1)
        gradient = torch.randn(6, 4, 3, 3)
        parameter.grad = gradient if parameter is weight else gradient.reshape(6, -1)
        optimizer = MatrixMomentum([parameter], learning_rate=0.1, momentum=0.9, num_iterations=5)
        optimizer.step()
        ends.append(parameter.detach().reshape(6, -1))
        optimizer.zero_grad()
        assert parameter.grad is None
    assert torch.allclose(ends[0], ends[1], atol=1e-5)


def test_a_step_that_is_not_due_only_gathers():
    weight = nn.Parameter(torch.eye(4))
    optimizer = MatrixMomentum([weight], learning_rate=0.1, momentum=0.5, num_iterations=5, every=2)
    optimizer.is_due = False
    steps_of(optimizer, [weight], 1)
    assert torch.equal(weight.detach(), torch.eye(4))
    (state,) = optimizer.state.values()
    gathered = state["momentum_buffer"].clone()
    assert float(gathered.norm()) > 0.0
    optimizer.is_due = True
    steps_of(optimizer, [weight], 1)
    moved = torch.linalg.matrix_norm(weight.detach() - torch.eye(4), ord=2)
    assert 0.1 < float(moved) < 0.3  # about twice the learning rate
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_what_it_takes_and_what_it_leaves():
    trainer = trainer_for("muon:gate=off")
    trainer.set_up()
    momentum, rest = trainer.work.optimizers
    taken = {matrix.data_ptr() for group in momentum.param_groups for matrix in group["params"]}
    inside = {weight.data_ptr() for weight in trainer.model.blocks.parameters() if weight.ndim >= 2}
    assert taken == inside
    left = {weight.data_ptr() for group in rest.param_groups for weight in group["params"]}
    assert taken | left == {weight.data_ptr() for weight in trainer.model.parameters()}
    assert not taken & left
    peaks = {group["peak_lr"] for optimizer in (momentum, rest) for group in optimizer.param_groups}
    recipe = decoder().recipe
    assert peaks == {recipe.muon_learning_rate, recipe.muon_aux_learning_rate}


def test_the_gate_goes_by_work_added():
    square = [(64, 64)] * 4
    pass_flop = 6.0 * 4 * 64 * 64
    # A square matrix of side m on T rows: m/T for each iteration, shared by the steps that skip it.
    found = [
        decide(square, pass_flop * rows, MuonSettings(), "torch") for rows in (10_000, 2_000, 1_000, 100)
    ]
    assert [(gate.num_iterations, gate.every) for gate in found] == [(5, 1), (5, 2), (3, 2), (3, 2)]
    assert [round(gate.overhead_frac, 3) for gate in found] == [0.032, 0.08, 0.096, 0.96]
    assert [gate.is_open for gate in found] == [True, True, True, False]
    fixed = MuonSettings(gate="off", every=1, num_iterations=5)
    assert decide(square, pass_flop * 100, fixed, "torch") == Gate(
        overhead_frac=3.2, every=1, num_iterations=5, is_open=True
    )
    assert not decide([], 1.0, fixed, "torch").is_open


def test_a_closed_gate_is_said_and_trains_as_the_task_does(caplog):
    with caplog.at_level(logging.WARNING):
        gated, outcome = run("muon:threshold=0")
    plain, _ = run("none")
    (method,) = gated.methods
    assert not method.gate.is_open
    assert "AdamW instead" in method.notes[0]
    assert method.notes[0] in caplog.text
    assert "orthogonalise" not in " ".join(outcome.steps)
    for name, value in gated.model.state_dict().items():
        assert torch.equal(value, plain.model.state_dict()[name])
    with pytest.raises(InputError, match="orthogonalising would add"):
        run("muon:threshold=0,gate=refuse")


@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_plan_says_which_steps_orthogonalise(every):
    diary = Diary()
    trainer, outcome = run(f"muon:gate=off,iterations=4,every={every}", recorder=diary)
    due = ["orthogonalise" in row["signature"] for row in diary.rows]
    assert due == [(step + 1) % every == 0 for step in range(len(due))]
    dear = [row["flop"] for row, is_due in zip(diary.rows, due, strict=True) if is_due]
    cheap = [row["flop"] for row, is_due in zip(diary.rows, due, strict=True) if not is_due]
    weights = [weight for weight in trainer.model.blocks.parameters() if weight.ndim >= 2]
    added = sum(orthogonalise_flop(*weight.shape, 4) for weight in weights)
    if cheap:
        assert dear[1] - cheap[1] == pytest.approx(added)
    assert outcome.costs.flop_by_phase()["optimizer"] == pytest.approx(added * sum(due))


def test_before_the_gate_has_decided_no_step_is_tagged():
    (method,) = trainer_for("muon").methods
    assert method.plan(at(0.5), whole_step()) == whole_step()


@pytest.mark.parametrize(
    "text", ["every=0", "iterations=0", "momentum=1", "gate=open", "kernel=half", "speed=1"]
)
def test_settings_out_of_range_are_refused(text):
    with pytest.raises(InputError, match="muon"):
        trainer_for(f"muon:{text}")
