"""The optimizer as operations of the step's end, over all weights of the model."""

from __future__ import annotations

from simtool.stepgraph import Kind, Op, Phase, Scope

# Adam with a master copy, per weight: read gradient (4), master (4), two moments (8); write master
# (4), two moments (8), the working copy (2).
ADAM_BYTES_PER_PARAMETER = 30.0
ADAM_FLOP_PER_PARAMETER = 11.0
CLIP_BYTES_PER_PARAMETER = 4.0  # one read of the fp32 gradient for its norm
# Momentum, per weight: read gradient (4), weight (4), momentum (4); write weight (4), momentum (4), and
# the working copy (2).
MOMENTUM_BYTES_PER_PARAMETER = 22.0
MOMENTUM_FLOP_PER_PARAMETER = 5.0


def adam(num_parameters: float) -> tuple[Op, ...]:
    """Clipping of the gradients, and Adam."""
    weights = float(num_parameters)
    return (
        _pass("clip_gradients", CLIP_BYTES_PER_PARAMETER * weights, 2.0 * weights),
        _pass("adam", ADAM_BYTES_PER_PARAMETER * weights, ADAM_FLOP_PER_PARAMETER * weights),
    )


def momentum(num_parameters: float) -> tuple[Op, ...]:
    """Stochastic gradient descent with momentum and weight decay."""
    weights = float(num_parameters)
    return (_pass("momentum", MOMENTUM_BYTES_PER_PARAMETER * weights, MOMENTUM_FLOP_PER_PARAMETER * weights),)


def _pass(name: str, moved: float, flop: float) -> Op:
    return Op(
        name=name,
        kind=Kind.MEMORY,
        phase=Phase.OPTIMIZER,
        scope=Scope.STEP,
        dtype="fp32",
        flop=flop,
        bytes=moved,
    )
