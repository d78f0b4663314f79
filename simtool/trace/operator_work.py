"""Operations and bytes of an operator from what the profiler recorded of its operands.

Every figure is that of the mathematics: a multiply-add counts two, of causal attention only the pairs below
the diagonal count, the backward pass of attention is five products of which two compute the scores again.
Where a shape, a stride or a flag was not recorded there is no figure, never a guess.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Shape = tuple[int, ...]

ITEM_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
    "uint8": 1, "bool": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1,
    "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Bytes of one number, by torch's name of the format."""
_DTYPES = {
    "float": "float32", "double": "float64", "c10::half": "float16", "c10::bfloat16": "bfloat16",
    "long int": "int64", "long": "int64", "int": "int32", "short int": "int16", "short": "int16",
    "signed char": "int8", "char": "int8", "unsigned char": "uint8", "bool": "bool",
    "c10::float8_e4m3fn": "float8_e4m3fn", "c10::float8_e5m2": "float8_e5m2",
    "c10::float8_e4m3fnuz": "float8_e4m3fnuz", "c10::float8_e5m2fnuz": "float8_e5m2fnuz",
    "c10::complex<float>": "complex64", "c10::complex<double>": "complex128",
}  # fmt: skip
_NO_TENSOR = frozenset({"", "scalar", "scalarlist", "none"})
MAX_NUMBER = 2**53


@dataclass(frozen=True, slots=True)
class Operands:
    """What the profiler recorded of one call, by position of the argument."""

    dtypes: tuple[str, ...]
    """Torch's name, ``list`` for a list of tensors, or nothing where the argument is no tensor."""
    shapes: tuple[Any, ...]
    """A shape, or a tuple of shapes."""
    strides: tuple[Any, ...]
    values: tuple[str, ...]
    """What is no tensor, as text; empty where it was not recorded."""

    def tensors(self) -> list[int]:
        """Positions of the arguments that are one tensor."""
        return [place for place, dtype in enumerate(self.dtypes) if dtype and dtype != "list"]

    def shape(self, place: int) -> Shape:
        """Shape of one tensor; nothing recorded is a `LookupError`."""
        if not self.dtypes[place] or self.dtypes[place] == "list":
            raise LookupError
        shape: Shape = self.shapes[place]
        return shape

    def flag(self, place: int) -> bool:
        """A flag; not recorded is a `LookupError`."""
        return {"True": True, "False": False, "1": True, "2": True, "0": False}[self.values[place]]

    def numbers(self, place: int) -> list[int]:
        """A list of whole numbers; not recorded is a `LookupError`."""
        text = self.values[place]
        if not re.fullmatch(r"\[[-0-9, ]*\]", text):
            raise LookupError
        return [int(part) for part in text[1:-1].split(",") if part.strip()]


@dataclass(frozen=True, slots=True)
class Work:
    """Work of one call of an operator."""

    kind: str = ""
    """gemm, conv or attention: the class of the kernels that do it; empty for other operators."""
    flop: float | None = None
    size_bytes: float | None = None
    dtype: str = ""
    shapes: str = ""
    """Of the operands that are tensors, as JSON lists."""
    settings: str = ""
    """What else decides the work, as a JSON object: causal, stride, groups, layout."""


def read_operands(said: str) -> Operands | None:
    """What stands in the four lines: types, shapes, strides, values. None where that cannot be read."""
    try:
        types, shapes, strides, values = (ast.literal_eval(line) for line in said.split("\n"))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if not isinstance(shapes, list):
        return None
    num = len(shapes)
    types = types if isinstance(types, list) and len(types) == num else [""] * num
    strides = strides if isinstance(strides, list) and len(strides) == num else [()] * num
    values = values if isinstance(values, list) and len(values) == num else [""] * num
    read_shapes = tuple(_shape(shape) for shape in shapes)
    return Operands(
        dtypes=tuple(_dtype(one, shape) for one, shape in zip(types, read_shapes, strict=True)),
        shapes=read_shapes,
        strides=tuple(_shape(stride) for stride in strides),
        values=tuple(value if isinstance(value, str) else "" for value in values),
    )


