"""Small inputs first: short sequences, low resolution or short windows, full size for the end.

Skips the operations of what small inputs leave out: in a sequence model the products of attention
that grow with the square of the length, in a convolution those of every pixel. With `what=window`
samples keep their size, and attention sees the tokens next to each token alone: scores of blocks
that lie further apart are not computed.

What is known: sequences of 1/8, 1/4, 1/2 and the whole length at the same tokens per step save
about a tenth of the operations of a small decoder and learn more per token; images of 1/4 to the
whole side save half to two thirds of those of a CNN at equal accuracy. Against a baseline that is
trained *and used* at the smaller size most of the gain on images is gone, so that row belongs beside
it. When it pays: where the coarse input still shows what is to be learned (8 pixels do for photos,
not for noisy digits; a ViT needs about 9 tokens), and the last 20 to 30 % run at full size. Small
inputs keep a device less busy, so less time is saved than operations.

Settings: `what` (``size`` or ``window``), `from` (smallest size as a share of the full one, 0.125),
`until` (progress from which the size is full, 0.7), `buckets` (sizes at most, the full one included,
4). Sizes come from the task.

Source: Li et al., "The Stability-Efficiency Dilemma", arXiv 2108.06084; Howard, fast.ai 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from simtool.engine.border import Border
from simtool.engine.budget import Progress
from simtool.engine.method import METHODS, Method
from simtool.engine.plan import StepPlan
from simtool.engine.settings import Settings
from simtool.engine.task import Task
from simtool.errors import InputError, Problem

if TYPE_CHECKING:
    from simtool.engine.work import Work


What = Literal["size", "window"]
WINDOW_PARTS = (32, 16, 8, 4)
"""Attention to a window costs two windows a token if it is causal, and three if not: larger ones save too little."""
LEAST_WINDOW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressiveSizeSettings:
    """What the command line may set."""

    start_frac: float = 0.125
    """Smallest size, as a share of the full one; 1 leaves every step at full size."""
    until: float = 0.7
    """Progress from which the size is full; 0 leaves every step at full size."""
    num_buckets: int = 4
    what: What = "size"
    """``size`` of the samples, or ``window`` that attention sees of them."""


def buckets(sizes: tuple[int, ...], start_frac: float, num_buckets: int) -> tuple[int, ...]:
    """At most `num_buckets` of the rising `sizes`, from `start_frac` of the last one, ends included.

    >>> buckets((8, 16, 32, 64, 128), 0.125, 3)
    (16, 64, 128)
    """
    fit = [size for size in sizes if size >= start_frac * sizes[-1]]
    if len(fit) <= num_buckets:
        return tuple(fit)
    if num_buckets == 1:
        return (fit[-1],)
    last = len(fit) - 1
    # Half rounds up, so that two candidates as near give the larger size.
    return tuple(fit[int(index * last / (num_buckets - 1) + 0.5)] for index in range(num_buckets))


def windows(length: int) -> tuple[int, ...]:
    """Windows of attention over so many tokens, rising; the last sees all.

    >>> windows(128), windows(24)
    ((4, 8, 16, 32, 128), (6, 24))
    """
    parts = (length // part for part in WINDOW_PARTS if length % part == 0)
    return (*(window for window in parts if window >= LEAST_WINDOW), length)


class ProgressiveSize(Method):
    """The size of the inputs grows with progress."""

    name = "progressive-size"
    writes = frozenset({"size"})
    needs = frozenset({"sizes"})

    def __init__(self, settings: ProgressiveSizeSettings) -> None:
        self.settings = settings
        if settings.what == "window":
            self.writes = self.needs = frozenset({"window"})  # type: ignore[misc]
        self._sizes: tuple[int, ...] = ()
        self._border = Border(settings.what)

    def check(self, task: Task) -> None:
        """The task must have a size below the full one, unless the settings ask for none."""
        settings = self.settings
        sizes = task.sizes
        if settings.what == "window" and sizes:
            sizes = windows(sizes[-1])
        self._sizes = buckets(sizes, settings.start_frac, settings.num_buckets) if sizes else ()
        is_neutral = settings.start_frac == 1.0 or settings.until == 0.0 or settings.num_buckets == 1
        if len(self._sizes) < 2 and not is_neutral:
            raise InputError(
                Problem(
                    "--method",
                    self.name,
                    f"task {task.name} has no {settings.what} from {settings.start_frac:g} of the full one",
                    f"sizes {', '.join(map(str, task.sizes)) or 'none'}",
                    "lower `from`, or leave the method out",
                )
            )

    def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
        """The size of this step; full size is left unsaid, as everywhere."""
        size = self._size(progress.frac)
        return plan if size is None else plan.changed(**{self.settings.what: size})

    def boundary(self, work: Work, progress: Progress) -> None:
        """Tell where the size changes."""
        if len(self._sizes) > 1:
            size = self._size(progress.frac) or self._sizes[-1]
            self._border.see(work, size, **{self.settings.what: size})

    def _size(self, frac: float) -> int | None:
        """The size at this progress; None is the full one."""
        until, number = self.settings.until, len(self._sizes)
        if number < 2 or frac >= until:
            return None
        return self._sizes[int(frac / until * (number - 1))]

    def state_dict(self) -> dict[str, Any]:
        """The size that was told."""
        return {"told": self._border.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self._border.value = state["told"]


@METHODS.register("progressive-size")
def progressive_size(settings: dict[str, str]) -> Method:
    """Short sequences or low resolution first, full size for the end."""
    read = Settings("progressive-size", settings)
    found = ProgressiveSizeSettings(
        start_frac=read.number("from", 0.125, 0.001, 1.0),
        until=read.number("until", 0.7, 0.0, 0.9),
        num_buckets=read.count("buckets", 4, 1, 8),
        what=cast("What", read.word("what", "size", get_args(What))),
    )
    read.done()
    return ProgressiveSize(found)
