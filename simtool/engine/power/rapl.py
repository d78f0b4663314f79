"""Processor packages and memory through the kernel's power capping folders (RAPL: Intel, AMD from Zen on).

Each domain has a counter in microjoules that wraps at a range of its own, so each is unwrapped by itself. Cores and
graphics are part of their package, and the platform domain ``psys`` holds the packages: adding them would count
twice. The memory domain is not part of the package; many AMD machines do not have it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from simtool.engine.power.counter import EnergyCounter
from simtool.engine.power.meter import UnavailableError
from simtool.engine.power.probe import Identity, ProbeError, ProbeLostError, Reading

FOLDER = Path("/sys/class/powercap")
MICRO = 1e-6
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?\Z")  # not intel-rapl-mmio, a second door to the same package
_MEND = "run as root, or let this user read: chmod a+r /sys/class/powercap/intel-rapl*/energy_uj"


@dataclass(slots=True)
class _Domain:
    name: str
    file: Path
    counter: EnergyCounter


def open_rapl(folder: Path = FOLDER) -> RaplProbe:
    """Opens all packages and memory domains of the machine.

    Raises:
        UnavailableError: no such folder, no domain, or no permission (root alone since 2020).
    """
    if not folder.is_dir():
        raise UnavailableError("rapl", f"the folder {folder} does not exist", "")
    found: dict[str, list[Path]] = {"package": [], "dram": [], "psys": []}
    for zone in sorted(folder.iterdir()):
        name = _read_text(zone / "name") if _ZONE.fullmatch(zone.name) else ""
        kind = name.partition("-")[0]
        if kind in found:
            found[kind].append(zone)
    chosen = found["package"] + found["dram"] if found["package"] else found["psys"]
    if not chosen:
        raise UnavailableError("rapl", f"{folder} has no domain of a package", "")
    notes = []
    if found["package"] and found["psys"]:
        notes.append("the platform domain (psys) holds the packages and is left out")
    if found["package"] and not found["dram"]:
        notes.append("this machine has no memory domain: the energy is of the packages alone")
    scope = "platform"
    if found["package"]:
        scope = "cpu-package-dram" if found["dram"] else "cpu-package"
    return RaplProbe([_domain(zone) for zone in chosen], scope, tuple(notes))


def _domain(zone: Path) -> _Domain:
    file = zone / "energy_uj"
    try:
        file.read_text("ascii")
        range_j = float((zone / "max_energy_range_uj").read_text("ascii")) * MICRO
    except PermissionError:
        raise UnavailableError("rapl", f"no permission to read {file}", _MEND) from None
    except (OSError, ValueError) as error:
        raise UnavailableError("rapl", f"{file} cannot be read: {error}", "") from None
    return _Domain(zone.name, file, EnergyCounter(moduli_j=(range_j,), longest_tick_s=0.001))


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return ""


class RaplProbe:
    """The sum of the domains, unwrapped."""

    def __init__(self, domains: list[_Domain], scope: str, notes: tuple[str, ...]) -> None:
        self._domains = domains
        self.identity = Identity(
            kind="measured",
            source="rapl",
            scope=scope,
            device=", ".join(domain.name for domain in domains),
            longest_tick_s=0.001,
            notes=notes,
        )
        self._num_reads = 0

    def read(self) -> Reading:
        """The sum alone; the meter derives the power."""
        return Reading(energy_counter_j=self.read_counter_j())

    def read_counter_j(self) -> float:
        """Energy of all domains since they were opened [J]."""
        raw_j = [self._raw_j(domain) for domain in self._domains]
        self._num_reads += 1
        for domain, now_j in zip(self._domains, raw_j, strict=True):
            # Reads are seconds apart at most, while a range lasts minutes: one wrap at most lies in between.
            domain.counter.feed(float(self._num_reads), now_j)
        return math.fsum(domain.counter.total_j for domain in self._domains)

    def notes(self) -> tuple[str, ...]:
        """Wraps and resets."""
        wraps = sum(domain.counter.num_wraps for domain in self._domains)
        resets = sum(len(domain.counter.holes) for domain in self._domains)
        told = []
        if wraps:
            told.append(f"counters wrapped {wraps} times; this was undone")
        if resets:
            told.append(
                f"counters started anew {resets} times (suspended?): what was used meanwhile is missing"
            )
        return tuple(told)

    def close(self) -> None:
        """Nothing is held open."""

    def _raw_j(self, domain: _Domain) -> float:
        try:
            return float(domain.file.read_text("ascii")) * MICRO
        except FileNotFoundError:
            raise ProbeLostError(f"rapl: {domain.file} is gone") from None
        except PermissionError:
            raise ProbeLostError(f"rapl: {domain.file} may not be read any more") from None
        except (OSError, ValueError) as error:
            raise ProbeError(f"rapl: {domain.file}: {error}") from None
