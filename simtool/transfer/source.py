"""What a person names as a trace: files of other tools, or a trace folder; which device, which rank."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simtool.errors import InputError, Problem, did_you_mean
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.schema import Accelerator
from simtool.trace.device_name import nearest_size, profile_names
from simtool.trace.importing import import_trace
from simtool.trace.kernels import KernelTable
from simtool.trace.manifest import Device
from simtool.trace.reader import Trace, read_trace
from simtool.transfer.traced import Traced, from_kernels, from_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One rank's device work and its device."""

    traced: Traced
    device: Device
    energy_j: float | None
    """Metered over its steps."""
    where: str
    notes: tuple[str, ...]


def load(path: Path, rank: int | None = None) -> Loaded:
    """The device work of one rank.

    Args:
        path: a trace of the PyTorch profiler or Chakra, or a trace folder.
        rank: which one, where there are several.

    Raises:
        InputError: it cannot be read; it holds no device work; it holds several ranks and none was chosen.
    """
    return _from_folder(path, rank) if path.is_dir() else _from_file(path, rank)


def _from_file(path: Path, rank: int | None) -> Loaded:
    imported = import_trace(path, rank=rank)
    kernels = _one_rank(imported.kernels, str(path), rank)
    energies = [step.energy_j for step in imported.steps]
    return Loaded(
        traced=from_kernels(kernels, len(imported.steps)), device=imported.manifest.device,
        energy_j=_sum(energies), where=str(path), notes=imported.notes,
    )  # fmt: skip


def _from_folder(folder: Path, rank: int | None) -> Loaded:
    trace = read_trace(folder)
    where = str(folder)
    if trace.device_ops.num_rows:
        kernels = _one_rank(KernelTable(trace.device_ops), where, rank)
        chosen = kernels.ranks[0]
        steps = [row for row in trace.device_steps.to_pylist() if row["rank"] == chosen]
        traced = from_kernels(kernels, max(1, len(steps)))
        energy_j = _sum([row["energy_j"] for row in steps])
    else:
        traced, energy_j = _recorded(trace, where), None
    return Loaded(
        traced=traced, device=trace.manifest.device, energy_j=energy_j, where=where, notes=trace.manifest.notes
    )  # fmt: skip


def _recorded(trace: Trace, where: str) -> Traced:
    traced = from_steps(trace.ops, trace.signatures)
    if not traced.ops:
        found = "holds no device work: neither kernels of a profiler nor timed operations of steps"
        raise InputError(
            Problem(where, "", found, "", "import a profiler's trace, or measure with the profiler on")
        )
    return traced


def _one_rank(kernels: KernelTable, where: str, rank: int | None) -> KernelTable:
    ranks = kernels.ranks
    if not ranks:
        found = "holds no kernel of a device"
        mend = "name a trace of the PyTorch profiler or Chakra with device work"
        raise InputError(Problem(where, "", found, "", mend))
    if rank is None and len(ranks) == 1:
        chosen = kernels
    elif rank is None or rank not in ranks:
        found = f"holds {len(ranks)} rank{'s' * (len(ranks) > 1)}" + (
            f", none of them {rank}" if rank is not None else ""
        )
        listed = ", ".join(map(str, ranks[:8])) + (", ..." if len(ranks) > 8 else "")
        raise InputError(Problem(where, "rank", found, f"ranks {listed}", "choose one with --rank"))
    else:
        chosen = kernels.of_rank(rank)
    if not float(chosen.numbers("duration_s").sum()) > 0:
        raise InputError(Problem(where, "", "holds only kernels of no duration", "", "record it again"))
    return chosen


def _sum(energies: list[float | None]) -> float | None:
    known = [energy for energy in energies if energy is not None]
    return sum(known) if known and len(known) == len(energies) else None


def device_profile(loaded: Loaded, library: ProfileLibrary, name: str | None = None) -> Accelerator:
    """The profile of the device that was measured.

    Args:
        loaded: the trace.
        library: finds profiles.
        name: a profile's, in place of what the trace says.

    Raises:
        InputError: no profile is known of it.
    """
    if name is not None:
        return named(library, name, "--from")
    device, known = loaded.device, library.names("accelerator")
    names = profile_names(device.name, known) if device.name else []
    if not names:
        found = (
            f"found {device.name!r}, which no profile describes" if device.name else "the trace names none"
        )
        mend = (
            "name the profile of the device that was measured with --from; `simtool list hardware` shows all"
        )
        raise InputError(
            Problem(loaded.where, "device", found, did_you_mean(device.name.lower(), known), mend)
        )
    sizes = {one: float(library.get("accelerator", one).memory.size) for one in names}
    return library.get("accelerator", nearest_size(names, sizes, device.memory_size_bytes))


def named(library: ProfileLibrary, name: str, option: str) -> Accelerator:
    """A profile by the name that stands behind an option.

    Raises:
        InputError: no such profile, with near matches.
    """
    known = library.names("accelerator")
    if name not in known:
        mend = "`simtool list hardware` shows all profiles"
        raise InputError(
            Problem(option, "", f"unknown accelerator {name!r}", did_you_mean(name.lower(), known), mend)
        )
    return library.get("accelerator", name)
