"""How every figure looks: one palette, one type size, thin lines, units on the axes, a source line.

Colours are the eight of Okabe and Ito (https://jfly.uni-koeln.de/color/), told apart with every
common form of colour blindness. Matplotlib is imported on first use, without a window system.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from simtool import units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, YELLOW, BLACK = "#56B4E9", "#CC79A7", "#F0E442", "#000000"
WINE = "#882255"
"""Of Paul Tol's muted scheme: dark beside all eight, for a ninth area or a line over them."""
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, BLACK)
GREY, LIGHT_GREY, FAINT = "#666666", "#BBBBBB", "#E4E4E4"

STATE_COLOURS = {
    "compute": BLUE,
    "exposed_communication": ORANGE,
    "bubble": LIGHT_GREY,
    "checkpoint": GREEN,
    "restart": SKY,
    "lost_work": VERMILION,
    "idle": FAINT,
    "down": WINE,
}
COMPONENT_COLOURS = {"accelerator": BLUE, "host": SKY, "network": ORANGE, "building": LIGHT_GREY}
WITHOUT, WITH = GREY, BLUE
"""Colours of a run without and with its method."""

WIDTH_IN = 7.0
"""Two columns of a journal page."""

RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # travels with matplotlib: the same everywhere
    "font.size": 7.5,
    "axes.titlesize": 8.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 6.0,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "xtick.minor.size": 1.8,
    "ytick.minor.size": 1.8,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.borderaxespad": 0.2,
    "hatch.linewidth": 0.5,
    "figure.dpi": 100,
    "savefig.dpi": 220,
    "savefig.facecolor": "white",
    "svg.hashsalt": "simtool",
    "svg.fonttype": "path",
    "path.simplify": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save in this style, whatever the reader's own settings are."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(cast("Any", RC))
        yield


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure that no window and no global list knows about."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05, wspace=0.04, hspace=0.04)
    figure = Figure(figsize=(width_in, height_in), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def footer(figure: Figure, text: str) -> None:
    """The source line below a figure: which run, which numbers it rests on."""
    lines = _footer_lines(text, figure.get_figwidth())
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=5.8, color=GREY)


def footer_height_in(text: str, width_in: float) -> float:
    """What a long footer takes in height, which a figure is to have in addition."""
    return 0.1 * max(len(_footer_lines(text, width_in)) - 2, 0)


def _footer_lines(text: str, width_in: float) -> list[str]:
    return [line for part in text.splitlines() for line in textwrap.wrap(part, int(24 * width_in)) or [""]]


def headline(figure: Figure, text: str) -> None:
    """What the figure shows, above its left edge."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=9.0, fontweight="bold")


def cased(width: float = 1.2) -> list[Any]:
    """A white edge along a line, which parts it from areas of any colour: `path_effects` of the line."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=width + 1.1, foreground="white"), Normal()]


def panel(axes: Axes, letter: str, text: str = "") -> None:
    """The letter of a panel, as journals number them, and what it shows."""
    axes.set_title(f"{letter}  {text}" if text else letter)


def key(axes: Axes, colours: dict[str, str], **where: Any) -> None:
    """A key of colours by name."""
    from matplotlib.patches import Patch

    axes.legend(handles=[Patch(color=colour, label=name) for name, colour in colours.items()], **where)


def rule(axes: Axes, axis: str) -> None:
    """Faint lines to read values off one axis."""
    axes.grid(visible=True, axis="x" if axis == "x" else "y", which="major")


MONEY = ((1e9, "billion USD"), (1e6, "million USD"), (1e3, "thousand USD"), (1.0, "USD"))
ENERGY = (
    (1e9 * units.JOULES_PER_KWH, "TWh"),
    (1e6 * units.JOULES_PER_KWH, "GWh"),
    (1e3 * units.JOULES_PER_KWH, "MWh"),
    (units.JOULES_PER_KWH, "kWh"),
    (1.0, "J"),
)
POWER = ((1e9, "GW"), (1e6, "MW"), (1e3, "kW"), (1.0, "W"))
DURATION = (
    (3 * units.SECONDS_PER_DAY, "days"),
    (3 * units.SECONDS_PER_HOUR, "hours"),
    (3 * units.SECONDS_PER_MINUTE, "minutes"),
    (1.0, "s"),
)
SHORT_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
CARBON = (
    (1e6 * units.KILOGRAMS_PER_TONNE, "million tCO2e"),
    (1e3 * units.KILOGRAMS_PER_TONNE, "thousand tCO2e"),
    (units.KILOGRAMS_PER_TONNE, "tCO2e"),
    (1.0, "kgCO2e"),
)
_WHOLE = {
    "days": units.SECONDS_PER_DAY,
    "hours": units.SECONDS_PER_HOUR,
    "minutes": units.SECONDS_PER_MINUTE,
}


def axis_unit(largest: float, scales: Sequence[tuple[float, str]]) -> tuple[float, str]:
    """The unit in which an axis that ends at `largest` (base unit) is read best, and its size.

    >>> axis_unit(2.5e6, MONEY)
    (1000000.0, 'million USD')
    >>> axis_unit(172800.0, DURATION)
    (3600.0, 'hours')
    """
    magnitude = abs(largest) if math.isfinite(largest) else 0.0
    threshold, name = next((pair for pair in scales if magnitude >= pair[0]), scales[-1])
    return _WHOLE.get(name, threshold), name


def label(state: str) -> str:
    """A ledger state, component or step part as words.

    >>> label("exposed_communication")
    'exposed communication'
    """
    return state.replace("_", " ")


def percent(fraction: float) -> str:
    """A share as people write it: one decimal below ten per cent.

    >>> percent(0.614), percent(0.0312), percent(0.0002)
    ('61 %', '3.1 %', '<0.1 %')
    """
    if 0 < abs(fraction) < 0.0005:
        return "<0.1 %"
    return f"{100 * fraction:.1f} %" if abs(fraction) < 0.0995 else f"{100 * fraction:.0f} %"


def plain_ticks(axis: Axis, most: int = 6) -> None:
    """Few ticks of an axis, with thousands separators."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))


def log_ticks(axis: Axis, formatter: Callable[[float, float | None], str], few: float = 2.5) -> None:
    """Ticks of a logarithmic axis that has its limits: at 1, 2 and 5 up to ``few`` decades, at 1 alone above."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = math.log10(max(high, 1e-300) / max(low, 1e-300))
    axis.set_major_locator(LogLocator(subs=(1.0,) if decades > few else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(NullFormatter())


def plain_number(value: float, _position: float | None = None) -> str:
    """A tick of a logarithmic axis as people write it, not as a power of ten.

    >>> plain_number(0.5), plain_number(2000.0), plain_number(50_000.0)
    ('0.5', '2,000', '50k')
    """
    if value >= 1e4:
        return f"{value / 1e6:,g}M" if value >= 1e6 else f"{value / 1e3:,g}k"
    return f"{value:,.0f}" if value >= 1 else f"{value:.3g}"
