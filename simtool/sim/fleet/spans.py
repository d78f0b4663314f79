"""Sets of devices as disjoint spans of numbers: what they cost grows with their pieces, not with devices."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

from simtool.errors import SimtoolError

Span = tuple[int, int]
"""From its first device up to, not including, its last."""


class Spans:
    """A set of device numbers.

    >>> free = Spans([(0, 8)])
    >>> free.take(3), free.num
    ([(0, 3)], 5)
    >>> free.add([(0, 2)])
    >>> list(free)
    [(0, 2), (3, 8)]
    """

    __slots__ = ("_starts", "_stops", "num")

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.num = 0
        self.add(spans)

    def __iter__(self) -> Iterator[Span]:
        return zip(self._starts, self._stops, strict=True)

    def __len__(self) -> int:
        return len(self._starts)

    def take(self, num: int) -> list[Span]:
        """Remove and return the lowest `num` devices."""
        if num > self.num:
            raise SimtoolError(f"fleet: {num} devices are wanted of {self.num}")
        starts, stops, taken, whole = self._starts, self._stops, [], 0
        self.num -= num
        while num:
            start, stop = starts[whole], stops[whole]
            if stop - start > num:
                starts[whole] = start + num
                taken.append((start, start + num))
                break
            taken.append((start, stop))
            num -= stop - start
            whole += 1
        del starts[:whole], stops[:whole]
        return taken

    def add(self, spans: Iterable[Span]) -> None:
        """Put devices in that are not there.

        Raises:
            SimtoolError: one is there already.
        """
        starts, stops = self._starts, self._stops
        for start, stop in spans:
            place = bisect_left(starts, start)
            if (place and stops[place - 1] > start) or (place < len(starts) and starts[place] < stop):
                raise SimtoolError(f"fleet: devices {start} to {stop} are given back twice")
            joins_left = place > 0 and stops[place - 1] == start
            joins_right = place < len(starts) and starts[place] == stop
            if joins_left and joins_right:
                stops[place - 1] = stops[place]
                del starts[place], stops[place]
            elif joins_left:
                stops[place - 1] = stop
            elif joins_right:
                starts[place] = start
            else:
                starts.insert(place, start)
                stops.insert(place, stop)
            self.num += stop - start

    def take_from(self, start: int, stop: int, num: int) -> list[Span]:
        """Remove and return the lowest `num` devices between two numbers, where at least as many are."""
        found = self.cut(start, stop)
        taken: list[Span] = []
        for begin, end in found:
            if num >= end - begin:
                taken.append((begin, end))
            else:
                if num:
                    taken.append((begin, begin + num))
                self.add([(begin + num, end)])
            num -= min(num, end - begin)
        return taken

    def cut(self, start: int, stop: int) -> list[Span]:
        """Remove and return whatever lies between two numbers."""
        starts, stops = self._starts, self._stops
        first = bisect_right(stops, start)
        last = bisect_left(starts, stop)
        if first >= last:
            return []
        found = [
            (max(begin, start), min(end, stop))
            for begin, end in zip(starts[first:last], stops[first:last], strict=True)
        ]
        left = (starts[first], start) if starts[first] < start else None
        right = (stop, stops[last - 1]) if stops[last - 1] > stop else None
        kept = [span for span in (left, right) if span]
        starts[first:last] = [span[0] for span in kept]
        stops[first:last] = [span[1] for span in kept]
        self.num -= sum(end - begin for begin, end in found)
        return found


class NodeSpans(Spans):
    """The same, knowing which nodes are partly in the set from the first time that it is asked on.

    >>> free = NodeSpans(4, [(0, 8)])
    >>> free.take(3), free.tightest(1), free.tightest(2)
    ([(0, 3)], 0, None)
    """

    __slots__ = ("_by_count", "_counts", "_is_asked", "_size")

    def __init__(self, size: int, spans: Iterable[Span] = ()) -> None:
        self._size = size
        self._counts: dict[int, int] = {}  # of nodes of which some devices are in, not all
        self._by_count: list[list[int]] = [[] for _ in range(size)]
        self._is_asked = False
        super().__init__(spans)

    def tightest(self, num: int) -> int | None:
        """The partly held node with fewest devices, but at least `num`; the lowest of several."""
        if not self._is_asked:
            self._is_asked = True
            self._changed(list(self), 1)
        return next((nodes[0] for nodes in self._by_count[num:] if nodes), None)

    def take(self, num: int) -> list[Span]:
        """See `Spans`."""
        taken = super().take(num)
        if self._is_asked:
            self._changed(taken, -1)
        return taken

    def add(self, spans: Iterable[Span]) -> None:
        """See `Spans`."""
        if not self._is_asked:
            super().add(spans)
            return
        more = list(spans)
        super().add(more)
        self._changed(more, 1)

    def cut(self, start: int, stop: int) -> list[Span]:
        """See `Spans`."""
        found = super().cut(start, stop)
        if self._is_asked:
            self._changed(found, -1)
        return found

    def _changed(self, spans: list[Span], sign: int) -> None:
        """Only the first and last node of a span can be partly held; those between are in or out as a whole."""
        size = self._size
        for start, stop in spans:
            first, last = start // size, (stop - 1) // size
            if first == last:
                self._count(first, sign * (stop - start))
            else:
                self._count(first, sign * ((first + 1) * size - start))
                self._count(last, sign * (stop - last * size))

    def _count(self, node: int, change: int) -> None:
        before = self._counts.pop(node, None)
        if before is None:
            before = 0 if change > 0 else self._size
        else:
            nodes = self._by_count[before]
            del nodes[bisect_left(nodes, node)]
        after = before + change
        if 0 < after < self._size:
            self._counts[node] = after
            insort(self._by_count[after], node)
