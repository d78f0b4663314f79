"""Orthogonalised momentum (Muon) for the matrices of the blocks, AdamW for everything else.

Skips nothing in a step; it needs fewer steps, and adds the products that orthogonalise.

What is known: on a CNN at a fixed input size about a third less operations at equal accuracy, on a
small ViT as much, on a small decoder little alone and about a tenth on top of counted priors and
short sequences; the best optimizers keep a factor of at most 1.4 at 130 M parameters and about 1.1
at 1.2 G (marin-community/marin #1290). When it pays: the added products must be small beside the
step. Of one m x n matrix (m <= n) trained on T rows a step (samples times positions) they are
(10/3) m/T + (5/3) m^2/(n T) of its forward and backward pass with five iterations: 3 % for a CNN,
20 % for a decoder of width 64 on 512 tokens, 2000 % for an MLP on 64 samples. So a gate compares
them with the forward pass, counted on two samples before the run. It takes the first of these that
adds at most 10 %: five iterations in every step; in every second one, with twice the step; three
iterations in every second one. If the last still exceeds `threshold` (0.3: a ViT gained at 0.19, a
recurrent net hardly at 0.29), the run falls back to the plain AdamW of the task, which is logged and
stands in `notes`; `gate=refuse` stops instead, and `gate=off` goes on.

Settings: `every` (1 to 16) and `iterations` (1 to 12), which the gate chooses where they are left
out, `momentum` (left out, the task's), `kernel` (auto, torch, float32), `gate` (fallback, refuse,
off), `threshold` (0.3).
Steps that orthogonalise carry the tag ``orthogonalise`` in their plan.

Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024;
`torch.optim.Muon`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from simtool.engine.border import Border
from simtool.engine.budget import Progress
from simtool.engine.count import OpCounter
from simtool.engine.method import METHODS, Method
from simtool.engine.optimizer import adamw
from simtool.engine.plan import StepPlan
from simtool.engine.settings import Settings
from simtool.engine.task import Recipe
from simtool.errors import InputError, Problem

if TYPE_CHECKING:
    from simtool.engine.methods_support.orthogonal import Kernel, MatrixMomentum
    from simtool.engine.work import Work

TAG = "orthogonalise"
LADDER = ((5, 1), (5, 2), (3, 2))
"""Iterations, and every how many steps: from the best to the cheapest that is hardly worse."""
CHEAP_FRAC = 0.1
"""Overhead at which the gate looks no further down the ladder."""
BACKWARD_AND_FORWARD = 3.0
"""Operations of a step per operation of its forward pass."""
NUM_PROBED = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MuonSettings:
    """What the command line may set."""

    every: int | None = None
    """Orthogonalise every so many steps; None lets the gate choose."""
    num_iterations: int | None = None
    """Of the orthogonalising iteration; None lets the gate choose."""
    momentum: float | None = None
    """None is the momentum of the task's recipe."""
    kernel: str = "auto"
    """``"torch"`` (bfloat16), ``"float32"``, or by device."""
    gate: str = "fallback"
    threshold: float = 0.3
    """Largest overhead, as a share of the forward and backward passes, at which the gate is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whether orthogonalising is affordable, and how often."""

    overhead_frac: float
    """Added operations over those of the forward and backward passes, averaged over steps."""
    every: int
    num_iterations: int
    is_open: bool


def decide(
    shapes: Sequence[tuple[int, int]], step_flop: float, settings: MuonSettings, kernel: Kernel
) -> Gate:
    """The gate from the shapes of the matrices and the operations of a step's two passes [FLOP].

    >>> decide([(64, 64)], 6.0 * 64 * 64 * 10_000, MuonSettings(), "torch").every
    1
    """
    from simtool.engine.methods_support.orthogonal import orthogonalise_flop

    num_iterations, every, overhead = 0, 0, float("inf")
    for iterations, steps in LADDER:
        num_iterations, every = settings.num_iterations or iterations, settings.every or steps
        added = sum(orthogonalise_flop(rows, columns, num_iterations, kernel) for rows, columns in shapes)
        overhead = added / (every * step_flop) if step_flop else float("inf")
        if overhead <= CHEAP_FRAC:
            break
    is_open = bool(shapes) and (settings.gate == "off" or overhead <= settings.threshold)
    return Gate(overhead_frac=overhead, every=every, num_iterations=num_iterations, is_open=is_open)


