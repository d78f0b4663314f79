"""What training a tensor costs, and the set of tensors that is worth most within a budget.

The model is taken as a chain of modules: training a tensor needs the gradient towards the input of
everything behind it, and a product for its own gradient. Costs come from a counted forward pass; either
gradient of a product costs as much as the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from simtool.engine.count import OpCounter

NUM_BINS = 512
"""Steps into which a budget is divided; costs are rounded up, so the budget is never exceeded."""


@dataclass(slots=True)
class Link:
    """One module with parameters of its own, in the order in which it runs."""

    names: tuple[str, ...]
    """Its own parameters."""
    sizes: tuple[int, ...]
    """Elements of each that takes part in a product, 0 for biases and scales."""
    flop: float = 0.0
    """Of its products in a forward pass [FLOP]."""
    free_flop: float = 0.0
    """Of products without parameters since the link before, such as attention [FLOP]."""

    def tensors(self) -> Iterator[tuple[str, float]]:
        """Names, and what the gradient of each costs [FLOP]."""
        total = sum(self.sizes)
        for name, size in zip(self.names, self.sizes, strict=True):
            yield name, self.flop * size / total if total else 0.0

    def through_flop(self) -> float:
        """The gradient towards what stands before it; both operands of a free product need one [FLOP]."""
        return self.flop + 2.0 * self.free_flop


@dataclass(slots=True)
class _Recorder:
    """Attributes counted operations to the innermost module with parameters that is running."""

    counter: OpCounter
    links: dict[nn.Module, Link] = field(default_factory=dict)
    running: list[list[Any]] = field(default_factory=list)
    seen_flop: float = 0.0

    def enter(self, module: nn.Module, names: tuple[str, ...], sizes: tuple[int, ...]) -> None:
        """A module begins; what ran since the last one belongs to the module around it, or to nobody."""
        free = self._since()
        if self.running:
            self.running[-1][1] += free
        self.running.append([Link(names, sizes, free_flop=0.0 if self.running else free), 0.0])

    def leave(self, module: nn.Module) -> None:
        """A module ends; one that runs twice costs twice."""
        link, own = self.running.pop()
        link.flop = own + self._since()
        if module in self.links:
            self.links[module].flop += link.flop
            self.links[module].free_flop += link.free_flop
        else:
            self.links[module] = link

    def _since(self) -> float:
        now = self.counter.counts.flop()
        flop, self.seen_flop = now - self.seen_flop, now
        return flop


def chain(model: nn.Module, forward: Callable[[], Any]) -> list[Link]:
    """The modules with parameters that a forward pass runs through, with their counted operations."""
    counter = OpCounter(model.parameters())
    recorder = _Recorder(counter)
    with _hooks(model, recorder), counter:
        forward()
    return list(recorder.links.values())


@contextmanager
def _hooks(model: nn.Module, recorder: _Recorder) -> Iterator[None]:
    handles = []
    for prefix, module in model.named_modules():
        own = dict(module.named_parameters(prefix, recurse=False))
        if not own:
            continue
        names = tuple(own)
        sizes = tuple(parameter.numel() if parameter.ndim >= 2 else 0 for parameter in own.values())
        handles.append(
            module.register_forward_pre_hook(
                lambda module, _, names=names, sizes=sizes: recorder.enter(module, names, sizes)
            )
        )
        handles.append(module.register_forward_hook(lambda module, *_: recorder.leave(module)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def backward_flop(links: Sequence[Link], names: frozenset[str] | None = None) -> float:
    """A backward pass that trains only the named tensors, or all [FLOP]."""
    trained = [index for index, link in enumerate(links) if names is None or not names.isdisjoint(link.names)]
    if not trained:
        return 0.0
    through = sum(link.through_flop() for link in links[trained[0] + 1 :])
    return through + sum(
        flop for link in links for name, flop in link.tensors() if names is None or name in names
    )


def select(links: Sequence[Link], importance: Mapping[str, float], budget_flop: float) -> frozenset[str]:
    """The tensors of greatest summed importance whose backward pass stays within a budget.

    Dynamic programming from the last tensor to the first: for every tensor as the foremost one, what
    the way to it leaves of the budget is filled with the best of the tensors behind it.

    >>> links = [Link(("a",), (1,), 100.0), Link(("b",), (1,), 10.0), Link(("c",), (1,), 10.0)]
    >>> sorted(select(links, {"a": 9.0, "b": 2.0, "c": 1.0}, 31.0))  # a costs 100 and the way to it 10 + 10
    ['b', 'c']
    """
    if backward_flop(links) <= budget_flop:
        return frozenset(name for link in links for name in link.names)
    unit = budget_flop / NUM_BINS
    best = np.zeros(NUM_BINS + 1)
    names: list[str] = []
    costs: list[int] = []
    taken: list[np.ndarray[Any, Any]] = []
    chosen: tuple[float, int, int] | None = None
    through = 0.0
    for link in reversed(links):
        for name, flop in link.tensors():
            worth = importance.get(name, 0.0)
            cost = int(np.ceil(flop / unit - 1e-9))
            left = NUM_BINS - cost - int(np.ceil(through / unit - 1e-9))
            names.append(name)
            costs.append(cost)
            if left >= 0 and (chosen is None or worth + best[left] > chosen[0]):
                chosen = (worth + float(best[left]), len(names) - 1, left)
            with_it = np.full_like(best, -np.inf)
            if cost <= NUM_BINS:
                with_it[cost:] = best[: NUM_BINS + 1 - cost] + worth
            taken.append(with_it > best)
            best = np.maximum(best, with_it)
        through += link.through_flop()
    if chosen is None:
        return frozenset()
    _, index, left = chosen
    result = {names[index]}
    for behind in range(index - 1, -1, -1):
        if taken[behind][left]:
            result.add(names[behind])
            left -= costs[behind]
    return frozenset(result)
