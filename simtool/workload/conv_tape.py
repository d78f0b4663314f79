"""The operations of a convolutional network on one image, written down one after the other.

Elements that memory-bound operations move per element of their image, forward and backward:

==================  =================================================================================
batch norm          3 (statistics; read, write), 5 (two sums over input and gradient; read both, write)
activation          2, 3 (the output masks the gradient)
swish               5, 7 (sigmoid and product, each a kernel; the sigmoid again, and its gradient)
shortcut's sum      3, 2 (the gradient goes both ways)
pooling             1 + 1/s^2, the same
squeeze, excitation 3 (mean; read, write), 5 (gradient of the scale; read both, write)
depthwise conv      in + out, twice that (gradients of input and weights)
==================  =================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

NORM_PASSES = (3.0, 5.0)
ACTIVATION_PASSES = {"relu": (2.0, 3.0), "swish": (5.0, 7.0)}
SUM_PASSES = (3.0, 2.0)
SQUEEZE_PASSES = (3.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv:
    """A convolution, or a dense layer as one of a single position."""

    positions: int
    """Of the output."""
    outer: int
    """Output channels of a group."""
    inner: int
    """Input channels of a group x window."""
    groups: int
    input_elements: int
    output_elements: int
    is_first: bool
    """On the data: no gradient of its input."""
    is_square_of_3: bool = False
    """A window of 3 x 3 that moves by one pixel, over all channels."""

    @property
    def flop(self) -> float:
        """Of the forward pass."""
        return 2.0 * self.positions * self.outer * self.inner * self.groups

    @property
    def weights(self) -> int:
        """Elements of its kernel."""
        return self.outer * self.inner * self.groups

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has a group of its own: too little work for matrix units."""
        return self.groups > 1 and self.outer == 1


@dataclass(slots=True, kw_only=True)
class Tape:
    """Operations and what becomes of the image."""

    size: int
    """Pixels on a side, so far."""
    channels: int
    has_norm: bool
    activation: str = "relu"
    convs: list[Conv] = field(default_factory=list)
    moved_forward: float = 0.0
    """Elements that norms, activations and sums read and write."""
    moved_backward: float = 0.0
    kept_elements: float = 0.0
    """For the backward pass: what convolutions and norms read."""
    parameters: int = 0
    num_operations: int = 0

    @property
    def elements(self) -> int:
        """Of the image so far."""
        return self.size * self.size * self.channels

    @property
    def model_flop(self) -> float:
        """Forward and backward [FLOP]."""
        return sum(conv.flop * (2.0 if conv.is_first else 3.0) for conv in self.convs)

    def _move(self, passes: tuple[float, float], elements: float) -> None:
        self.moved_forward += passes[0] * elements
        self.moved_backward += passes[1] * elements
        self.num_operations += 1

    def _activate(self) -> None:
        self._move(ACTIVATION_PASSES[self.activation], self.elements)

    def conv(
        self, channels: int, *, kernel: int, stride: int = 1, groups: int = 1, activation: bool = True
    ) -> None:
        """A convolution with its norm (or bias) and activation; the image is padded to keep its size."""
        before, self.size = self.elements, math.ceil(self.size / stride)
        inner = self.channels // groups * kernel * kernel
        self.channels = channels
        conv = Conv(
            positions=self.size * self.size,
            outer=channels // groups,
            inner=inner,
            groups=groups,
            input_elements=before,
            output_elements=self.elements,
            is_first=not self.convs,
            is_square_of_3=kernel == 3 and stride == 1 and groups == 1,
        )
        self.convs.append(conv)
        self.kept_elements += before
        self.parameters += conv.weights + (2 if self.has_norm else 1) * channels
        self.num_operations += 1
        if self.has_norm:
            self._move(NORM_PASSES, self.elements)
            self.kept_elements += self.elements
        if activation:
            self._activate()

    @contextmanager
    def shortcut(self, channels: int, stride: int, *, only_equal: bool = False) -> Iterator[None]:
        """A sum around what is written inside; through a 1 x 1 convolution where the shape changes.

        `only_equal` leaves the sum out there.
        """
        before = (self.size, self.channels)
        changes = stride > 1 or channels != self.channels
        yield
        if changes and only_equal:
            return
        after = (self.size, self.channels)
        if changes:
            self.size, self.channels = before
            self.conv(channels, kernel=1, stride=stride, activation=False)
            self.size, self.channels = after
        self._move(SUM_PASSES, self.elements)
        if not only_equal:
            self._activate()

    def squeeze(self, channels: int) -> None:
        """Squeeze and excitation: a scale for every channel out of the image's mean."""
        self.parameters += 2 * self.channels * channels + self.channels + channels
        self._move(SQUEEZE_PASSES, self.elements)
        self.num_operations += 4
        self.kept_elements += self.elements

    def pool(self, stride: int) -> None:
        """A smaller image."""
        before, self.size = self.elements, math.ceil(self.size / stride)
        self._move((1.0, 1.0), before + self.elements)

    def dense(self, features: tuple[int, ...], pooled_size: int) -> None:
        """The mean over what is left of the image, and dense layers with biases."""
        self._move((1.0, 1.0), self.elements)
        inner = self.channels * pooled_size * pooled_size
        for outer in features:
            self.convs.append(
                Conv(
                    positions=1,
                    outer=outer,
                    inner=inner,
                    groups=1,
                    input_elements=inner,
                    output_elements=outer,
                    is_first=False,
                )
            )
            self.kept_elements += inner
            self.parameters += inner * outer + outer
            self.num_operations += 1
            inner = outer
