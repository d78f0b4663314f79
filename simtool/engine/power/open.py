"""Which meter: the best that this machine offers, and the reasons why the better ones are not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from simtool.engine.power.amd import open_amd
from simtool.engine.power.meter import NoMeter, PowerMeter, UnavailableError
from simtool.engine.power.modelled import WATTS_PER_BUSY_THREAD, ProcessorSecondsProbe
from simtool.engine.power.nvml import open_nvml
from simtool.engine.power.probe import Probe
from simtool.engine.power.rapl import FOLDER, open_rapl
from simtool.engine.power.sampled import SampledMeter
from simtool.engine.power.sampler import ThreadSampler
from simtool.errors import InputError, Problem, did_you_mean
from simtool.provenance import Sourced
from simtool.rng import stream

Preference = Literal["auto", "nvml", "amd", "rapl", "modelled", "none"]


def open_meter(
    prefer: str = "auto",
    device: object = None,
    *,
    seed: int = 0,
    powercap: Path = FOLDER,
    watts_per_thread: Sourced = WATTS_PER_BUSY_THREAD,
) -> PowerMeter:
    """A meter for one device, not yet started.

    ``"auto"`` takes the first of NVML, amdsmi, RAPL and the model that works; for a named accelerator it never falls
    back to the processor, whose energy would stand for another device. Reasons of what was passed over are in the
    report's notes.

    Args:
        prefer: which source; anything but ``"auto"`` is taken or refused, never replaced.
        device: None for the first that is found, ``"cpu"``, ``"cuda:1"``, a number as CUDA counts, a GPU's
            identifier, or anything whose text is one of these (a torch.device).
        seed: of the stream that draws the periods between two readings.
        powercap: the kernel's folder of RAPL domains.
        watts_per_thread: for the model.

    Raises:
        InputError: an unknown preference, or one that cannot be had here, with the reason and what would help.

    >>> open_meter("none").kind
    'none'
    """
    if prefer not in get_args(Preference):
        known = get_args(Preference)
        problem = Problem("", "power", f"unknown power source {prefer!r}", "", did_you_mean(prefer, known))
        raise InputError(problem)
    name = "" if device is None else str(device)
    openers: dict[str, Callable[[], Probe]] = {
        "nvml": lambda: open_nvml(name),
        "amd": lambda: open_amd(name),
        "rapl": lambda: open_rapl(powercap),
        "modelled": lambda: ProcessorSecondsProbe(watts_per_thread),
    }
    if prefer == "none":
        return NoMeter(["no meter was asked for"])
    wanted = _order(name) if prefer == "auto" else (prefer,)
    reasons: list[str] = []
    for source in wanted:
        try:
            probe = openers[source]()
        except UnavailableError as refusal:
            if prefer != "auto":
                raise InputError(Problem("", "power", str(refusal))) from None
            reasons.append(str(refusal))
        else:
            return SampledMeter(
                probe, ThreadSampler(stream(seed, "power-meter", "period")), notes=tuple(reasons)
            )
    return NoMeter(reasons)


def _order(device: str) -> tuple[str, ...]:
    if device == "cpu":
        return ("rapl", "modelled")
    return ("nvml", "amd") if device else ("nvml", "amd", "rapl", "modelled")
