"""A hardware profile from traces of anybody's profiler: what `simtool calibrate TRACE...` does.

The fits begin at a profile, and only what the traces tell leaves it: curves of products, attention and
memory-bound work, the links of the fast domain, power by what the device does. Everything else is written as
that profile has it, and named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simtool import __version__
from simtool.calibrate.prior_fit import PriorFit
from simtool.calibrate.profiled_calls import Call, Coverage, calls_of, coverage
from simtool.calibrate.profiled_cap import fit_cap
from simtool.calibrate.profiled_curves import (
    ClassFit,
    believable,
    fit_attention,
    fit_gemm,
    fit_memory,
)
from simtool.calibrate.profiled_hardware import OPTION, Origin, origin
from simtool.calibrate.profiled_launch import LaunchFacts, launch_facts
from simtool.calibrate.profiled_links import LinkFit, fit_links
from simtool.calibrate.profiled_power import PowerFit, fit_power
from simtool.calibrate.profiled_runs import Run
from simtool.calibrate.profiled_sections import efficiency_section, network_file, on_one_line, power_section
from simtool.calibrate.profiled_software import SoftwareFit, fit_software
from simtool.calibrate.trace_profile import MAKERS_FIGURES, MAX_NAME, check_profile, write_files
from simtool.config.dump import dump_yaml
from simtool.config.marks import Keys
from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.trace.source import counted

IMPOSSIBLE_FRAC = 0.5
"""Share of the time of products above the peak rate from which on the device is not what it was taken for."""
MAX_NOTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledCalibration:
    """A profile as text, and everything that it was made of."""

    name: str
    source: str
    """What every fitted number names as its source."""
    files: Mapping[str, str]
    """Text by path below the folder of the profile."""
    origin: Origin
    runs: tuple[Run, ...]
    covered: Mapping[str, Coverage]
    """By class of work."""
    classes: Mapping[str, ClassFit]
    """Of gemm, attention and memory."""
    power: PowerFit
    cap: tuple[PriorFit | None, str]
    """Answer to a cap, or why it is not known."""
    links: LinkFit
    launch: LaunchFacts
    software: SoftwareFit | None
    """None where no framework was named."""
    notes: tuple[str, ...]

    def write(self, folder: Path, *, force: bool = False) -> list[Path]:
        """Write the files; none if one of them exists with another content.

        Raises:
            OutputError: a file exists already, or cannot be written.
        """
        return write_files(self.files, folder, force=force)

    @property
    def fits(self) -> dict[str, tuple[PriorFit | None, str]]:
        """Every fit by what it is of, and why there is none."""
        found = {name: (one.fit, one.reason) for name, one in self.classes.items()}
        return {
            **found,
            "links": (self.links.fit, self.links.reason),
            "power": (self.power.fit, self.power.reason),
            "cap": self.cap,
        }


def calibrate_runs(
    runs: Sequence[Run], name: str, library: ProfileLibrary, *, hardware: str | None = None,
    software: str | None = None, seed: int = 0,
) -> ProfiledCalibration:  # fmt: skip
    """A profile of the device that runs were profiled on.

    Args:
        runs: of one kind of device.
        name: of the profile.
        library: where `hardware` is found.
        hardware: profile or family at which the fits begin; None for the profile that the device's name means.
        software: profile of the framework that ran; None leaves frameworks alone.
        seed: of the draw of what is held out together.

    Raises:
        InputError: several kinds of device, an unknown one, or traces that tell nothing that a profile says.
    """
    begin = origin(runs, hardware, library)
    framework = library.get("software", software) if software is not None else None
    accelerator = begin.hardware
    every = calls_of(runs)
    calls, odd = believable(every, accelerator)
    _check_rates(runs, calls, odd, begin)
    classes = {
        "gemm": fit_gemm(calls, accelerator, seed),
        "attention": fit_attention(calls, accelerator, seed),
        "memory": fit_memory(calls, accelerator, seed),
    }
    power = fit_power(runs, accelerator, seed)
    cap = fit_cap(power.stretches, accelerator, seed)
    links = fit_links(runs, accelerator, library, seed)
    fits = {
        **{what: one.fit for what, one in classes.items()},
        "links": links.fit,
        "power": power.fit,
        "cap": cap[0],
    }
    if not any(fit is not None and fit.is_taken for fit in fits.values()):
        raise InputError(_too_little(runs, fits, classes, power, links, cap[1]))
    source = _source(runs)
    notes = _notes(runs, begin, calls, odd, classes, power)
    trained = any(call.is_backward for call in calls)
    files = _files(name, begin, classes, power, cap[0], links, source, notes, trained=trained)
    launch = launch_facts(runs)
    found = None
    if framework is not None:
        found = fit_software(
            runs, calls, launch, classes["attention"], prior=framework, name=name,
            architecture=accelerator.accelerator.architecture, source=source,
        )  # fmt: skip
        if found.text:
            files[f"software/{name}.yaml"] = found.text
    mend = f"name traces of one device, or another profile with {OPTION}"
    check_profile(runs[0].where, name, files, library, mend)
    return ProfiledCalibration(
        name=name, source=source, files=files, origin=begin, runs=tuple(runs), covered=coverage(runs, calls),
        classes=classes, power=power, cap=cap, links=links, launch=launch, software=found, notes=tuple(notes),
    )  # fmt: skip


def _check_rates(runs: Sequence[Run], calls: Sequence[Call], odd: Sequence[Call], begin: Origin) -> None:
    kept_s, odd_s = (sum(call.total_s for call in some if call.op_class != "memory") for some in (calls, odd))
    if odd_s > IMPOSSIBLE_FRAC * (kept_s + odd_s):
        found = f"{odd_s / (kept_s + odd_s):.0%} of the time of products is of calls above the peak rate of "
        mend = f"say with {OPTION} which device it is"
        raise InputError(Problem(runs[0].where, "device_ops", f"{found}{begin.hardware.name}", "", mend))


def _too_little(
    runs: Sequence[Run], fits: Mapping[str, PriorFit | None], classes: Mapping[str, ClassFit], power: PowerFit,
    links: LinkFit, cap: str,
) -> list[Problem]:  # fmt: skip
    """Why nothing at all could be fitted."""
    where = ", ".join(run.where for run in runs)
    if not any((run.kernels.texts("shapes")[0] >= 0).any() for run in runs):
        mend = "record with record_shapes=True, or lay a power log over the ops"
        return [Problem(where, "shapes", f"none were recorded, and of power: {power.reason}", "", mend)]
    why = {what: one.reason for what, one in classes.items()} | {"links": links.reason, "power": power.reason}
    why["cap"] = cap
    mend = "record more shapes, more steps, or a power log beside the ops"
    return [
        Problem(where, what, fit.why_kept if fit is not None else why[what], "", mend)
        for what, fit in fits.items()
    ]


def _source(runs: Sequence[Run]) -> str:
    """Device, number of runs, day and versions, in one line."""
    manifest = runs[0].manifest
    words = "".join(letter if letter.isprintable() else " " for letter in manifest.device.name)
    device = " ".join(words.split())[:MAX_NAME] or "a device without a name"
    days = sorted({run.manifest.clock.started[:10] for run in runs if run.manifest.clock.started})
    parts = [f"profiler traces of {counted(len(runs), 'run')} on {device}", *days[:1]]
    software = manifest.software
    parts += [f"torch {software.torch}" if software.torch else "", software.toolkit, f"simtool {__version__}"]
    return ", ".join(part for part in parts if part)


def _notes(
    runs: Sequence[Run], begin: Origin, calls: Sequence[Call], odd: Sequence[Call], classes: Mapping[str, ClassFit],
    power: PowerFit,
) -> list[str]:  # fmt: skip
    notes = list(begin.notes)
    ranks = sorted({rank for run in runs for rank in run.kernels.ranks})
    if any(len(run.kernels.ranks) > 1 for run in runs):
        notes.append(
            f"several ranks in one trace ({', '.join(map(str, ranks[:8]))}): their calls count alike"
        )
    if odd:
        notes.append(
            f"{counted(len(odd), 'shape')} of {len(calls) + len(odd)} left out: faster than the device can be, so "
            "their shapes are not what was done"
        )
    variants = sorted({call.variant for call in calls if call.op_class == "attention" and call.variant})
    if variants and classes["attention"].is_taken:
        notes.append(
            f"attention was fitted to kernels of {', '.join(variants)}: a software profile's attention_ratio counts "
            "from there"
        )
    for what, one in classes.items():
        for rest, (num, ratio) in one.others.items():
            thing = "convolutions" if rest == "conv" else f"{rest} calls of {what}"
            notes.append(
                f"{thing}, {counted(num, 'shape')}, took {ratio:.2g} times what the curve says: not fitted"
            )
        if one.fit is not None and one.fit.fitted and not one.fit.is_taken:
            notes.append(f"{what} stayed at its prior: {one.fit.why_kept}")
    notes += power.notes
    from_runs = []
    for run in runs:
        where = f"{Path(run.where).name}: "
        from_runs += [note if note.startswith(where) else f"{where}{note}" for note in run.notes]
    if len(from_runs) > MAX_NOTES:
        from_runs = [*from_runs[:MAX_NOTES], f"{len(from_runs) - MAX_NOTES} more notes of the traces"]
    return [*notes, *from_runs]


def _files(
    name: str, begin: Origin, classes: Mapping[str, ClassFit], power: PowerFit, cap: PriorFit | None, links: LinkFit,
    source: str, notes: list[str], *, trained: bool,
) -> dict[str, str]:  # fmt: skip
    data = begin.data
    title = f"{data['title']}, calibrated from traces"
    profile: dict[str, Any] = {
        "schema": "simtool/accelerator/1",
        "extends": f"efficiency/{name}.yaml",
        "name": name,
        "title": title,
        **{key: data[key] for key in (*MAKERS_FIGURES, "fastest") if key in data},
        "power": power_section(power, cap, data["power"], source, notes),
    }
    files: dict[str, str] = {}
    if links.fit is not None and links.fit.is_taken:
        profile["scale_up"] = {**data["scale_up"], "network": name}
        files[f"networks/{name}.yaml"] = network_file(links, name, f"Fast domain of {name}", source)
    profile["notes"] = "; ".join([f"fits began at {begin.curves_of}", *notes])
    comments: dict[Keys, str] = {}
    section = {
        "extends": f"../families/{data['architecture']}.yaml",
        "efficiency": efficiency_section(classes, data["efficiency"], source, comments, trained=trained),
    }
    footline = "# Written by simtool calibrate: do not edit, calibrate again.\n"
    files[f"{name}.yaml"] = f"# {title}.\n{footline}{dump_yaml(on_one_line(profile))}"
    files[f"efficiency/{name}.yaml"] = (
        f"# How much of its peak rates {name} reaches, fitted to profiled runs from the curves of {begin.curves_of}.\n"
        f"{footline}{dump_yaml(on_one_line(section), comments)}"
    )
    return files
