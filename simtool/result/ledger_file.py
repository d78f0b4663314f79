"""The ledger as a Parquet file: one row for every interval, state and component."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simtool.ledger import Ledger

if TYPE_CHECKING:
    import pyarrow as pa


def write_ledger(path: Path, ledger: Ledger) -> None:
    """Write the columns of a ledger; names are dictionary-encoded, nothing depends on the moment."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    columns = ledger.columns()
    table = pa.Table.from_arrays([_array(column) for column in columns.values()], names=list(columns))
    with path.open("wb") as file:  # Arrow itself opens no path that is not text
        parquet.write_table(table, file)


def _array(values: NDArray[Any]) -> pa.Array:
    """Numbers or names as Arrow. From buffers: `pyarrow.array` would import pandas wherever it is installed."""
    import pyarrow as pa

    if values.dtype.kind != "U":
        numbers = np.ascontiguousarray(values, dtype=np.float64)
        return pa.Array.from_buffers(pa.float64(), len(numbers), [None, pa.py_buffer(numbers)])
    names = values.tolist()
    words = {word: code for code, word in enumerate(dict.fromkeys(names))}
    encoded = [word.encode() for word in words]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    dictionary = pa.Array.from_buffers(pa.utf8(), len(words), buffers)
    indices = np.fromiter((words[name] for name in names), np.int32, len(names))
    return pa.DictionaryArray.from_arrays(
        pa.Array.from_buffers(pa.int32(), len(indices), [None, pa.py_buffer(indices)]), dictionary
    )
