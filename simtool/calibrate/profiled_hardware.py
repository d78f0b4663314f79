"""Which hardware profile the priors come from, and whether the traces are of such a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simtool.calibrate.profiled_curves import Hardware
from simtool.calibrate.profiled_runs import Run
from simtool.calibrate.trace_tables import UNKNOWN_CACHE_BYTES
from simtool.errors import InputError, Problem, did_you_mean
from simtool.profiles.curves import Efficiency
from simtool.profiles.find import ProfileLibrary, load_profile
from simtool.trace.device_name import nearest_size, profile_names

OPTION = "--hardware"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The profile that a calibration begins at."""

    hardware: Hardware
    data: Mapping[str, Any]
    """What the profile says, as plain data; of a family the curves, beside the figures of its maker's part."""
    curves_of: str
    """Profile or family whose curves are the priors."""
    notes: tuple[str, ...]


def one_device(runs: Sequence[Run]) -> str:
    """The name of the device that all runs are of, which may be empty.

    Raises:
        InputError: several kinds of device.
    """
    by_name: dict[str, list[str]] = {}
    for run in runs:
        by_name.setdefault(run.device_name, []).append(run.where)
    named = [name for name in by_name if name]
    if len(named) > 1:
        mend = "calibrate from the traces of one kind of device at a time"
        raise InputError(
            [
                Problem(where, "device", f"found {name!r}", "all traces of one kind of device", mend)
                for name in named
                for where in by_name[name]
            ]
        )
    return named[0] if named else ""


def origin(runs: Sequence[Run], name: str | None, library: ProfileLibrary) -> Origin:
    """The profile of `--hardware`, or the one that the device's own name means.

    Raises:
        InputError: a device that no profile is known of, a name that is neither a profile nor a family, or a
            profile of other hardware than the traces are of.
    """
    device = one_device(runs)
    own = _own_profile(runs, device, library)
    if name is None:
        if not own:
            found = (
                f"found {device!r}, which no hardware profile is known of"
                if device
                else "the device has no name"
            )
            mend = f"say with {OPTION} which profile or family it resembles"
            raise InputError(Problem(runs[0].where, "device", found, "", mend))
        return _origin(own, own, library, runs, (f"the device's name means {own}",))
    families = {path.stem for folder in library.folders for path in (folder / "families").glob("*.yaml")}
    if name in library.names("accelerator"):
        return _origin(name, name, library, runs, _compared(name, own, device, library))
    if name in families:
        if not own or library.get("accelerator", own).architecture != name:
            found = f"{name} is a family, which has no peak rates, and " + (
                f"{device!r} is a {own}, of another family" if own else f"no profile is known of {device!r}"
            )
            known = [
                one
                for one in library.names("accelerator")
                if library.get("accelerator", one).architecture == name
            ]
            raise InputError(
                Problem(OPTION, "", found, f"known: {', '.join(known)}", "name an accelerator's profile")
            )
        return _origin(own, name, library, runs, ())
    hint = did_you_mean(name.lower(), [*library.names("accelerator"), *families])
    mend = "`simtool list hardware` shows all profiles"
    raise InputError(Problem(OPTION, "", f"unknown accelerator or family {name!r}", hint, mend))


def _own_profile(runs: Sequence[Run], device: str, library: ProfileLibrary) -> str:
    """The profile that a device's name means; empty where none is known."""
    names = profile_names(device, library.names("accelerator")) if device else []
    if len(names) < 2:
        return names[0] if names else ""
    sizes = {one: float(library.get("accelerator", one).memory.size) for one in names}
    told = next(
        (run.manifest.device.memory_size_bytes for run in runs if run.manifest.device.memory_size_bytes), None
    )
    return nearest_size(names, sizes, told)


def _compared(name: str, own: str, device: str, library: ProfileLibrary) -> tuple[str, ...]:
    """What is to be said where the device calls itself otherwise.

    Raises:
        InputError: it is of another architecture: every share of a peak rate would be wrong.
    """
    if not own or own == name:
        return (
            ()
            if own
            else (f"no profile is known of {device or 'a device without a name'!r}: taken for a {name}",)
        )
    architectures = [library.get("accelerator", one).architecture for one in (name, own)]
    if architectures[0] != architectures[1]:
        found = (
            f"found {name} ({architectures[0]}), but the traces are of {device!r} ({own}, {architectures[1]})"
        )
        mend = f"write {OPTION} {own}, or leave the option out"
        raise InputError(Problem(OPTION, "", found, "a profile of the device's architecture", mend))
    return (
        f"the device calls itself {device!r}, which {own} describes: rates and memory here are those of {name}",
    )


def _origin(
    name: str, curves: str, library: ProfileLibrary, runs: Sequence[Run], notes: tuple[str, ...]
) -> Origin:
    data = library.data("accelerator", name)
    accelerator = library.get("accelerator", name)
    if curves != name:
        path = next(
            path for folder in library.folders if (path := folder / "efficiency" / f"{curves}.yaml").is_file()
        )
        data["efficiency"] = load_profile(path).data["efficiency"]
        accelerator = accelerator.model_copy(
            update={"efficiency": Efficiency.model_validate(data["efficiency"])}
        )
        notes = (*notes, f"rates and memory are those of {name}, priors of the curves those of {curves}")
    told = [run.manifest.device for run in runs]
    processors = next((one.num_processors for one in told if one.num_processors), None)
    if processors and accelerator.num_processors and processors != accelerator.num_processors:
        notes = (
            *notes,
            f"the traces tell {processors} processors, {name} {accelerator.num_processors}: the traces count",
        )
        accelerator = accelerator.model_copy(update={"num_processors": processors})
        data["num_processors"] = processors
    cache = next((one.cache_size_bytes for one in told if one.cache_size_bytes), None)
    hardware = Hardware(name=name, accelerator=accelerator, cache_bytes=cache or UNKNOWN_CACHE_BYTES)
    return Origin(hardware=hardware, data=data, curves_of=curves, notes=notes)
