"""Growth: absent blocks are the identity, and join as copies with their moments."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from simtool.engine.methods_support.surgery import is_identity, silence
from simtool.errors import InputError
from tests.engine.methods_a.runs import Diary, decoder, moments, run, trainer_for
from tests.engine.toy import ToyTask

torch.set_num_threads(1)


class TwoBranches(nn.Module):
    """Values and gates, an output, and a second branch, all as wide as the input."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate, self.output = (nn.Linear(6, 6) for _ in range(3))
        self.up, self.down = nn.Linear(6, 12), nn.Linear(12, 6)

    def forward(self, hidden, positions=None):
        hidden = hidden + self.output(self.value(hidden) * self.gate(hidden).sigmoid())
        return hidden + self.down(functional.gelu(self.up(hidden)))


def test_only_the_outputs_of_the_branches_are_set_to_zero():
    torch.manual_seed(0)
    block, hidden = TwoBranches(), torch.randn(2, 3, 6)
    before = {name: value.clone() for name, value in block.state_dict().items()}
    silence(block, hidden, "growth")
    assert is_identity(block, hidden)
    after = block.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"output.weight", "output.bias", "down.weight", "down.bias"}
    assert all(not after[name].any() for name in changed)
    block(hidden).square().sum().backward()
    assert all(layer.weight.grad.any() for layer in (block.output, block.down))


def test_a_block_that_is_not_residual_is_left_as_it_was_and_refused():
    torch.manual_seed(0)
    block = nn.Linear(6, 6)
    before = block.weight.detach().clone()
    with pytest.raises(InputError, match="not residual"):
        silence(block, torch.randn(2, 6), "growth")
    assert torch.equal(block.weight, before)


def test_the_whole_model_is_the_small_one_until_it_grows():
    task = ToyTask()
    trainer = trainer_for("growth", task)
    trainer.set_up()
    shallow = ToyTask(num_blocks=2).build(0)
    names = shallow.state_dict().keys()
    shallow.load_state_dict({name: trainer.model.state_dict()[name] for name in names})
    with torch.no_grad():
        assert task.evaluate(trainer.model, "test") == task.evaluate(shallow, "test")


@pytest.mark.parametrize("other", ["none", "muon:gate=off,every=1"])
def test_weights_and_moments_are_copied(other):
    trainer = trainer_for(f"{other}+growth:at=0.4", recorder=Diary(stop_after=10))
    outcome = trainer.run()
    assert outcome.status == "interrupted"
    growth = trainer.methods[-1]
    assert not growth.is_grown
    idle = [weight for block in list(trainer.model.blocks)[2:] for weight in block.parameters()]
    assert not any(moments(trainer.work.optimizers, weight) for weight in idle)

    growth.boundary(trainer.work, trainer.progress())
    assert growth.is_grown
    for source, target in ((0, 2), (1, 3)):
        pairs = zip(
            trainer.model.blocks[source].parameters(), trainer.model.blocks[target].parameters(), strict=True
        )
        for kept, grown in pairs:
            assert torch.equal(kept, grown)
            assert kept.data_ptr() != grown.data_ptr()
            left, right = (moments(trainer.work.optimizers, weight) for weight in (kept, grown))
            assert left.keys() == right.keys()
            assert left
            for name, value in left.items():
                assert torch.equal(value, right[name])
                assert value.data_ptr() != right[name].data_ptr()


def test_the_copies_go_their_own_way_afterwards():
    trainer, outcome = run("muon:gate=off,every=1+growth:at=0.5,from=1")
    weights = [block.up.weight for block in trainer.model.blocks]
    assert not any(torch.equal(weights[0], weight) for weight in weights[1:])
    assert sum(steps for name, steps in outcome.steps.items() if "active=0 " in f"{name} ") == 12


def test_joining_at_zero_changes_no_output():
    task = ToyTask()
    trainer = trainer_for("growth:how=zero,at=0.2", task, recorder=Diary(stop_after=2))
    trainer.run()
    before = trainer.evaluate("test")
    (growth,) = trainer.methods
    growth.boundary(trainer.work, trainer.progress())
    assert growth.is_grown
    assert trainer.evaluate("test") == before
    joined, _ = run("growth:how=zero,at=0.2", task)
    assert all(block.down.weight.any() for block in joined.model.blocks)


@pytest.mark.parametrize("how", ["stack", "zero"])
def test_absent_blocks_cost_nothing(how):
    diary = Diary()
    _, outcome = run(f"growth:how={how},at=0.5", recorder=diary)
    flop = [row["flop"] for row in diary.rows]
    assert flop[1] < 0.75 * flop[-1]
    assert outcome.steps == {"n2 active=0+1": 12, "n2": 12}


def test_blocks_of_unequal_shape_are_refused():
    task = ToyTask()
    build = task.build

    def uneven(seed):
        model = build(seed)
        model.blocks[1].up = nn.Linear(16, 8)
        model.blocks[1].down = nn.Linear(8, 16)
        return model

    task.build = uneven  # type: ignore[method-assign]
    with pytest.raises(InputError, match="differ in shape"):
        trainer_for("growth", task).set_up()


def test_a_model_of_one_block_does_not_grow():
    one, outcome = run("growth", decoder(depth=1))
    plain, _ = run("none", decoder(depth=1))
    assert outcome.steps == {"n2": 24}
    assert all(
        torch.equal(value, plain.model.state_dict()[name]) for name, value in one.model.state_dict().items()
    )
