"""What kind of work an operation is, finer than the trace's classes: how projections are told."""

from __future__ import annotations

import re
from functools import lru_cache

from simtool.transfer.constants import ModelClass

CLASSES = (
    "gemm", "attention", "convolution", "elementwise", "normalisation", "reduction", "gather", "optimizer",
    "copy", "communication",
)  # fmt: skip
"""All classes, in the order in which they are shown."""

MODEL_CLASS: dict[str, ModelClass] = {"gemm": "gemm", "attention": "attention", "convolution": "conv"}
"""Which part of the machine model prices a class; all others but communication move bytes."""

_OPERATORS = (
    ("copy", re.compile(r"copy|clone|contiguous|^to$|^cat$|stack|zero|fill_|ones|full|pad|repeat|transpose")),
    ("normalisation", re.compile(r"norm(?!al)|softmax")),
    ("gather", re.compile(r"embedding|index|gather|scatter|take|select|jagged|sort|topk|unique|nonzero|roll")),
    ("reduction", re.compile(r"^(?:sum|mean|a?max|a?min|all|any|arg(?:max|min)|var|std|prod|cumsum)(?:_|$)|loss|pool")),
)  # fmt: skip
_KERNELS = (
    ("normalisation", re.compile(r"norm(?!al)|softmax|welford")),
    ("gather", re.compile(r"embedding|index|gather|scatter|jagged|sort|radix")),
    ("reduction", re.compile(r"reduce|cumsum|pool")),
    (
        "copy",
        re.compile(r"copy|catarray|fill|memset|memcpy|transpose|nchwtonhwc|nhwctonchw|batched_transpose"),
    ),
)


@lru_cache(maxsize=65536)
def class_of(op_class: str, operator: str, name: str) -> str:
    """The class of an operation.

    Args:
        op_class: the trace's own, of `trace.op_class.OP_CLASSES`.
        operator: of the framework; empty where it is not known.
        name: of the kernel, or empty.

    >>> class_of("memory", "aten::native_layer_norm", ""), class_of("memory", "aten::add", "")
    ('normalisation', 'elementwise')
    >>> class_of("memory", "", "void at::native::reduce_kernel<512, 1>"), class_of("conv", "", "")
    ('reduction', 'convolution')
    """
    if op_class == "conv":
        return "convolution"
    if op_class != "memory":
        return op_class
    base = operator.rpartition("::")[2].lower()
    found = _first(_OPERATORS, base) if base else ""
    return found or ("" if base else _first(_KERNELS, name.lower())) or "elementwise"


def _first(rules: tuple[tuple[str, re.Pattern[str]], ...], text: str) -> str:
    return next((name for name, pattern in rules if pattern.search(text)), "")


def model_class(kind: str) -> ModelClass:
    """Which part of the machine model prices a class of `CLASSES`.

    >>> model_class("convolution"), model_class("reduction")
    ('conv', 'memory')
    """
    return MODEL_CLASS.get(kind, "memory")