def _shape(found: Any) -> tuple[Any, ...]:
    if not isinstance(found, list | tuple):
        return ()
    if all(type(size) is int and 0 <= size < MAX_NUMBER for size in found):
        return tuple(found)
    return tuple(_shape(one) for one in found if isinstance(one, list | tuple))


def _dtype(found: Any, shape: tuple[Any, ...]) -> str:
    name = found.lower() if isinstance(found, str) else ""
    if shape and isinstance(shape[0], tuple):
        return "list"
    if name in _NO_TENSOR or name.startswith(("tensorlist", "generic")):
        return ""
    return _DTYPES.get(name, name)


@lru_cache(maxsize=2**16)
def work_of(operator: str, said: str) -> Work:
    r"""The work of an operator.

    Args:
        operator: name, such as ``aten::addmm``.
        said: types, shapes, strides and values of its arguments, each in one line as Python writes it.

    >>> work = work_of("aten::mm", "['float', 'float']\n[[4, 8], [8, 2]]\n[[8, 1], [1, 8]]\n['', '']")
    >>> work.kind, work.flop, work.size_bytes, work.settings
    ('gemm', 128.0, 224.0, '{"layout":"TN"}')
    """
    operands = read_operands(said) if said else None
    base = operator.rpartition("::")[2]
    kind, rule = _RULES.get(base, ("", None))
    if operands is None:
        return Work(kind=kind)
    places = operands.tensors()
    dtype = next(
        (operands.dtypes[place] for place in places if "float" in operands.dtypes[place]),
        operands.dtypes[places[0]] if places else "",
    )
    flop: float | None = None
    size: float | None = None
    settings: dict[str, Any] = {}
    try:
        if rule is not None:
            flop, size_items, settings = rule(operands)
            size = float(size_items * ITEM_BYTES[dtype])
        else:
            size = _memory_bytes(base, operands, dtype)
    except (LookupError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        pass  # not recorded, or of a form that no version of torch writes
    shapes = json.dumps([operands.shapes[place] for place in places], separators=(",", ":"))
    told = json.dumps(settings, separators=(",", ":")) if settings else ""
    return Work(kind=kind, flop=flop, size_bytes=size, dtype=dtype, shapes=shapes, settings=told)


_Rule = Callable[[Operands], tuple[float, float, dict[str, Any]]]


def _product(first: int, second: int) -> _Rule:
    """A matrix product of the arguments at two places, with leading dimensions as a batch."""

    def rule(operands: Operands) -> tuple[float, float, dict[str, Any]]:
        left, right = operands.shape(first), operands.shape(second)
        if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
            raise LookupError
        rows, inner, columns = left[-2], left[-1], right[-1]
        batch = math.prod(left[:-2]) if len(left) >= len(right) else math.prod(right[:-2])
        flop = 2.0 * batch * rows * inner * columns
        if len(left) == 2 and len(right) == 3:  # grouped: the rows are shared out over the matrices
            flop, batch = 2.0 * rows * inner * columns, 1
        items = batch * rows * (inner + columns) + math.prod(right)
        return flop, items, _layout(operands.strides[first], operands.strides[second])

    return rule


def _layout(left: Sequence[int], right: Sequence[int]) -> dict[str, Any]:
    """How the operands lie in memory as a library that counts by columns calls it: TN is a linear layer."""
    if len(left) < 2 or len(right) < 2:
        return {}
    first = "N" if right[-1] == 1 else "T"
    second = "N" if left[-1] == 1 else "T"
    return {"layout": first + second}


def _linear(operands: Operands) -> tuple[float, float, dict[str, Any]]:
    given, weight = operands.shape(0), operands.shape(1)
    if len(weight) != 2 or not given or given[-1] != weight[1]:
        raise LookupError
    rows = math.prod(given[:-1])
    items = rows * (weight[0] + weight[1]) + math.prod(weight)
    return 2.0 * rows * weight[0] * weight[1], items, {"layout": "TN"}


def _convolution(
    stride: int, padding: int, dilation: int, groups: int, transposed: int | None = None
) -> _Rule:
    def rule(operands: Operands) -> tuple[float, float, dict[str, Any]]:
        given, weight = operands.shape(0), operands.shape(1)
        if len(given) < 3 or len(weight) != len(given):
            raise LookupError
        strides, paddings, dilations = (operands.numbers(place) for place in (stride, padding, dilation))
        settings = {
            "stride": strides, "padding": paddings, "dilation": dilations, "groups": int(operands.values[groups])
        }  # fmt: skip
        taps = math.prod(weight[2:])
        if transposed is not None and operands.flag(transposed):
            flop = 2.0 * math.prod(given) * weight[1] * taps
            return flop, math.prod(given) + math.prod(weight), settings | {"transposed": True}
        dims = len(given) - 2
        sizes = [
            (size + 2 * _at(paddings, axis, dims) - _at(dilations, axis, dims) * (kernel - 1) - 1)
            // _at(strides, axis, dims) + 1
            for axis, (size, kernel) in enumerate(zip(given[2:], weight[2:], strict=True))
        ]  # fmt: skip
        outputs = given[0] * weight[0] * math.prod(sizes)
        return 2.0 * outputs * weight[1] * taps, math.prod(given) + math.prod(weight) + outputs, settings

    return rule


def _at(values: Sequence[int], axis: int, dims: int) -> int:
    return values[axis] if len(values) == dims else values[0]


def _convolution_backward(operands: Operands) -> tuple[float, float, dict[str, Any]]:
    gradient, given, weight = operands.shape(0), operands.shape(1), operands.shape(2)
    if operands.flag(7):
        one = 2.0 * math.prod(given) * weight[1] * math.prod(weight[2:])
    else:
        one = 2.0 * math.prod(gradient) * weight[1] * math.prod(weight[2:])
    wanted = re.findall(r"True|False", operands.values[10])[:2]
    if not wanted:
        raise LookupError
    items = (math.prod(gradient) + math.prod(given) + math.prod(weight)) * max(1, wanted.count("True"))
    settings = {"stride": operands.numbers(4), "groups": int(operands.values[9])}
    return one * wanted.count("True"), items, settings


def _attention(first: int, causal: int, *, heads_first: bool, backward: bool = False) -> _Rule:
    def rule(operands: Operands) -> tuple[float, float, dict[str, Any]]:
        queries, keys, values = (operands.shape(first + place) for place in range(3))
        if not len(queries) == len(keys) == len(values) == 4:
            raise LookupError  # packed sequences: their lengths were not recorded
        head, length = (1, 2) if heads_first else (2, 1)
        num_queries, num_keys = queries[length], keys[length]
        is_causal = operands.flag(causal)
        pairs = float(num_queries * num_keys)
        if is_causal:
            seen = min(num_queries, num_keys)
            pairs = num_queries * num_keys - seen * (seen - 1) / 2 - max(0, num_queries - num_keys) * num_keys
        one = 2.0 * queries[0] * queries[head] * pairs
        width, value_width = queries[3], values[3]
        flop = one * (3 * width + 2 * value_width) if backward else one * (width + value_width)
        items = (
            math.prod(queries) + math.prod(keys) + math.prod(values) + math.prod(queries[:3]) * value_width
        )
        return flop, items * (2.0 if backward else 1.0), {"causal": is_causal}

    return rule


_MM, _ADDMM = ("gemm", _product(0, 1)), ("gemm", _product(1, 2))
_RULES: dict[str, tuple[str, _Rule | None]] = {
    **dict.fromkeys(("mm", "bmm", "matmul", "_scaled_mm", "_int_mm", "_grouped_mm", "_scaled_grouped_mm"), _MM),
    **dict.fromkeys(("addmm", "addmm_", "baddbmm", "baddbmm_", "_addmm_activation"), _ADDMM),
    "linear": ("gemm", _linear),
    "convolution": ("conv", _convolution(3, 4, 5, 8, 6)),
    "_convolution": ("conv", _convolution(3, 4, 5, 8, 6)),
    "cudnn_convolution": ("conv", _convolution(3, 2, 4, 5)),
    "miopen_convolution": ("conv", _convolution(4, 3, 5, 6)),
    "convolution_backward": ("conv", _convolution_backward),
    "_scaled_dot_product_flash_attention": ("attention", _attention(0, 4, heads_first=True)),
    "_scaled_dot_product_efficient_attention": ("attention", _attention(0, 6, heads_first=True)),
    "_scaled_dot_product_cudnn_attention": ("attention", _attention(0, 6, heads_first=True)),
    "_flash_attention_forward": ("attention", _attention(0, 8, heads_first=False)),
    "_efficient_attention_forward": ("attention", _attention(0, 9, heads_first=False)),
    "_flash_attn_forward": ("attention", _attention(0, 5, heads_first=False)),
    "_scaled_dot_product_flash_attention_backward": (
        "attention", _attention(1, 11, heads_first=True, backward=True)),
    "_scaled_dot_product_efficient_attention_backward": (
        "attention", _attention(1, 11, heads_first=True, backward=True)),
    "_scaled_dot_product_cudnn_attention_backward": (
        "attention", _attention(1, 14, heads_first=True, backward=True)),
    "_flash_attention_backward": ("attention", _attention(1, 11, heads_first=False, backward=True)),
    "_efficient_attention_backward": ("attention", _attention(1, 14, heads_first=False, backward=True)),
    "_flash_attn_backward": ("attention", _attention(1, 11, heads_first=False, backward=True)),
}  # fmt: skip
"""Class and rule by the operator's name without its name space. Argument places: torch's operator schemas
(``native_functions.yaml``, 2.0 to 2.8) and flash-attn 2.x."""

_ELEMENTWISE = frozenset((
    "add", "sub", "mul", "div", "neg", "exp", "log", "pow", "sqrt", "rsqrt", "sin", "cos", "tanh", "sigmoid",
    "silu", "gelu", "relu", "clamp", "clamp_min", "clamp_max", "where", "eq", "ne", "lt", "gt", "le", "ge",
    "addcmul", "addcdiv", "lerp", "abs", "nan_to_num", "threshold_backward", "sigmoid_backward", "tanh_backward",
    "gelu_backward", "silu_backward", "native_layer_norm", "_softmax", "_log_softmax", "native_dropout",
    "bernoulli", "masked_fill", "cudnn_batch_norm", "native_batch_norm", "miopen_batch_norm", "_fused_rms_norm",
    "reciprocal", "square",
))  # fmt: skip
_READERS = frozenset(
    ("sum", "mean", "amax", "amin", "max", "min", "norm", "linalg_vector_norm", "all", "any", "argmax")
)
_WRITERS = frozenset(("fill_", "zero_", "normal_", "uniform_"))


def _memory_bytes(base: str, operands: Operands, dtype: str) -> float | None:
    """Bytes of the operands and, where its shape follows from theirs, of the result."""
    if base in ("cat", "_cat") and operands.dtypes[0] == "list" and dtype:
        num_items = sum(math.prod(shape) for shape in operands.shapes[0])
        return 2.0 * float(num_items) * ITEM_BYTES[dtype]
    sizes = [
        math.prod(operands.shapes[place]) * ITEM_BYTES[operands.dtypes[place]] for place in operands.tensors()
    ]
    if not sizes:
        return None
    if base in _WRITERS:
        return float(sizes[0])
    if base == "copy_" or base in _READERS:
        return float(sum(sizes))
    if base in ("embedding", "index_select"):
        width, picked = operands.shape(0)[-1], math.prod(operands.shape(operands.tensors()[1]))
        return float(2 * picked * width * ITEM_BYTES[operands.dtypes[0]] + sizes[1])
    if base.rstrip("_") in _ELEMENTWISE:
        return float(sum(sizes) + (sizes[0] if base.endswith("_") else max(sizes)))
    return None