class Muon(Method):
    """Orthogonalised momentum on the matrices of the blocks, if its gate is open."""

    name = "muon"
    writes = frozenset({"optimizer"})
    wants_whole_weights = True

    def __init__(self, settings: MuonSettings) -> None:
        self.settings = settings
        self.gate: Gate | None = None
        """What the gate decided; None before the optimizers are made."""
        self.notes: tuple[str, ...] = ()
        """What a reader of the result has to know."""
        self._forward_flop = 0.0
        self._border = Border("gate")
        self._optimizer: MatrixMomentum | None = None

    def setup(self, work: Work) -> None:
        """Count the forward pass of a sample."""
        num_probed = min(NUM_PROBED, work.task.num_samples)
        with work.phase("prepare") as model:
            batch = work.task.batch(np.arange(num_probed), None, work.generator("muon-probe")).to(work.device)
            model.eval()
            with torch.no_grad(), OpCounter(()) as counter:
                model(batch.inputs)
        self._forward_flop = counter.counts.flop() / num_probed

    def optimizers(
        self, named: Sequence[tuple[str, nn.Parameter]], model: nn.Module, recipe: Recipe
    ) -> list[Optimizer] | None:
        """Muon for what has two and more dimensions in the blocks, AdamW for the rest; None if gated."""
        from simtool.engine.methods_support.orthogonal import MatrixMomentum

        settings = self.settings
        inside = {id(parameter) for parameter in model.blocks.parameters() if parameter.ndim >= 2}
        weights = [parameter for _, parameter in named if id(parameter) in inside]
        rest = [(name, parameter) for name, parameter in named if id(parameter) not in inside]
        device = named[0][1].device
        kernel: Kernel = "float32"
        if settings.kernel == "torch" or (settings.kernel == "auto" and device.type == "cuda"):
            kernel = "torch"
        shapes = [(len(weight), weight.numel() // len(weight)) for weight in weights]
        step_flop = BACKWARD_AND_FORWARD * recipe.batch_size * self._forward_flop
        self.gate = gate = decide(shapes, step_flop, settings, kernel)
        if not gate.is_open:
            self._closed(gate, bool(shapes))
            return None
        self._optimizer = MatrixMomentum(
            weights,
            learning_rate=recipe.muon_learning_rate,
            momentum=recipe.muon_momentum if settings.momentum is None else settings.momentum,
            num_iterations=gate.num_iterations,
            every=gate.every,
            kernel=kernel,
        )
        others = [adamw(rest, recipe, recipe.muon_aux_learning_rate, device)] if rest else []
        return [self._optimizer, *others]

    def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
        """Tagged where the step orthogonalises."""
        return plan.tagged(TAG) if self._is_due(progress) else plan

    def boundary(self, work: Work, progress: Progress) -> None:
        """Tell the optimizer what the plan says, and the trace what the gate decided."""
        if (gate := self.gate) is not None:
            self._border.see(
                work,
                gate.is_open,
                is_open=gate.is_open,
                overhead_frac=gate.overhead_frac,
                every=gate.every,
                num_iterations=gate.num_iterations,
            )
        if self._optimizer is not None:
            self._optimizer.is_due = self._is_due(progress)

    def state_dict(self) -> dict[str, Any]:
        """What was told of the gate."""
        return {"told": self._border.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self._border.value = state["told"]

    def _is_due(self, progress: Progress) -> bool:
        return self.gate is not None and self.gate.is_open and (progress.step + 1) % self.gate.every == 0

    def _closed(self, gate: Gate, has_matrices: bool) -> None:
        why = (
            f"orthogonalising would add {gate.overhead_frac:.0%} to the operations of a step, "
            f"more than {self.settings.threshold:.0%}"
            if has_matrices
            else "the blocks hold no matrix"
        )
        if self.settings.gate == "refuse" or not has_matrices:
            raise InputError(
                Problem("--method", self.name, why, "", "raise the batch size, or leave the method out")
            )
        self.notes = (f"{self.name}: {why}; trained with AdamW instead",)
        log.warning("%s", self.notes[0])


@METHODS.register("muon")
def muon(settings: dict[str, str]) -> Method:
    """Orthogonalised momentum for the matrices of the blocks, AdamW for the rest."""
    if not hasattr(torch.optim, "Muon"):
        raise InputError(
            Problem(
                "--method",
                "muon",
                f"torch {torch.__version__} has no Muon",
                "torch 2.9 or later",
                "update torch",
            )
        )
    read = Settings("muon", settings)
    every = read.count("every", 1, 1, 16)
    num_iterations = read.count("iterations", 5, 1, 12)
    momentum = read.number("momentum", 0.95, 0.0, 0.999)
    found = MuonSettings(
        every=every if "every" in settings else None,
        num_iterations=num_iterations if "iterations" in settings else None,
        momentum=momentum if "momentum" in settings else None,
        kernel=read.word("kernel", "auto", ("auto", "torch", "float32")),
        gate=read.word("gate", "fallback", ("fallback", "refuse", "off")),
        threshold=read.number("threshold", 0.3, 0.0, 10.0),
    )
    read.done()
    return Muon(found)
