"""Names in the tables of image, encoder and recommendation models, and what they stand for here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Part:
    """An accelerator of the tables."""

    profile: str
    rule: str = ""
    """Where the profile is of the nearest part."""
    node: str | None = None
    """Server, where it is not the profile's usual one."""


@dataclass(frozen=True, slots=True)
class Known:
    """A model of the tables: a preset, and what of it the row changes."""

    kind: Literal["convnet", "encoder", "vision", "recommender"]
    preset: str
    changes: tuple[tuple[str, float], ...] = field(default=())
    rule: str = ""


ACCELERATORS = {
    "A10": Part("a10"),
    "NVIDIA A10G": Part("a10g"),
    "A30": Part("a30"),
    "A40": Part("a40"),
    "NVIDIA A40": Part("a40"),
    "A100-PCIe-40GB": Part("a100-pcie-40"),
    "A100-PCIe-80GB": Part("a100-pcie-80"),
    "A100-SXM-40GB": Part("a100-sxm-40"),
    "A100-SXM-80GB": Part("a100-sxm-80"),
    "B200-SXM": Part("b200-sxm"),
    "B300-SXM": Part("b300-sxm"),
    "GB200": Part("gb200"),
    "GB300": Part("gb300"),
    "GH200-80GB": Part("gh200-96", "R-gh200"),
    "GH200-96GB": Part("gh200-96"),
    "Gaudi2": Part("gaudi2"),
    "Gaudi3": Part("gaudi3"),
    "H100-PCIe": Part("h100-pcie"),
    "H100-PCIe-80GB": Part("h100-pcie"),
    "H100-SXM-80GB": Part("h100-sxm"),
    "H100-SXM-96GB": Part("h100-sxm-96"),
    "H200-NVL": Part("h200-nvl"),
    "H200-SXM": Part("h200-sxm"),
    "L40": Part("l40"),
    "L40S": Part("l40s"),
    "NVIDIA L4": Part("l4"),
    "L4": Part("l4"),
    "MI300X": Part("mi300x"),
    "MI325X": Part("mi325x"),
    "MI355X": Part("mi355x"),
    "P100": Part("p100-sxm2", "R-p100"),
    "Quadro RTX 6000": Part("quadro-rtx-6000"),
    "Quadro RTX 8000": Part("quadro-rtx-8000"),
    "RTX 3090": Part("rtx-3090"),
    "RTX 4090": Part("rtx-4090"),
    "RTX 6000 Ada": Part("rtx-6000-ada"),
    "RTX A6000": Part("rtx-a6000"),
    "V100-PCIe/SXM 32GB": Part("v100-pcie-32", "R-v100"),
    "V100-PCIe-32GB": Part("v100-pcie-32"),
    "V100-SXM2-16GB": Part("v100-sxm2-16"),
    "V100-SXM2-32GB": Part("v100-sxm2-32"),
    "V100-SXM3-32GB": Part("v100-sxm2-32", "R-dgx2", node="dgx2"),
    "V100-SXM3-32GB-450W": Part("v100-sxm2-32", "R-450w", node="dgx2"),
    "TPU v4": Part("tpu-v4"),
    "TPU v5p": Part("tpu-v5p"),
}
"""R-gh200: the 80 GB part is that of 96 GB. R-p100: the board of 250 W is the one of 300 W. R-v100: power limits
up to 250 W are those of the PCIe board. R-dgx2, R-450w: the boards of a DGX-2 and of a DGX-2H, whose clocks
are 4 and 10 % higher, are those of a DGX-1."""

PRE_TRAINING = (("masked_frac", 0.15),)
FINE_TUNING = (("masked_frac", 0.0),)

