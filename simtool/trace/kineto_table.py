"""From joined events to the table of kernels: class, work, phase, rank and step of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.trace.kernels import NOTHING, KernelTable
from simtool.trace.kineto_events import Codes, EventColumns, Floats, Kernels, Operators
from simtool.trace.kineto_join import BACKWARD, DATA, FORWARD, OPTIMIZER, PHASE_NAMES, Joined, join
from simtool.trace.op_class import OP_CLASSES, class_of, dtype_of, variant_of
from simtool.trace.operator_work import Work, work_of
from simtool.units import MEGA

_OF_KIND = {"gemm": ("gemm",), "conv": ("conv", "gemm"), "attention": ("attention",)}
_NUMBER = {name: number for number, name in enumerate(OP_CLASSES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """An annotated step on the host."""

    rank: int
    step: int
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KinetoTables:
    """What one file of the PyTorch profiler comes to."""

    kernels: KernelTable
    windows: tuple[Window, ...]
    zero_us: float
    """Time of the file's clock that is 0 in the tables."""
    device_of_rank: Mapping[int, int]
    num_ambiguous: int
    num_unlaunched: int
    """Kernels whose launch was not recorded."""


class _Words:
    """Texts that are numbered as they come."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers)) if text else NOTHING

    @property
    def all(self) -> list[str]:
        """All of them, in the order of their numbers."""
        return list(self.numbers)


def tabulate(events: EventColumns, told_rank: int | None) -> KinetoTables:
    """The tables of a file.

    Args:
        events: with at least one kernel.
        told_rank: rank that the file tells; it counts where all work is of one process on one device.
    """
    texts = events.texts.all()
    kernels, launches, operators = events.kernels(), events.launches(), events.operators()
    joined = join(kernels, launches, operators, texts)
    ranks, device_of_rank, rank_of_process = _ranks(events, kernels, joined, told_rank)
    windows_us = _windows(events, rank_of_process, sorted(device_of_rank))
    starts = [kernels.begin_us.min(), *(begin for _, _, begin, _ in windows_us)]
    zero_us = float(min(starts))
    called_us = np.full(len(kernels.name), np.nan)
    has_launch = joined.launch >= 0
    called_us[has_launch] = launches.begin_us[joined.launch[has_launch]]
    zero_us = min(zero_us, float(np.nanmin(called_us)) if has_launch.any() else zero_us)
    # What was launched before the profiler began belongs to a step before; only where no launch at all was
    # recorded the time on the device must do.
    moments = called_us if has_launch.any() else kernels.begin_us
    step = _steps(moments, ranks, windows_us)
    work = _Describer(kernels, operators, joined, texts)
    order = np.lexsort((ranks, kernels.begin_us))
    columns: dict[str, NDArray[Any]] = {
        "rank": ranks, "device": kernels.device, "step": step, "stream": kernels.stream,
        "start_s": (kernels.begin_us - zero_us) / MEGA, "duration_s": kernels.duration_us / MEGA,
        "launch_s": (called_us - zero_us) / MEGA, "flop": work.flop, "size_bytes": work.size_bytes,
        "group_size": np.where(kernels.group_size > 0, kernels.group_size, NOTHING),
    }  # fmt: skip
    words: dict[str, tuple[Codes, Sequence[str]]] = {
        "name": (kernels.name, texts),
        "op_class": (work.op_class, OP_CLASSES),
        "variant": (work.variant, work.variants.all),
        "operator": (np.where(joined.operator >= 0, operators.name[joined.operator], NOTHING), texts)
        if len(operators.name)
        else (np.full(len(kernels.name), NOTHING), texts),
        "shapes": (work.shapes, work.all_shapes.all),
        "settings": (work.settings, work.all_settings.all),
        "dtype": (work.dtype, work.dtypes.all),
        "phase": _phases(work.op_class, work.variant_texts(), joined),
    }
    table = KernelTable.from_columns(
        {name: values[order] for name, values in columns.items()},
        {name: (np.asarray(numbers)[order], all_texts) for name, (numbers, all_texts) in words.items()},
    )
    windows = tuple(
        Window(rank=rank, step=number, begin_s=(begin - zero_us) / MEGA, end_s=(end - zero_us) / MEGA)
        for rank, number, begin, end in windows_us
    )
    return KinetoTables(
        kernels=table, windows=windows, zero_us=zero_us, device_of_rank=device_of_rank,
        num_ambiguous=joined.num_ambiguous, num_unlaunched=int(np.sum(~has_launch)),
    )  # fmt: skip


def _ranks(
    events: EventColumns, kernels: Kernels, joined: Joined, told: int | None
) -> tuple[Codes, dict[int, int], dict[int, list[int]]]:
    """Rank of every kernel, the device of every rank, and the ranks of every process."""
    names = {process: number for number, process in enumerate(dict.fromkeys(events.process_of_thread()))}
    of_thread = np.array([names[process] for process in events.process_of_thread()] or [0], np.int64)
    launches = events.launches()
    process = np.full(len(kernels.name), -1, np.int64)
    has_launch = joined.launch >= 0
    process[has_launch] = of_thread[launches.thread[joined.launch[has_launch]]]
    for device in np.unique(kernels.device):
        here = kernels.device == device
        known = process[here & (process >= 0)]
        process[here & (process < 0)] = np.bincount(known).argmax() if len(known) else 0
    pairs, place = np.unique(np.stack((kernels.device, process), 1), axis=0, return_inverse=True)
    numbers = np.array([told or 0]) if len(pairs) == 1 else np.arange(len(pairs))
    device_of_rank = {int(rank): int(device) for rank, (device, _) in zip(numbers, pairs, strict=True)}
    ranks_of_process: dict[int, list[int]] = {}
    for rank, (_, number) in zip(numbers.tolist(), pairs.tolist(), strict=True):
        ranks_of_process.setdefault(number, []).append(rank)
    return numbers[place.reshape(-1)], device_of_rank, ranks_of_process


def _windows(
    events: EventColumns, ranks_of_process: Mapping[int, list[int]], ranks: Sequence[int]
) -> list[tuple[int, int, float, float]]:
    """Rank, number, begin and end of every step; a process that has several ranks has one for each."""
    names = {process: number for number, process in enumerate(dict.fromkeys(events.process_of_thread()))}
    processes = events.process_of_thread()
    found = []
    for number, begin, end, thread in events.steps:
        owners = ranks_of_process.get(names[processes[thread]], ranks)
        found += [(rank, number, begin, end) for rank in owners]
    unique = {(rank, number, begin): end for rank, number, begin, end in found}
    return sorted((rank, number, begin, end) for (rank, number, begin), end in unique.items())


def _steps(called_us: Floats, ranks: Codes, windows: Sequence[tuple[int, int, float, float]]) -> Codes:
    """Step in which every kernel was called for."""
    step = np.full(len(called_us), NOTHING if windows else 0, np.int64)
    for rank in np.unique(ranks):
        own = sorted((begin, end, number) for owner, number, begin, end in windows if owner == rank)
        if not own:
            continue
        begins, ends, numbers = (np.array(column) for column in zip(*own, strict=True))
        here = np.flatnonzero(ranks == rank)
        place = np.searchsorted(begins, called_us[here], "right") - 1
        inside = ~np.isnan(called_us[here]) & (place >= 0) & (called_us[here] <= ends[np.maximum(place, 0)])
        step[here[inside]] = numbers[place[inside]].astype(np.int64)
    return step


def _phases(op_class: Codes, variant: list[str], joined: Joined) -> tuple[Codes, list[str]]:
    names = [*PHASE_NAMES[1:], "communication"]
    phase = joined.phase - 1  # NOTHING where it is 0
    is_known = (joined.operator >= 0) | (joined.phase > 0)
    came_in = np.array([one == "host_to_device" for one in variant], bool)
    phase = np.where((phase < 0) & is_known & came_in, DATA - 1, phase)
    phase = np.where((phase < 0) & is_known, FORWARD - 1, phase)
    return np.where(op_class == _NUMBER["communication"], len(names) - 1, phase), names


class _Describer:
    """Class, variant, work, format of every kernel."""

    def __init__(self, kernels: Kernels, operators: Operators, joined: Joined, texts: list[str]) -> None:
        self._kernels, self._operators, self._joined, self._texts = kernels, operators, joined, texts
        num = len(kernels.name)
        self.variants, self.all_shapes, self.all_settings, self.dtypes = (_Words() for _ in range(4))
        self.variants("")
        self.flop, self.size_bytes = np.full(num, np.nan), kernels.size_bytes.copy()
        self.shapes, self.settings, self.dtype = (np.full(num, NOTHING, np.int64) for _ in range(3))
        self.op_class = self._classes()
        self._optimizer_work()
        if len(operators.name):
            self._works()
        self._variants()
        self._formats_by_name()

    def _classes(self) -> Codes:
        pairs, place = np.unique(
            np.stack((self._kernels.name, self._kernels.kind), 1), axis=0, return_inverse=True
        )
        classes = [_NUMBER[class_of(self._texts[name], self._texts[kind])] for name, kind in pairs.tolist()]
        return np.array(classes, np.int64)[place.reshape(-1)]

    def _optimizer_work(self) -> None:
        in_optimizer = (self._joined.phase == OPTIMIZER) & (self.op_class == _NUMBER["memory"])
        self.op_class[in_optimizer] = _NUMBER["optimizer"]

    def _works(self) -> None:
        """Hand the work of every operator to its kernels."""
        operator = self._joined.operator
        inner = {number: self._work(number) for number in np.unique(operator[operator >= 0]).tolist()}
        owner = self._owners(operator)
        self._products(owner)
        is_own = operator >= 0
        for place in np.flatnonzero(is_own & (self.shapes == NOTHING)).tolist():
            work = inner[int(operator[place])]
            self.shapes[place] = self.all_shapes(work.shapes)
            self.dtype[place] = self.dtypes(work.dtype)
        plain = is_own & np.isin(self.op_class, [_NUMBER["memory"], _NUMBER["optimizer"]])
        for members in _groups(operator, plain):
            size = inner[int(operator[members[0]])].size_bytes
            if size is not None and not inner[int(operator[members[0]])].kind:
                self.size_bytes[members] = size * self._shares(members)

    def _owners(self, operator: Codes) -> Codes:
        """The nearest operator around each kernel that is a product, a convolution or attention."""
        operators = self._operators
        has_rule = np.array([bool(work_of(text, "").kind) if text else False for text in self._texts])
        owner = operator.copy()
        while True:
            goes_up = owner >= 0
            goes_up[goes_up] = ~has_rule[operators.name[owner[goes_up]]]
            if not goes_up.any():
                return owner
            owner[goes_up] = self._joined.parent[owner[goes_up]]

    def _products(self, owner: Codes) -> None:
        is_device = self.op_class != _NUMBER["copy"]
        is_other = np.isin(self.op_class, [_NUMBER["communication"]])
        for members in _groups(owner, (owner >= 0) & is_device & ~is_other):
            work = self._work(int(owner[members[0]]))
            allowed = [_NUMBER[name] for name in _OF_KIND[work.kind]]
            main = members[np.isin(self.op_class[members], allowed)]
            if not len(main):  # names that no rule knows: the longest that it called itself did the work
                direct = members[self._joined.operator[members] == owner[members]]
                if not len(direct):
                    continue
                main = direct[[int(np.argmax(self._kernels.duration_us[direct]))]]
            self.op_class[main] = _NUMBER[work.kind]
            shares = self._shares(main)
            if work.flop is not None:
                self.flop[main] = work.flop * shares
            if work.size_bytes is not None:
                self.size_bytes[main] = work.size_bytes * shares
            self.shapes[main] = self.all_shapes(work.shapes)
            self.settings[main] = self.all_settings(work.settings)
            self.dtype[main] = self.dtypes(work.dtype)

    def _work(self, operator: int) -> Work:
        said = int(self._operators.arguments[operator])
        return work_of(
            self._texts[int(self._operators.name[operator])], self._texts[said] if said > 0 else ""
        )

    def _shares(self, members: Codes) -> Floats:
        durations = self._kernels.duration_us[members]
        whole = durations.sum()
        return durations / whole if whole > 0 else np.full(len(members), 1.0 / len(members))

    def _variants(self) -> None:
        kernels = self._kernels
        keys = np.stack((kernels.name, kernels.kind, self.op_class), 1)
        triples, place = np.unique(keys, axis=0, return_inverse=True)
        numbers = [
            self.variants.numbers.setdefault(
                variant_of(self._texts[name], OP_CLASSES[number], self._texts[kind]),
                len(self.variants.numbers),
            )
            for name, kind, number in triples.tolist()
        ]
        self.variant = np.array(numbers, np.int64)[place.reshape(-1)]

    def variant_texts(self) -> list[str]:
        """The variant of every kernel."""
        words = self.variants.all
        return [words[number] for number in self.variant.tolist()]

    def _formats_by_name(self) -> None:
        """The format that a kernel's name tells, where its operator does not; and which float32 was tf32."""
        single = self.dtypes.numbers.get("float32", NOTHING - 1)
        for name in np.unique(self._kernels.name).tolist():
            told = dtype_of(self._texts[name])
            if not told:
                continue
            here = self._kernels.name == name
            computes = np.isin(self.op_class, [_NUMBER[one] for one in ("gemm", "conv", "attention")])
            self.dtype[here & (self.dtype == NOTHING) & (self.op_class != _NUMBER["copy"])] = self.dtypes(
                told
            )
            if told == "tf32":
                self.dtype[here & computes & (self.dtype == single)] = self.dtypes(told)


def _groups(keys: Codes, chosen: NDArray[np.bool_]) -> list[Codes]:
    """Places of the chosen rows, those of one key together."""
    places = np.flatnonzero(chosen)
    order = places[np.argsort(keys[places], kind="stable")]
    borders = np.flatnonzero(np.diff(keys[order])) + 1
    return [group for group in np.split(order, borders) if len(group)]


__all__ = ["BACKWARD", "KinetoTables", "Window", "tabulate"]
