"""Device work of several files as one: common clock, one number for every rank, one kind of device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simtool.trace.found import OpsFound
from simtool.trace.kernels import KernelTable
from simtool.trace.manifest import Device, Software
from simtool.trace.source import refuse


def merged_ops(found: Sequence[tuple[str, OpsFound]], notes: list[str], rank: int | None) -> OpsFound | None:
    """The work of all files, by one clock.

    Args:
        found: file and what stands in it.
        notes: takes what is doubtful.
        rank: the one that is wanted, or all.

    Raises:
        InputError: if the rank is in no file, or the devices are of several kinds.
    """
    if not found:
        return None
    zeros = [ops.zero_unix_s for _, ops in found]
    known = [zero for zero in zeros if zero is not None]
    has_clock = len(known) == len(zeros)
    zero_unix_s = min(known) if known and (has_clock or len(found) == 1) else None
    if len(found) > 1 and not has_clock:
        notes.append("not every file tells the time of day: each begins at 0, so files lie over each other")
    tables, windows = [], []
    devices: dict[int, Device] = {}
    taken: set[int] = set()
    for (where, ops), zero in zip(found, zeros, strict=True):
        shift_s = zero - zero_unix_s if zero is not None and zero_unix_s is not None else 0.0
        numbers = _numbers(ops, taken, where, notes)
        tables.append(_moved(ops.kernels, shift_s, numbers))
        windows += [
            replace(one, rank=numbers.get(one.rank, one.rank), begin_s=one.begin_s + shift_s, end_s=one.end_s + shift_s)
            for one in ops.windows
        ]  # fmt: skip
        devices |= {numbers[old]: device for old, device in ops.devices.items()}
    kernels = _stacked(tables)
    if rank is not None:
        if rank not in devices:
            ranks = ", ".join(map(str, sorted(devices)))
            raise refuse("--rank", f"no file holds rank {rank}", "name one of them", allowed=f"ranks {ranks}")
        kernels, devices = kernels.of_rank(rank), {rank: devices[rank]}
        windows = [window for window in windows if window.rank == rank]
    _check_devices(found[0][0], devices)
    return OpsFound(
        kernels=kernels,
        windows=tuple(windows),
        devices=devices,
        software=_software(found),
        zero_unix_s=zero_unix_s,
    )


def _numbers(ops: OpsFound, taken: set[int], where: str, notes: list[str]) -> dict[int, int]:
    """A number for every rank of a file that no other file has."""
    numbers = {}
    for old in sorted(ops.devices):
        new = old
        while new in taken:
            new += 1
        if new != old:
            notes.append(f"{where}: rank {old} is there already: it is called {new}")
        taken.add(new)
        numbers[old] = new
    return numbers


def _moved(kernels: KernelTable, shift_s: float, numbers: dict[int, int]) -> KernelTable:
    if shift_s:
        for name in ("start_s", "launch_s"):
            kernels = kernels.replaced(name, kernels.numbers(name) + shift_s)
    if any(old != new for old, new in numbers.items()):
        ranks = kernels.numbers("rank").copy()
        for old, new in numbers.items():
            ranks[kernels.numbers("rank") == old] = new
        kernels = kernels.replaced("rank", ranks)
    return kernels


def _stacked(tables: Sequence[KernelTable]) -> KernelTable:
    import numpy as np
    import pyarrow as pa

    if len(tables) == 1:
        return tables[0]
    whole = KernelTable(pa.concat_tables([one.table for one in tables]).unify_dictionaries().combine_chunks())
    order = np.lexsort((whole.numbers("rank"), whole.numbers("start_s")))
    return KernelTable(whole.table.take(pa.array(order)))


def _check_devices(where: str, devices: dict[int, Device]) -> None:
    by_name: dict[str, list[int]] = {}
    for number, device in sorted(devices.items()):
        by_name.setdefault(device.name, []).append(number)
    if len([name for name in by_name if name]) > 1:
        shown = "; ".join(
            f"{name or 'a device without a name'} (rank {', '.join(map(str, ranks[:4]))}{', ...' * (len(ranks) > 4)})"
            for name, ranks in by_name.items()
        )
        raise refuse(where, f"several kinds of device: {shown}", "import one of them with --rank")


def _software(found: Sequence[tuple[str, OpsFound]]) -> Software:
    return next((ops.software for _, ops in found if ops.software != Software()), Software())
