"""Copies of a job's state in the memory of its nodes: each node keeps its own part and that of one peer."""

from __future__ import annotations

from collections.abc import Iterable


class Copies:
    """Which places of a job have lost their node since it last ran.

    The peer of a place is the one half the job away, so that two copies share neither rack nor switch where
    nodes of a job follow each other: Z. Wang et al., "Gemini: fast failure recovery in distributed training with
    in-memory checkpoints", SOSP 2023, place copies across such groups too. A job of one node has no peer: its
    copy is gone with it. Software failures leave the copies: another process keeps them.

    >>> copies = Copies(4)
    >>> copies.gain([10, 11, 12, 13])
    >>> copies.lose([10, 11])
    >>> copies.are_lost()
    False
    >>> copies.lose([12])
    >>> copies.are_lost()
    True
    """

    def __init__(self, num_nodes: int) -> None:
        self._num, self._distance = num_nodes, num_nodes // 2
        self._place: dict[int, int] = {}
        self._vacant = list(range(num_nodes))[::-1]
        self._lost: set[int] = set()

    def gain(self, nodes: Iterable[int]) -> None:
        """New nodes take the places of those that were lost first."""
        for node in nodes:
            self._place[node] = self._vacant.pop()

    def lose(self, nodes: Iterable[int]) -> None:
        """Nodes go down with the copies that they hold."""
        for node in nodes:
            place = self._place.pop(node)
            self._vacant.insert(0, place)
            self._lost.add(place)

    def are_lost(self) -> bool:
        """Whether some part of the state is in no memory any more."""
        return any((place + self._distance) % self._num in self._lost for place in self._lost)

    def renew(self) -> None:
        """All nodes hold their copies again."""
        self._lost.clear()
