"""The projection of a trace by names: what the command calls, and `simtool.project` is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from simtool.errors import InputError, Problem
from simtool.profiles.find import default_library
from simtool.transfer.constants import Transfer
from simtool.transfer.project import Projector
from simtool.transfer.projection import Projection
from simtool.transfer.source import device_profile, load, named

CONSTANTS = "eager"
"""Name of the profile with the constants of a transfer."""


def project(
    trace: str | Path,
    to: str,
    *,
    source: str | None = None,
    rank: int | None = None,
    power_limit_w: float | None = None,
    profiles: Sequence[Path] = (),
) -> Projection:
    """What the device work of a trace takes on another accelerator, op by op; nothing is written to disk.

    Args:
        trace: a trace of the PyTorch profiler or Chakra, or a trace folder.
        to: the accelerator, name of a hardware profile.
        source: the accelerator that was measured; by default what the trace says.
        rank: which one, of a trace of several.
        power_limit_w: of the target's board [W]; by default its profile's.
        profiles: folders with profiles of your own, searched before the shipped ones.

    Raises:
        InputError: for a trace that cannot be read, that holds no device work or several ranks; for a device
            that no profile describes, or that has no rate for the formats of the trace.
    """
    library = default_library(profiles)
    target = named(library, to, "--to")
    if power_limit_w is not None and not 0 < power_limit_w < _MAX_POWER_W:
        found, allowed = f"found {power_limit_w:g} W", f"above 0 and below {_MAX_POWER_W:g} W"
        raise InputError(Problem("--power-limit", "", found, allowed, "give the limit of one board"))
    loaded = load(Path(trace), rank)
    projector = Projector(
        source=device_profile(loaded, library, source), target=target, library=library,
        constants=cast("Transfer", library.get("transfer", CONSTANTS)), power_limit_w=power_limit_w,
        where=loaded.where,
    )  # fmt: skip
    return projector.project(loaded.traced, loaded.energy_j)


_MAX_POWER_W = 1e6
