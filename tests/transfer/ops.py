"""Operations made by hand, as a trace tells them."""

from __future__ import annotations

from typing import Any

from simtool.profiles.find import default_library
from simtool.transfer.traced import Traced, TracedOp

LIBRARY = default_library()


def traced_op(kind: str, **facts: Any) -> TracedOp:
    blank: dict[str, Any] = {
        "name": "", "operator": "", "variant": "", "shapes": "", "settings": "", "dtype": "bfloat16", "count": 1.0,
        "duration_s": 1e-5, "flop": None, "size_bytes": None,
    }  # fmt: skip
    return TracedOp(kind=kind, **(blank | facts))


def product(rows: int = 4096, columns: int = 4096, inner: int = 4096, **facts: Any) -> TracedOp:
    flop = 2.0 * rows * columns * inner
    shapes = f"[[{rows},{inner}],[{inner},{columns}]]"
    given = {"operator": "aten::mm", "shapes": shapes, "flop": flop, "duration_s": flop / 6e14}
    return traced_op("gemm", **(given | facts))


def elementwise(size_bytes: float = 1e8, **facts: Any) -> TracedOp:
    given = {
        "operator": "aten::add",
        "shapes": "[[9]]",
        "size_bytes": size_bytes,
        "duration_s": size_bytes / 2.8e12,
    }
    return traced_op("elementwise", **(given | facts))


def attention(**facts: Any) -> TracedOp:
    sizes = "[8,16,2048,128]"
    given = {
        "operator": "aten::_scaled_dot_product_flash_attention", "shapes": f"[{sizes},{sizes},{sizes}]",
        "flop": 4.0 * 8 * 16 * 128 * 2048**2, "duration_s": 7e-4,
    }  # fmt: skip
    return traced_op("attention", **(given | facts))


def traced(*ops: TracedOp, busy_frac: float = 1.0) -> Traced:
    return Traced(ops=ops, busy_frac=busy_frac, num_steps=1.0)
