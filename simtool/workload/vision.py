"""Vision transformers: a sample is an image, cut into patches that an encoder reads as tokens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from pydantic import model_validator

from simtool.stepgraph import Number, Scope, Shard, StepGraph
from simtool.workload.attention_shape import Count
from simtool.workload.block import LOSS_BYTES_PER_LOGIT, NORM_ELEMENTS_PER_HIDDEN, Block
from simtool.workload.family import Family
from simtool.workload.graphs import step_graph
from simtool.workload.model import KeptBytes
from simtool.workload.optimizers import adam
from simtool.workload.precision import Precision
from simtool.workload.transformer import Transformer, attention_half, load_tokens, mlp_half


class VisionTransformer(Family):
    """Shape of a vision transformer (Dosovitskiy et al. 2021). File kind ``simtool/vision/1``."""

    family: Literal["vision"] = "vision"
    image_size: Count
    """Pixels on a side."""
    patch_size: Count
    """Pixels on a side."""
    num_channels: Count = 3
    num_layers: Count
    token_features: Count
    """Features of a token, the hidden size of the layers."""
    num_heads: Count
    ffn_hidden_size: Count
    mlp: Literal["gelu", "relu", "swiglu"] = "gelu"
    class_token: bool = True
    """One token more, on which the head decides; else it decides on the mean of all."""
    num_classes: Count = 1000

    @model_validator(mode="after")
    def _patches_fill_the_image(self) -> VisionTransformer:
        if self.image_size % self.patch_size:
            raise ValueError(
                f"found image_size {self.image_size} with patch_size {self.patch_size}; "
                "image_size must be a multiple of patch_size"
            )
        _ = trunk(self)
        return self

    @property
    def num_tokens(self) -> int:
        """Tokens of an image.

        >>> VisionTransformer(image_size=224, patch_size=16, num_layers=12, token_features=768, num_heads=12,
        ...                   ffn_hidden_size=3072).num_tokens
        197
        """
        return (self.image_size // self.patch_size) ** 2 + self.class_token

    @property
    def hidden_size(self) -> int:
        """Features of an image between layers, all its tokens together."""
        return self.num_tokens * self.token_features

    @property
    def _patch_values(self) -> int:
        return self.num_channels * self.patch_size**2

    @property
    def parameters_per_layer(self) -> Number:
        """Weights of one layer."""
        return trunk(self).parameters_per_layer

    @property
    def embedding_parameters(self) -> int:
        """The map of patches, positions, and the class token."""
        h = self.token_features
        return h * self._patch_values + h + self.num_tokens * h + (h if self.class_token else 0)

    @property
    def head_parameters(self) -> int:
        """Final norm and classes."""
        return 2 * self.token_features + self.num_classes * (self.token_features + 1)

    @property
    def num_parameters(self) -> int:
        """All weights.

        >>> VisionTransformer(image_size=224, patch_size=16, num_layers=12, token_features=768, num_heads=12,
        ...                   ffn_hidden_size=3072).num_parameters
        86567656
        """
        layers = self.num_layers * int(self.parameters_per_layer)
        return layers + self.embedding_parameters + self.head_parameters

    @property
    def reductions_per_layer(self) -> float:
        """After attention, and after the MLP."""
        return 2.0

    @property
    def launches_per_layer(self) -> float:
        """As of a decoder's layer."""
        return 1.0

    @property
    def logit_features(self) -> int:
        """Classes."""
        return self.num_classes

    @property
    def input_bytes_per_token(self) -> float:
        """Pixels of an image, a byte each."""
        return float(self.num_channels * self.image_size**2)

    def model_flop_per_token(self, seq_len: Number) -> Number:
        """Work of one image, forward and backward [FLOP]."""
        stack, n = trunk(self), self.num_tokens
        layer = stack.attention_weights + stack.active_weights(self.token_features)
        pairs = self.num_heads * stack.head_width * n
        patches = (
            4.0 * (n - self.class_token) * self.token_features * self._patch_values
        )  # no gradient of the image
        return (
            n * self.num_layers * (6.0 * layer + 12.0 * pairs)
            + patches
            + 6.0 * self.num_classes * self.token_features
        )

    def kept_bytes(self, seq_len: int, precision: str, attention: str) -> KeptBytes:
        """What a layer keeps of an image."""
        kept, n = trunk(self).kept_bytes(self.num_tokens, precision, attention), self.num_tokens
        return KeptBytes(
            layer_input=n * kept.layer_input,
            between=n * kept.between,
            inside=n * kept.inside,
            scores=n * kept.scores,
        )

    def tensor_problems(self, tp: int) -> Iterator[tuple[str, str]]:
        """As of a decoder."""
        yield from trunk(self).tensor_problems(tp)

    def pipeline_problem(self) -> str | None:
        """Stages would exchange whole images."""
        return "a vision transformer, whose stages are not modelled"


@lru_cache(maxsize=256)
def trunk(model: VisionTransformer) -> Transformer:
    """The layers, as those of a decoder that sees all tokens."""
    return Transformer(
        num_layers=model.num_layers,
        hidden_size=model.token_features,
        num_heads=model.num_heads,
        ffn_hidden_size=model.ffn_hidden_size,
        vocab_size=model.num_classes,
        mlp=model.mlp,
        causal=False,
        positions="alibi",
    )


@step_graph.register
def vision_step_graph(
    model: VisionTransformer,
    *,
    seq_len: int,
    micro_batch: Number,
    precision: str,
    attention: str,
    gradient_sum: str = "fused",
) -> StepGraph:
    """The operations of one micro-batch of images; arguments as `workload.transformer.build_step_graph`'s."""
    formats, h, n = Precision(precision), model.token_features, model.num_tokens
    images = micro_batch * seq_len
    layer, stack = Block(Scope.LAYER, formats, images * n), trunk(model)
    attention_half(layer, stack, seq_len=n, sequences=images, kernel=attention)
    mlp_half(layer, stack)
    patches = Block(Scope.EMBEDDING, formats, images * (n - model.class_token))
    patches.first("patches", inner=model.num_channels * model.patch_size**2, outer=h)
    patches.of_tokens(images * n).elementwise("positions", 2.0 * h, Shard.SEQUENCE)
    head = Block(Scope.HEAD, formats, images)
    head.of_tokens(images * n).elementwise("final_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    head.linear("classes", inner=h, outer=model.num_classes, column=True)
    head.elementwise("loss", LOSS_BYTES_PER_LOGIT / formats.size * model.num_classes, Shard.FEATURES)
    if gradient_sum == "separate":
        layer.accumulate(float(model.parameters_per_layer))
    pixels = model.num_channels * model.image_size**2
    return StepGraph(
        ops=(
            *patches.ops,
            load_tokens(images * pixels / 8.0),
            *layer.ops,
            *head.ops,
            *adam(model.num_parameters),
        ),
        num_layers=model.num_layers,
        tokens_per_micro_batch=images,
        facts=model,
    )
