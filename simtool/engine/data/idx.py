"""IDX, the format of MNIST and its kin: big-endian magic, sizes, then the values; plain or gzip.

Magic is two zero bytes, a type code and the number of dimensions; each dimension is a 32-bit
unsigned size. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.engine.data.files import data_error, read_bytes

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""numpy type of every type code."""


def read_idx(path: Path) -> NDArray[Any]:
    """The array in an IDX file, in native byte order.

    Raises:
        InputError: not an IDX file, or its length is not what its header says.
    """
    content = read_bytes(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or not 1 <= content[3] <= 4:
        raise data_error(
            path, f"begins with {content[:4].hex(' ')}", "the magic number of an IDX file", "name an IDX file"
        )
    kind, num_axes = np.dtype(TYPES[content[2]]), content[3]
    head = 4 + 4 * num_axes
    if len(content) < head:
        raise data_error(path, "ends inside its header", "", "fetch it again")
    shape = struct.unpack(f">{num_axes}I", content[4:head])
    size_bytes = math.prod(shape) * kind.itemsize
    if size_bytes != len(content) - head:
        raise data_error(
            path,
            f"holds {len(content) - head:,} bytes of values",
            f"{size_bytes:,} for the shape {'x'.join(map(str, shape))} in its header",
            "fetch it again",
        )
    return np.frombuffer(content, dtype=kind, offset=head).reshape(shape).astype(kind.newbyteorder("="))
