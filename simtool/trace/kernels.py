"""The device's work as a table: what a projection or a workload from a trace starts from.

One row is one kernel, copy or fill on a device, in order of time. Columns (all of `schema.DEVICE_OPS`):

=============== ===== ======================================================================================
column          unit  meaning
=============== ===== ======================================================================================
`rank`                rank of the process that launched it
`device`              number of the device in its machine
`step`                annotated step in which it was launched; null outside steps, 0 if no step is annotated
`stream`              queue of the device
`start_s`       s     begin on the device, by the clock of the trace (0 is the first event)
`duration_s`    s     duration on the device
`launch_s`      s     when the host called for it, null where the call was not recorded
`name`                name of the kernel
`op_class`            gemm, attention, conv, memory, optimizer, communication or copy (`op_class.OP_CLASSES`)
`variant`             attention: flash2, flash3, cudnn, efficient, ck, aotriton, triton, other; communication:
                      all_reduce, ...; copy: host_to_device, ..., fill; else empty
`operator`            innermost operator, such as ``aten::addmm``; null where it is not known
`shapes`              JSON list of the shapes of the operator's tensors, in the order of its arguments
`settings`            JSON object: ``causal``; ``stride``, ``padding``, ``dilation``, ``groups``; ``layout``
`dtype`               torch's name of the number format, or ``tf32`` where the kernel's name tells that
`phase`               data, forward, backward, optimizer, communication; null where it is not known
`flop`          FLOP  operations by the shapes; null where they were not recorded or nothing is counted
`size_bytes`    byte  bytes of operands and results, copied, or of one rank's input to a collective; or null
`group_size`          ranks of a collective, or null
=============== ===== ======================================================================================

Several kernels of one operator share its operations and bytes by their durations: the sum over rows is the
work of all calls. Kernels of an operator that do other work than its product (layout changes, the sum of a
split product) have null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simtool.trace.columns import arrow_schema, column_array, empty_table
from simtool.trace.schema import DEVICE_OPS, Column

if TYPE_CHECKING:
    import pyarrow as pa

NOTHING = -1
"""Stands for null in a column of whole numbers."""


@dataclass(frozen=True)
class KernelTable:
    """Kernels of any number of ranks and steps.

    Args:
        table: Arrow table with the columns above, such as `Trace.device_ops`. One that was made here keeps every text
            once (a dictionary); `plain` unfolds them.
    """

    table: pa.Table

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, NDArray[Any]], texts: Mapping[str, tuple[NDArray[np.int64], Sequence[str]]]
    ) -> KernelTable:
        """A table from arrays.

        Args:
            columns: whole numbers (`NOTHING` is null) and real numbers (NaN is null) by name.
            texts: number of the text of every row (`NOTHING` is null), and the texts themselves, by name.
        """
        import pyarrow as pa

        arrays = []
        for column in DEVICE_OPS.columns:
            if column.kind == "text":
                numbers, words = texts[column.name]
                arrays.append(_dictionary(column, np.asarray(numbers), words))
            else:
                values = columns[column.name]
                is_null = np.isnan(values) if column.kind == "real" else values == NOTHING
                if not column.is_optional:
                    is_null = np.zeros(len(values), bool)
                arrays.append(_numeric(values, is_null))
        plain = arrow_schema(DEVICE_OPS)
        fields = [field.with_type(array.type) for field, array in zip(plain, arrays, strict=True)]
        return cls(pa.Table.from_arrays(arrays, schema=pa.schema(fields)))

    @classmethod
    def empty(cls) -> KernelTable:
        """No kernel."""
        return cls(empty_table(DEVICE_OPS))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def numbers(self, name: str) -> NDArray[Any]:
        """A column of numbers; null is NaN in a real one, `NOTHING` in a whole one."""
        column = self.table[name]
        kind = next(one.kind for one in DEVICE_OPS.columns if one.name == name)
        filled = column.fill_null(float("nan") if kind == "real" else NOTHING)
        found: NDArray[Any] = filled.to_numpy()
        return found

    def texts(self, name: str) -> tuple[NDArray[np.int64], list[str]]:
        """A column of texts: the number of every row's text (`NOTHING` is null), and the texts."""
        import pyarrow as pa

        if not len(self):
            return np.empty(0, np.int64), []
        column = self.table[name]
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        column = column.unify_dictionaries().combine_chunks()
        chunk = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        numbers = chunk.indices.fill_null(NOTHING).to_numpy(zero_copy_only=False).astype(np.int64)
        used, place = np.unique(numbers, return_inverse=True)
        words = chunk.dictionary.take(_numeric(used[used >= 0], np.zeros(int((used >= 0).sum()), bool)))
        return place.reshape(-1) - int(used[0] < 0), words.to_pylist()

    def where(self, name: str, *wanted: str) -> NDArray[np.bool_]:
        """Which rows have one of these texts."""
        numbers, words = self.texts(name)
        chosen = [number for number, word in enumerate(words) if word in wanted]
        result: NDArray[np.bool_] = np.isin(numbers, chosen)
        return result

    def keep(self, rows: NDArray[np.bool_]) -> KernelTable:
        """The rows that are chosen."""
        import pyarrow as pa

        places = np.flatnonzero(rows).astype(np.int64)
        if not len(places):
            return KernelTable(pa.Table.from_batches([], self.table.schema))
        return KernelTable(self.table.take(_numeric(places, np.zeros(len(places), bool))))

    def plain(self) -> pa.Table:
        """The table with every text written out, as the stream `device_ops` has it."""
        return self.table.cast(arrow_schema(DEVICE_OPS))

    def replaced(self, name: str, values: NDArray[Any]) -> KernelTable:
        """The table with other numbers in a column; NaN and `NOTHING` are null where the column may be."""
        column = next(one for one in DEVICE_OPS.columns if one.name == name)
        is_null = np.isnan(values) if column.kind == "real" else values == NOTHING
        is_null = is_null if column.is_optional else np.zeros(len(values), bool)
        place = self.table.schema.get_field_index(name)
        return KernelTable(
            self.table.set_column(place, self.table.schema.field(name), _numeric(values, is_null))
        )

    @cached_property
    def ranks(self) -> tuple[int, ...]:
        """Ranks that occur, in order."""
        return tuple(int(rank) for rank in np.unique(self.numbers("rank")))

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Steps that occur, in order; work outside steps is in none of them."""
        steps = np.unique(self.numbers("step"))
        return tuple(int(step) for step in steps if step != NOTHING)

    def of_step(self, step: int, rank: int | None = None) -> KernelTable:
        """The kernels of one step, of one rank or of all."""
        rows = self.numbers("step") == step
        if rank is not None:
            rows &= self.numbers("rank") == rank
        return self.keep(rows)

    def of_rank(self, rank: int) -> KernelTable:
        """The kernels of one rank."""
        return self.keep(self.numbers("rank") == rank)


def _dictionary(column: Column, numbers: NDArray[Any], words: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    used, place = np.unique(numbers, return_inverse=True)
    kept = [words[number] for number in used.tolist() if number >= 0] or [""]
    index = place.reshape(-1) - int(len(used) > 0 and used[0] < 0)
    data = np.ascontiguousarray(index, np.int32)
    valid = pa.py_buffer(np.packbits(index >= 0, bitorder="little").tobytes()) if (index < 0).any() else None
    indices = pa.Array.from_buffers(pa.int32(), len(data), [valid, pa.py_buffer(data)])
    return pa.DictionaryArray.from_arrays(indices, column_array(column, kept))


def _numeric(values: NDArray[Any], is_null: NDArray[np.bool_]) -> pa.Array:
    import pyarrow as pa

    data = np.ascontiguousarray(values, np.float64 if values.dtype.kind == "f" else np.int64)
    kind = pa.float64() if data.dtype == np.float64 else pa.int64()
    valid = pa.py_buffer(np.packbits(~is_null, bitorder="little").tobytes()) if is_null.any() else None
    return pa.Array.from_buffers(kind, len(data), [valid, pa.py_buffer(data)])
