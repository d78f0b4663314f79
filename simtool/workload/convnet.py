"""Convolutional networks: ResNet, ResNeXt, EfficientNet, MobileNet, VGG and their kin, as tables of blocks.

A sample is an image and counts as a token. Convolutions are implicit matrix products over all positions of
the output; depthwise ones, norms and activations are bound by memory.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.fields import Strict
from simtool.stepgraph import Number, Phase, Scope, StepGraph
from simtool.workload.attention_shape import Count, CountOrZero
from simtool.workload.block import ACCUMULATE_BYTES_PER_WEIGHT
from simtool.workload.conv_ops import conv_ops, memory_op
from simtool.workload.conv_tape import Tape
from simtool.workload.family import MOMENTUM_STATE_BYTES, REFERENCE_OPERATIONS, Family
from simtool.workload.graphs import step_graph
from simtool.workload.model import KeptBytes
from simtool.workload.optimizers import momentum
from simtool.workload.precision import BYTES_PER_ELEMENT, Precision

Ratio = Annotated[float, Field(gt=0.0, le=64.0)]


class Stem(Strict):
    """What stands before the blocks."""

    channels: Count
    kernel: Count = 3
    stride: Count = 2
    pool: bool = False
    """Halve the image once more, by the largest of 3 x 3."""


class Stage(Strict):
    """Equal blocks after each other; only the first one strides, and widens."""

    block: Literal["plain", "basic", "bottleneck", "inverted", "fused_inverted"]
    """One convolution (VGG); two with a shortcut; three with a narrow middle (ResNet); three with a wide
    depthwise middle (MobileNet, EfficientNet), or two, the first one dense (EfficientNetV2)."""
    repeats: Count
    channels: Count
    """Of the output."""
    stride: Count = 1
    kernel: Count = 3
    width: Count | None = None
    """Bottleneck: channels of the middle; channels / 4 if not given."""
    groups: Count = 1
    """Bottleneck: groups of the middle convolution."""
    expansion: Ratio = 1.0
    """Inverted: channels of the middle over those of the input."""
    squeeze: Count | None = None
    """Squeeze and excitation: channels of the whole block's input (inverted) or output over this."""
    pool: bool = False
    """Halve the image behind the stage."""


class ConvNet(Family):
    """Shape of a convolutional network. File kind ``simtool/convnet/1``."""

    family: Literal["convnet"] = "convnet"
    image_size: Count
    """Pixels on a side."""
    num_channels: Count = 3
    stem: Stem | None = None
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    norm: bool = True
    """A batch norm behind every convolution; a bias instead if not."""
    activation: Literal["relu", "swish"] = "relu"
    """Behind the norms: one kernel, or a sigmoid and a product."""
    head_channels: CountOrZero = 0
    """A 1 x 1 convolution behind the last stage."""
    hidden_features: tuple[Count, ...] = ()
    """Dense layers before the classes."""
    pooled_size: Count = 1
    """Pixels on a side that the dense layers see."""
    num_classes: Count = 1000

    @model_validator(mode="after")
    def _image_lasts(self) -> ConvNet:
        if tape_of(self).size < self.pooled_size:
            raise ValueError(
                f"found image_size {self.image_size}, of which the strides leave {tape_of(self).size} pixels "
                f"on a side; at least {self.pooled_size} must be left"
            )
        return self

    @property
    def num_layers(self) -> int:
        """Blocks."""
        return sum(stage.repeats for stage in self.stages)

    @property
    def hidden_size(self) -> int:
        """Features of an image behind the last block."""
        return tape_of(self).size ** 2 * tape_of(self).channels

    @property
    def parameters_per_layer(self) -> float:
        """Mean weights of a block; stem and head count with the blocks."""
        return self.num_parameters / self.num_layers

    @property
    def embedding_parameters(self) -> int:
        """Counted with the blocks."""
        return 0

    @property
    def head_parameters(self) -> int:
        """Counted with the blocks."""
        return 0

    @property
    def num_parameters(self) -> int:
        """All weights."""
        return tape_of(self).parameters

    @property
    def launches_per_layer(self) -> float:
        """Operations in the forward pass of the mean block, over those of a decoder's layer."""
        return tape_of(self).num_operations / self.num_layers / REFERENCE_OPERATIONS

    @property
    def logit_features(self) -> int:
        """Classes."""
        return self.num_classes

    @property
    def input_bytes_per_token(self) -> float:
        """Pixels of an image, a byte each.

        >>> from simtool.profiles.find import default_library
        >>> default_library().get("convnet", "resnet-50").input_bytes_per_token  # 3 x 224 x 224
        150528.0
        """
        return float(self.num_channels * self.image_size**2)

    @property
    def optimizer_state_bytes(self) -> float:
        """Momentum."""
        return MOMENTUM_STATE_BYTES

    def model_flop_per_token(self, seq_len: Number) -> Number:
        """Work of one image, forward and backward [FLOP]; the first convolution has no gradient of its input."""
        return tape_of(self).model_flop

    def kept_bytes(self, seq_len: int, precision: str, attention: str) -> KeptBytes:
        """Inputs of convolutions and norms, of the mean block."""
        kept = Precision(precision).size * tape_of(self).kept_elements / self.num_layers
        return KeptBytes(layer_input=0.25 * kept, between=kept, inside=0.0)


