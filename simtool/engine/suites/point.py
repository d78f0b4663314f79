"""One thing that a suite measures, and the row of the trace that it becomes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One kernel at one size.

    >>> product = Point(part="gemm", op="mm", layout="TN", dtype="float32", shape=(("m", 64), ("n", 128), ("k", 32)))
    >>> product.key
    'gemm mm TN float32 m=64 n=128 k=32'
    >>> product.size("n")
    128
    """

    part: str
    """Part of the suite that measures it."""
    op: str
    """What runs: ``mm``, ``copy``, ``attention``, ..."""
    dtype: str = ""
    """Number format of the operands, as torch names it."""
    layout: str = ""
    """How the operands of a product lie in memory: TN, NN or NT."""
    shape: tuple[tuple[str, int], ...] = ()
    """Sizes by name, in the order in which they are written."""
    flop: float = 0.0
    """Operations of one call; a multiply-add counts two [FLOP]."""
    size_bytes: float = 0.0
    """Bytes that one call reads and writes at least [byte]."""
    mode: str = ""
    """``eager`` or ``graph`` where only one of them is wanted."""

    @property
    def shape_text(self) -> str:
        """The sizes as written in the trace."""
        return " ".join(f"{name}={size}" for name, size in self.shape)

    @property
    def key(self) -> str:
        """Text that two points share if and only if they measure the same."""
        return " ".join(
            filter(None, (self.part, self.op, self.layout, self.dtype, self.shape_text, self.mode))
        )

    def size(self, name: str) -> int:
        """One of the sizes.

        Raises:
            KeyError: the point has no such size.
        """
        return dict(self.shape)[name]