MODELS = {
    "resnet50": Known("convnet", "resnet-50"),
    "resnet": Known("convnet", "resnet-50"),
    "RN50v1.5": Known("convnet", "resnet-50"),
    "ConvNets/resnet50v1.5": Known("convnet", "resnet-50"),
    "ConvNets/resnext101-32x4d": Known("convnet", "resnext-101-32x4d"),
    "ConvNets/se-resnext101-32x4d": Known("convnet", "se-resnext-101-32x4d"),
    "ConvNets/efficientnet efficientnet-b0": Known("convnet", "efficientnet-b0"),
    "ConvNets/efficientnet efficientnet-b4": Known("convnet", "efficientnet-b4"),
    "ConvNets/efficientnet efficientnet-widese-b0": Known("convnet", "efficientnet-b0", rule="R-widese"),
    "ConvNets/efficientnet efficientnet-widese-b4": Known("convnet", "efficientnet-b4", rule="R-widese"),
    "ConvNets/efficientnet_v2": Known("convnet", "efficientnet-v2-s"),
    "resnet18": Known("convnet", "resnet-18"),
    "resnet34": Known("convnet", "resnet-34"),
    "resnet101": Known("convnet", "resnet-101"),
    "resnet152": Known("convnet", "resnet-152"),
    "wide_resnet50_2": Known("convnet", "wide-resnet-50-2"),
    "seresnet50": Known("convnet", "se-resnet-50"),
    "resnext101_32x4d": Known("convnet", "resnext-101-32x4d"),
    "vgg16": Known("convnet", "vgg-16"),
    "mobilenetv2_100": Known("convnet", "mobilenet-v2"),
    "efficientnet_b0": Known("convnet", "efficientnet-b0"),
    "efficientnet_b1": Known("convnet", "efficientnet-b1"),
    "efficientnet_b2": Known("convnet", "efficientnet-b2"),
    "efficientnet_b3": Known("convnet", "efficientnet-b3"),
    "efficientnet_b4": Known("convnet", "efficientnet-b4"),
    "tf_efficientnetv2_s": Known("convnet", "efficientnet-v2-s"),
    "efficientnetv2_rw_s": Known("convnet", "efficientnet-v2-s"),
    "vit_base_patch16_224": Known("vision", "vit-b-16"),
    "vit_base_patch32_224": Known("vision", "vit-b-32"),
    "vit_large_patch16_224": Known("vision", "vit-l-16"),
    "deit_small_patch16_224": Known("vision", "deit-s-16"),
    "vit_small_patch16_224": Known("vision", "deit-s-16"),
    "vit-base-patch16-224-in21k": Known("vision", "vit-b-16"),
    "ViT-B/16 finetune": Known("vision", "vit-b-16"),
    "BERT": Known("encoder", "bert-large"),
    "bert": Known("encoder", "bert-large", PRE_TRAINING),
    "BERT/biobert": Known("encoder", "bert-base"),
    "bert_base_squad": Known("encoder", "bert-base", FINE_TUNING),
    "bert_large_squad": Known("encoder", "bert-large", FINE_TUNING),
    "bert_base_uncased": Known("encoder", "bert-base", FINE_TUNING),
    "bert-large-uncased-whole-word-masking": Known("encoder", "bert-large", FINE_TUNING),
    "roberta-large": Known("encoder", "roberta-large", FINE_TUNING),
    "roberta-base": Known("encoder", "roberta-base", FINE_TUNING),
    "dlrm": Known("recommender", "dlrm-criteo"),
    "dlrm_dcnv2": Known("recommender", "dlrm-dcn-v2"),
}
"""R-widese: squeezing the widened image costs what squeezing the narrow one does."""

SUITES = (
    ("NVIDIA DeepLearningExamples", "MxNet", "dle-mxnet"),
    ("NVIDIA DeepLearningExamples", "TensorFlow2", "dle-tensorflow-2"),
    ("NVIDIA DeepLearningExamples", "TensorFlow", "dle-tensorflow-1"),
    ("NVIDIA DeepLearningExamples", "PyTorch", "dle-pytorch"),
    ("Lambda", "PyTorch", "lambda-pytorch"),
    ("timm", "PyTorch", "timm"),
    ("Zeus", "PyTorch", "zeus-pytorch"),
    ("Optimum Habana", "", "optimum-habana"),
    ("JAX-Toolbox", "JAX", "jax-gpu"),
    ("MLPerf", "", "mlperf-closed"),
)
"""Software profile by the begin of the source and the framework's."""

BASE = "vision-examples"
"""Software profile of a stack that no row names."""
FUSED = ("mlperf-closed",)
"""Suites whose attention is one kernel."""
SLICED = ("lambda-pytorch",)
"""Suites that ran on rented machines, slices of a server."""
WORKER = ("optimum-habana",)
"""Suites whose samples are prepared by one process an accelerator, the default of the Trainer that they use."""

LARGEST_BATCH = {"convnet": 256.0, "vision": 128.0, "encoder": 64.0, "recommender": 65536.0}
"""R-batch: where a row states none, the largest power of two up to this that the memory holds."""

TITLES = {
    "dle-mxnet-convnet": "NVIDIA Deep Learning Examples: images, MXNet",
    "dle-pytorch-convnet": "NVIDIA Deep Learning Examples: images, PyTorch",
    "dle-pytorch-encoder": "NVIDIA Deep Learning Examples: BERT, PyTorch",
    "dle-tensorflow-1-convnet": "NVIDIA Deep Learning Examples: images, TensorFlow 1",
    "dle-tensorflow-1-encoder": "NVIDIA Deep Learning Examples: BioBERT, TensorFlow 1",
    "dle-tensorflow-2-convnet": "NVIDIA Deep Learning Examples: images, TensorFlow 2",
    "dle-tensorflow-2-encoder": "NVIDIA Deep Learning Examples: BERT, TensorFlow 2",
    "lambda-pytorch-convnet": "Lambda's benchmark: ResNet-50, PyTorch",
    "lambda-pytorch-encoder": "Lambda's benchmark: BERT on SQuAD, PyTorch",
    "mlperf-closed-convnet": "MLPerf, closed division: ResNet-50",
    "mlperf-closed-encoder": "MLPerf, closed division: BERT",
    "mlperf-closed-recommender": "MLPerf, closed division: DLRM",
    "optimum-habana-encoder": "Optimum Habana: BERT and RoBERTa",
    "optimum-habana-vision": "Optimum Habana: ViT",
    "timm-channels-first-convnet": "timm: images, channels first",
    "timm-channels-first-vision": "timm: ViT, channels first",
    "timm-channels-last-convnet": "timm: images, channels last",
    "timm-channels-last-vision": "timm: ViT, channels last",
    "zeus-pytorch-convnet": "Eager PyTorch in fp32: ResNet-50 (Zeus)",
    "zeus-pytorch-encoder": "Eager PyTorch in fp32: BERT (Zeus)",
}
"""Stacks with a profile, and their titles."""