@lru_cache(maxsize=256)
def tape_of(model: ConvNet) -> Tape:
    """Every operation of the network on one image, in order."""
    tape = Tape(
        size=model.image_size, channels=model.num_channels, has_norm=model.norm, activation=model.activation
    )
    if model.stem is not None:
        tape.conv(model.stem.channels, kernel=model.stem.kernel, stride=model.stem.stride)
        if model.stem.pool:
            tape.pool(2)
    for stage in model.stages:
        for index in range(stage.repeats):
            _BLOCKS[stage.block](tape, stage, stage.stride if index == 0 else 1)
        if stage.pool:
            tape.pool(2)
    if model.head_channels:
        tape.conv(model.head_channels, kernel=1)
    tape.dense((*model.hidden_features, model.num_classes), model.pooled_size)
    return tape


def _plain(tape: Tape, stage: Stage, stride: int) -> None:
    tape.conv(stage.channels, kernel=stage.kernel, stride=stride)


def _basic(tape: Tape, stage: Stage, stride: int) -> None:
    with tape.shortcut(stage.channels, stride):
        tape.conv(stage.channels, kernel=stage.kernel, stride=stride)
        tape.conv(stage.channels, kernel=stage.kernel, activation=False)


def _bottleneck(tape: Tape, stage: Stage, stride: int) -> None:
    width = stage.width or stage.channels // 4
    with tape.shortcut(stage.channels, stride):
        tape.conv(width, kernel=1)
        tape.conv(width, kernel=stage.kernel, stride=stride, groups=stage.groups)
        tape.conv(stage.channels, kernel=1, activation=False)
        if stage.squeeze:
            tape.squeeze(stage.channels // stage.squeeze)


def _inverted(tape: Tape, stage: Stage, stride: int) -> None:
    before = tape.channels
    middle = round(before * stage.expansion)
    with tape.shortcut(stage.channels, stride, only_equal=True):
        if middle != before:
            tape.conv(middle, kernel=1)
        tape.conv(middle, kernel=stage.kernel, stride=stride, groups=middle)
        if stage.squeeze:
            tape.squeeze(max(1, before // stage.squeeze))
        tape.conv(stage.channels, kernel=1, activation=False)


def _fused_inverted(tape: Tape, stage: Stage, stride: int) -> None:
    before = tape.channels
    middle = round(before * stage.expansion)
    with tape.shortcut(stage.channels, stride, only_equal=True):
        if middle == before:
            tape.conv(stage.channels, kernel=stage.kernel, stride=stride)
            return
        tape.conv(middle, kernel=stage.kernel, stride=stride)
        if stage.squeeze:
            tape.squeeze(max(1, before // stage.squeeze))
        tape.conv(stage.channels, kernel=1, activation=False)


_BLOCKS = {
    "plain": _plain,
    "basic": _basic,
    "bottleneck": _bottleneck,
    "inverted": _inverted,
    "fused_inverted": _fused_inverted,
}


@step_graph.register
def convnet_step_graph(
    model: ConvNet,
    *,
    seq_len: int,
    micro_batch: Number,
    precision: str,
    attention: str,  # noqa: ARG001 - every family has one signature
    gradient_sum: str = "fused",
) -> StepGraph:
    """The operations of one micro-batch of images; arguments as `workload.transformer.build_step_graph`'s."""
    images, dtype = micro_batch * seq_len, Precision(precision).base
    blocks = model.num_layers
    ops = list(conv_ops(tape_of(model), blocks, images, dtype))
    if gradient_sum == "separate":
        moved = ACCUMULATE_BYTES_PER_WEIGHT * model.num_parameters / blocks
        ops.append(memory_op("accumulate_gradients", Phase.BACKWARD_WEIGHT, Scope.LAYER, moved))
    pixels = BYTES_PER_ELEMENT[dtype] * model.num_channels * model.image_size**2
    ops.append(memory_op("load_images", Phase.DATA, Scope.EMBEDDING, pixels * images))
    return StepGraph(
        ops=(*ops, *momentum(model.num_parameters)),
        num_layers=blocks,
        tokens_per_micro_batch=images,
        facts=model,
    )
