"""Orthogonalised momentum: `torch.optim.Muon` for weights of any shape, with steps that only gather.

Convolutions are seen as matrices (outputs, everything else) that share their memory. On devices
without bfloat16 units torch's own iteration, which casts to bfloat16, takes about three times the
time of the same iteration in float32 (measured for widths 32 to 128 on an AVX-512 core), so both
are offered; the momentum they keep is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Muon

Kernel = Literal["torch", "float32"]
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration x <- a x + b x^3 + c x^5 on singular values, as torch.optim.Muon has them
(K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024)."""
EPSILON = 1e-7


def orthogonalise_flop(
    num_rows: int, num_columns: int, num_iterations: int, kernel: Kernel = "float32"
) -> float:
    """Operations that bring one matrix near the closest orthogonal one [FLOP].

    With m <= n the sides, one iteration is the Gram matrix (2 m^2 n), its square (2 m^3) and the
    product with the matrix (2 m^2 n). In float32 a flat matrix is iterated on its Gram matrix
    alone where that is less: 4 m^2 n in all and 8 m^3 an iteration.

    >>> orthogonalise_flop(64, 64, 5) == 5 * 6 * 64**3
    True
    """
    small, large = sorted((num_rows, num_columns))
    direct = num_iterations * (4.0 * small**2 * large + 2.0 * small**3)
    by_gram = 4.0 * small**2 * large + (8.0 * num_iterations - 6.0) * small**3
    return min(direct, by_gram) if kernel == "float32" else direct


def orthogonalised(matrix: Tensor, num_iterations: int) -> Tensor:
    """The matrix with its singular values moved close to 1, in the precision it has.

    >>> found = orthogonalised(torch.diag(torch.tensor([3.0, 1.0])), 5)
    >>> bool(((found.diagonal() > 0.68) & (found.diagonal() < 1.21)).all())
    True
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    flat = matrix.T if is_tall else matrix
    flat = flat / flat.norm().clamp(min=EPSILON)
    num_rows, num_columns = flat.shape
    direct = orthogonalise_flop(num_rows, num_columns, num_iterations, "torch")
    is_direct = direct <= orthogonalise_flop(num_rows, num_columns, num_iterations)
    flat = _iterated(flat, num_iterations) if is_direct else _iterated_on_gram(flat, num_iterations)
    return flat.T if is_tall else flat


def _iterated(flat: Tensor, num_iterations: int) -> Tensor:
    first, third, fifth = COEFFICIENTS
    for _ in range(num_iterations):
        gram = flat @ flat.T
        change = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        flat = torch.addmm(flat, change, flat, beta=first)
    return flat


def _iterated_on_gram(flat: Tensor, num_iterations: int) -> Tensor:
    """The same polynomials gathered in a small matrix: all of them commute with the Gram matrix."""
    first, third, fifth = COEFFICIENTS
    gram = flat @ flat.T
    gathered: Tensor | None = None
    for iteration in range(num_iterations):
        factor = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        factor.diagonal().add_(first)
        gathered = factor if gathered is None else factor @ gathered
        if iteration + 1 < num_iterations:
            gram = factor @ (factor @ gram)
    return flat if gathered is None else gathered @ flat


def as_matrix(weight: Tensor, layout: Tensor) -> Tensor:
    """`weight` as (first dimension, the rest), in the memory order of `layout`; shares memory if it has that order."""
    if layout.is_contiguous():
        return weight.reshape(len(weight), -1)
    return weight.permute(0, *range(2, weight.ndim), 1).reshape(len(weight), -1)


class MatrixMomentum(Muon):
    """Muon over weights of two and more dimensions, which orthogonalises only when `is_due`.

    In a step that is not due the momentum takes in the gradient and no weight moves; a step that is
    due moves `every` times as far.

    Args:
        weights: parameters of two and more dimensions.
        learning_rate: peak; a matrix taller than wide moves sqrt(rows / columns) times as far.
        momentum: share of the old momentum, with Nesterov's look ahead.
        num_iterations: steps of the orthogonalising iteration.
        every: every how many steps the user of this class sets `is_due`.
        kernel: ``"torch"`` for torch's own step in bfloat16, ``"float32"`` for the same in float32.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        *,
        learning_rate: float,
        momentum: float,
        num_iterations: int,
        every: int = 1,
        kernel: Kernel = "float32",
    ) -> None:
        self._weights = list(weights)
        self.every, self.kernel, self.is_due = every, kernel, True
        matrices = [nn.Parameter(as_matrix(weight.detach(), weight)) for weight in self._weights]
        for matrix, weight in zip(matrices, self._weights, strict=True):
            if matrix.data_ptr() != weight.data_ptr():
                raise RuntimeError(
                    f"a weight of shape {tuple(weight.shape)} cannot be seen as a matrix in place"
                )
        super().__init__(
            [{"params": matrices, "peak_lr": learning_rate}],
            lr=learning_rate,
            weight_decay=0.0,
            momentum=momentum,
            ns_coefficients=COEFFICIENTS,
            ns_steps=num_iterations,
            eps=EPSILON,
        )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the weights."""
        for weight in self._weights:
            if set_to_none:
                weight.grad = None
            elif weight.grad is not None:
                weight.grad.zero_()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step from the gradients of the weights; those without one stay."""
        (group,) = self.param_groups
        for matrix, weight in zip(group["params"], self._weights, strict=True):
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad, weight)
        learning_rate = group["lr"]
        try:
            group["lr"] = learning_rate * self.every
            if self.is_due and self.kernel == "torch":
                super().step()
            else:
                self._step(group["lr"], group["momentum"], group["ns_steps"])
        finally:
            group["lr"] = learning_rate
            for matrix in group["params"]:
                matrix.grad = None

    def _step(self, learning_rate: float, momentum: float, num_iterations: int) -> None:
        for matrix in self.param_groups[0]["params"]:
            if (gradient := matrix.grad) is None:
                continue
            state = self.state[matrix]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(gradient)
            held = state["momentum_buffer"].lerp_(gradient, 1.0 - momentum)
            if self.is_due:
                update = orthogonalised(gradient.lerp(held, momentum), num_iterations)
                stretch = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                matrix.add_(update, alpha=-learning_rate * stretch)
