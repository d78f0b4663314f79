"""A model as a file: the shape under a name, with its source. One kind of file a family."""

from __future__ import annotations

from pydantic import Field

from simtool.config.fields import Strict
from simtool.workload.convnet import ConvNet
from simtool.workload.encoder import Encoder
from simtool.workload.recommender import Recommender
from simtool.workload.transformer import Transformer
from simtool.workload.vision import VisionTransformer


class Named(Strict):
    """What every preset states beside its shape."""

    schema_: str = Field(alias="schema")
    name: str
    title: str
    source: str
    notes: str = ""


class ModelPreset(Named, Transformer):
    """A named decoder transformer. File kind ``simtool/model/1``."""

    def shape(self) -> Transformer:
        """The shape alone."""
        return Transformer(**{field: getattr(self, field) for field in Transformer.model_fields})


class EncoderPreset(Named, Encoder):
    """A named encoder, or encoder with a decoder. File kind ``simtool/encoder/1``."""

    def shape(self) -> Encoder:
        """The shape alone."""
        return Encoder(**{field: getattr(self, field) for field in Encoder.model_fields})


class VisionPreset(Named, VisionTransformer):
    """A named vision transformer. File kind ``simtool/vision/1``."""

    def shape(self) -> VisionTransformer:
        """The shape alone."""
        return VisionTransformer(**{field: getattr(self, field) for field in VisionTransformer.model_fields})


class ConvNetPreset(Named, ConvNet):
    """A named convolutional network. File kind ``simtool/convnet/1``."""

    def shape(self) -> ConvNet:
        """The shape alone."""
        return ConvNet(**{field: getattr(self, field) for field in ConvNet.model_fields})


class RecommenderPreset(Named, Recommender):
    """A named recommendation model. File kind ``simtool/recommender/1``."""

    def shape(self) -> Recommender:
        """The shape alone."""
        return Recommender(**{field: getattr(self, field) for field in Recommender.model_fields})


Preset = ModelPreset | EncoderPreset | VisionPreset | ConvNetPreset | RecommenderPreset
"""A preset of any family."""
PRESETS = (ModelPreset, EncoderPreset, VisionPreset, ConvNetPreset, RecommenderPreset)
