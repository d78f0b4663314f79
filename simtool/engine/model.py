"""Models as the engine sees them: a stem, an ordered row of blocks, a head.

That is all a method needs to know of an architecture to freeze its front, to grow it, to skip a
block or to send only some tokens through the middle; so a task that hands over these three parts
inherits every method that fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from simtool.engine.plan import StepPlan

WHOLE = StepPlan(num_samples=0)
"""The plan that leaves nothing out."""


class BlockModel(nn.Module):
    """A stem, blocks and a head; `forward` executes what a plan leaves of them.

    Args:
        stem: inputs to hidden state.
        blocks: hidden state to hidden state, in order. Blocks of a token model also take
            `positions`, the place of each token in the sample, or None for all in order. Those of a task
            that offers ``window`` take `window`, the tokens that attention sees.
        head: hidden state to outputs.
        has_tokens: the hidden state is (samples, tokens, width), and any subset of tokens in order
            is a valid input of a block.
    """

    def __init__(
        self, stem: nn.Module, blocks: list[nn.Module], head: nn.Module, *, has_tokens: bool = False
    ) -> None:
        super().__init__()
        self.stem, self.blocks, self.head = stem, nn.ModuleList(blocks), head
        self.has_tokens = has_tokens

    def forward(
        self, inputs: Tensor, plan: StepPlan = WHOLE, kept: Tensor | None = None, front: Tensor | None = None
    ) -> Tensor:
        """Outputs of the head.

        Args:
            inputs: a batch.
            plan: which blocks run, and which of them are frozen.
            kept: positions of the tokens that pass through the middle blocks, rising.
            front: output of the frozen front, where it is cached.
        """
        hidden = self.front(inputs, plan) if front is None else front
        rest = [index for index in self.running(plan) if index >= plan.frozen]
        if kept is None:
            for index in rest:
                hidden = self._block(index, hidden, plan)
            return self.head(hidden)
        first, middle, last = rest[:1], rest[1:-1], rest[1:][-1:]
        for index in first:
            hidden = self._block(index, hidden, plan)
        part = hidden[:, kept]
        for index in middle:
            part = self._block(index, part, plan, kept)
        hidden = hidden.index_copy(1, kept, part)
        for index in last:
            hidden = self._block(index, hidden, plan)
        return self.head(hidden)

    def front(self, inputs: Tensor, plan: StepPlan) -> Tensor:
        """The hidden state behind the frozen front; without gradients where anything is frozen."""
        with torch.no_grad() if plan.frozen else nullcontext():
            hidden = self.stem(inputs)
            for index in self.running(plan):
                if index < plan.frozen:
                    hidden = self._block(index, hidden, plan)
        return hidden

    def _block(self, index: int, hidden: Tensor, plan: StepPlan, *positions: Tensor) -> Tensor:
        """One block, with a window where the plan has one: other blocks need not know of windows."""
        seen = {} if plan.window is None else {"window": plan.window}
        output: Tensor = self.blocks[index](hidden, *positions, **seen)
        return output

    def running(self, plan: StepPlan) -> tuple[int, ...]:
        """Indices of the blocks that a plan runs."""
        return tuple(range(len(self.blocks))) if plan.active is None else plan.active

    def frozen_modules(self, plan: StepPlan) -> Iterator[nn.Module]:
        """The modules that a plan does not train."""
        if plan.frozen:
            yield self.stem
            yield from (block for index, block in enumerate(self.blocks) if index < plan.frozen)

    def prepare(self, plan: StepPlan) -> None:
        """Training mode and gradients for what the plan trains; what is frozen also keeps its statistics."""
        self.train()
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        for module in self.frozen_modules(plan):
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad_(False)
        if plan.update is not None:
            for name, parameter in self.named_parameters():
                if name not in plan.update:
                    parameter.requires_grad_(False)
        for parameter in self.parameters():
            if not parameter.requires_grad:
                parameter.grad = None
