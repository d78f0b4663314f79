"""The small residual network of the image tasks: three widths, halving the side between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from simtool.engine.model import BlockModel


class ConvNorm(nn.Sequential):
    """3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, num_inputs: int, num_outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(num_inputs, num_outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(num_outputs),
            nn.ReLU(),
        )


class Residual(nn.Module):
    """A `ConvNorm` whose outcome is added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = ConvNorm(width, width)

    def forward(self, hidden: Tensor) -> Tensor:  # (rows, width, side, side)
        """The next hidden state."""
        return hidden + self.branch(hidden)


class PooledHead(nn.Module):
    """Mean over all places, then scores of the classes; works at any side."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num_classes)

    def forward(self, hidden: Tensor) -> Tensor:  # (rows, width, side, side) -> (rows, classes)
        """Logits."""
        return self.linear(hidden.mean(dim=(2, 3)))


def residual_cnn(num_channels: int, num_classes: int, width: int, depth: int) -> BlockModel:
    """Stem of `width` channels, then twice: twice the channels at half the side, and `depth` residual blocks."""
    blocks: list[nn.Module] = []
    for stage in (1, 2):
        blocks.append(ConvNorm(width * stage, 2 * width * stage, stride=2))
        blocks.extend(Residual(2 * width * stage) for _ in range(depth))
    model = BlockModel(ConvNorm(num_channels, width), blocks, PooledHead(4 * width, num_classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    with torch.no_grad():
        model.head.linear.bias.zero_()
    return model
