"""From the trace folder of a suite to a hardware profile: what `simtool calibrate` does.

Two files: the profile, and beside it, in ``efficiency/``, the curves, in the form of the shipped ones, so
that the machine models read both alike. What was measured says so; what was not is left out, or stays as
the family of the device assumes it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simtool.calibrate.trace_figures import efficiency_section, power_section, quantity
from simtool.calibrate.trace_fits import Findings, findings, main_dtype
from simtool.calibrate.trace_rows import kernels_of
from simtool.calibrate.trace_tables import PROFILE_DTYPES
from simtool.config.dump import dump_yaml
from simtool.errors import InputError, OutputError, Problem, did_you_mean, output_error
from simtool.machine.gemm import TILES
from simtool.profiles.find import ProfileLibrary, load_profile, shipped_folder
from simtool.result.place import make_folders, remove_empty
from simtool.units import BYTES_PER_GIB, GIGA, TERA

if TYPE_CHECKING:
    from simtool.config.marks import Keys
    from simtool.trace import Trace
    from simtool.trace.manifest import Manifest

TRACES = "traces"
"""Folder of the shipped traces, below that of the shipped profiles."""
GENERIC_NODES = {"cpu": "generic-1", "cuda": "generic-8"}
VENDORS = ("NVIDIA", "AMD", "Intel", "ARM", "Apple", "IBM")
MAKERS_FIGURES = (
    "vendor", "form_factor", "launch", "status", "node", "num_processors", "peak", "memory", "scale_up", "host_link",
    "price", "embodied",
)  # fmt: skip
"""What a profile takes over from the one that it is like."""
MAX_NAME = 200
"""Letters of a device's name that a profile keeps."""
FAR_OFF = 1.0
"""Error of one held-out product in ten from which on the profile says what its curve is not for."""
UNSETTLED = frozenset({"tf32", "fp8"})
"""Rates that profiles check against others by the maker's ratio, which no measured maximum keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A profile as text, and what it was made of."""

    name: str
    source: str
    """What every number of it names as its source."""
    files: Mapping[str, str]
    """Text by path below the folder of the profile."""
    found: Findings
    notes: tuple[str, ...]

    def write(self, folder: Path, *, force: bool = False) -> list[Path]:
        """Write the files; none if one of them exists with another content.

        Raises:
            OutputError: a file exists already, or cannot be written.
        """
        return write_files(self.files, folder, force=force)


def write_files(files: Mapping[str, str], folder: Path, *, force: bool = False) -> list[Path]:
    """Write texts by their path below a folder; none if one of them exists with another content.

    Raises:
        OutputError: a file exists already, or cannot be written.
    """
    paths = {folder / place: text for place, text in files.items()}
    for path, text in paths.items():
        if path.exists() and not force and _text_of(path) != text:
            raise OutputError(str(path), "exists already", "choose another name, or use --force")
    partial = {path: path.with_name(f".{path.name}.{os.getpid()}.partial") for path in paths}
    made: list[Path] = []
    path = folder
    try:
        # all of them beside, then each under its name: a full disk leaves none
        for path, text in paths.items():
            made += make_folders(path.parent)
            partial[path].write_text(text, encoding="utf-8", newline="\n")
        for path, beside in partial.items():
            beside.replace(path)
    except OSError as error:
        raise output_error(error, path) from None
    finally:
        for beside in partial.values():
            with suppress(OSError):
                beside.unlink(missing_ok=True)
        remove_empty(made)
    return list(paths)


def find_trace(name_or_path: str) -> Path:
    """Where a trace lies: the folder of a shipped one by its name or the end of it, or a path.

    Raises:
        InputError: neither; near matches are named.
    """
    shipped = {path.name: path for path in sorted((shipped_folder("hardware_profiles") / TRACES).glob("*/"))}
    near = [
        path for known, path in shipped.items() if known == name_or_path or known.endswith(f"-{name_or_path}")
    ]
    if len(near) == 1:
        return near[0]
    path = Path(name_or_path)
    if path.exists():
        return path
    hint = did_you_mean(name_or_path, shipped)
    raise InputError(
        Problem(
            "trace",
            "",
            f"found no folder {name_or_path!r}",
            hint,
            "name the folder of a trace, or a file of a profiler",
        )
    )


def calibrate_trace(
    trace: Trace, name: str, library: ProfileLibrary, *, like: str | None = None, seed: int = 0
) -> Calibration:
    """A profile of the device that a suite measured.

    Args:
        trace: of `simtool measure --suite`.
        name: of the profile.
        library: where `like` is found.
        like: accelerator whose maker's figures hold for this one too: rates, memory, links, price.
        seed: of the draw of shapes that are held out together.

    Raises:
        InputError: no suite's trace, too few kernels in it, an unknown family of devices, or a profile that
            contradicts itself.
    """
    manifest = trace.manifest
    if not manifest.task.startswith("suite-"):
        what = f"is the trace of {manifest.task or 'a run'}, not of a suite"
        mend = "name the folder that 'simtool measure --suite' left"
        raise InputError(Problem(str(trace.folder), "task", what, "", mend))
    alike = library.data("accelerator", like) if like else {}
    typed = library.get("accelerator", like) if like else None
    if typed and (typed.kind == "cpu") != (manifest.device.kind == "cpu"):
        what = f"found {like}, which is not the kind of device that was measured, {manifest.device.name}"
        raise InputError(Problem("--like", "", what, "", "name an accelerator that resembles it"))
    dtype = _swept(trace)
    if typed and dtype not in typed.peak:
        what = f"{like} states no rate for {dtype}, in which the products were measured"
        raise InputError(Problem("--like", "peak", what, "", "name an accelerator that does"))
    found = findings(
        trace,
        peak_flop_per_s=float(typed.peak[dtype]) if typed else None,
        bandwidth_bytes_per_s=float(typed.memory.bandwidth) if typed else None,
        seed=seed,
    )
    family = str(alike.get("architecture") or _family(manifest, trace.folder, library))
    source = source_of(manifest)
    power = _family_power(family, library)
    profile, notes = _profile(name, manifest, found, alike, power, source)
    notes += _unfinished(trace)
    profile["notes"] = "; ".join(notes)
    comments: dict[Keys, str] = {}
    efficiency = efficiency_section(found, source, comments)
    headline = f"# {profile['title']}: fitted to a suite of measurements.\n"
    footline = "# Written by simtool calibrate: do not edit, calibrate again.\n"
    section = {"extends": f"../families/{family}.yaml", "efficiency": efficiency}
    files = {
        f"{name}.yaml": headline + footline + dump_yaml(profile),
        f"efficiency/{name}.yaml": (
            f"# How much of its peak rates {name} reaches, fitted to kernels that were timed on it.\n"
            + footline
            + dump_yaml(section, comments)
        ),
    }
    check_profile(str(trace.folder), name, files, library, "measure again, with nothing else on the machine")
    return Calibration(name=name, source=source, files=files, found=found, notes=tuple(notes))


def source_of(manifest: Manifest) -> str:
    """Device, day and versions of a trace, in one line."""
    device, software = manifest.device, manifest.software
    threads = f", {device.num_threads} thread{'s' * (device.num_threads != 1)}" if device.num_threads else ""
    driver = f", driver {device.driver}" if device.driver else ""
    return (
        f"{manifest.task.replace('-', ' ')} on {_device_name(manifest)}{threads}{driver}, "
        f"torch {software.torch}, simtool {software.simtool}, {manifest.clock.started[:10]}"
    )


def _swept(trace: Trace) -> str:
    return PROFILE_DTYPES[main_dtype(kernels_of(trace))]


def _family(manifest: Manifest, folder: Path, library: ProfileLibrary) -> str:
    known = {path.stem for part in library.folders for path in (part / "families").glob("*.yaml")}
    if manifest.device.architecture in known:
        return manifest.device.architecture
    raise InputError(
        Problem(
            str(folder),
            "device.architecture",
            f"found {manifest.device.architecture!r} for {manifest.device.name}",
            "a family of hardware profiles",
            "say with --like which accelerator it resembles",
        )
    )


def _family_power(family: str, library: ProfileLibrary) -> Mapping[str, Any]:
    """Section ``power`` of a family's file."""
    for folder in (*library.folders, shipped_folder("hardware_profiles")):
        path = folder / "families" / f"{family}.yaml"
        if path.is_file():
            section: Mapping[str, Any] = load_profile(path).data.get("power", {})
            return section
    return {}


def _profile(
    name: str,
    manifest: Manifest,
    found: Findings,
    alike: Mapping[str, Any],
    family: Mapping[str, Any],
    source: str,
) -> tuple[dict[str, Any], list[str]]:
    device = manifest.device
    notes: list[str] = []
    rates = {dtype: rate for dtype, rate in found.rates.items() if dtype not in UNSETTLED}
    measured = {
        dtype: quantity(rate / TERA, "TFLOP/s", "measured", source, 0.05) for dtype, rate in rates.items()
    }
    profile: dict[str, Any] = {
        "schema": "simtool/accelerator/1",
        "extends": f"efficiency/{name}.yaml",
        "name": name,
        "title": _title(manifest),
    }
    if alike:
        profile |= {key: alike[key] for key in MAKERS_FIGURES if key in alike}
        profile["fastest"] = _fastest(alike, found, measured, notes)
        if not profile["fastest"]:
            del profile["fastest"]
    else:
        bandwidth = found.device.bandwidth_bytes_per_s / GIGA
        told = f"limit that the curve approaches, at least the best sustained rate, {source}"
        factor = found.device.peak_flop_per_s / found.rates[PROFILE_DTYPES[found.dtype]]
        peak = {
            dtype: quantity(factor * rate / TERA, "TFLOP/s", "calibrated", told, 0.05)
            for dtype, rate in rates.items()
        }
        size = (device.memory_size_bytes or BYTES_PER_GIB) / BYTES_PER_GIB
        profile |= {
            "vendor": next((vendor for vendor in VENDORS if vendor.lower() in device.name.lower()), "any"),
            "launch": "unknown",
            "status": "shipping",
            "node": GENERIC_NODES["cpu" if device.kind == "cpu" else "cuda"],
            "num_processors": device.num_processors or 1,
            "peak": peak,
            "fastest": measured,
            "memory": {
                "size": quantity(size, "GiB", "measured", f"told by the system, {source}", 0.02),
                "bandwidth": quantity(bandwidth, "GB/s", "calibrated", told, 0.05),
            },
        }
        notes.append("peak rates and bandwidth are what the curves approach, not a maker's figures")
    if power := power_section(found.power, alike.get("power", {}), family, source):
        profile["power"] = power
    if not found.power.compute_w:
        notes.append("power was not measured: what the board draws is the family's assumption")
    floor = found.launch_floor_s.get("add eager")
    if floor is not None:
        notes.append(f"the smallest call from Python takes {floor * 1e6:.2g} us")
    if found.gemm.everywhere.p90 > FAR_OFF:
        rows = TILES[-1][0]
        notes.append(
            f"products of fewer than {rows} rows run faster than the curve says, which counts whole tiles"
        )
    return profile, notes


def _unfinished(trace: Trace) -> list[str]:
    """What a measurement that did not come to its end says of that."""
    if trace.is_cut:
        lost = f", {sum(trace.cut.values())} bytes at the end are lost" if trace.cut else ""
        return [f"the trace was cut off{lost}: fitted to what came before; the same command measures on"]
    if trace.manifest.status != "finished":
        return [f"the measurement was {trace.manifest.status}: fitted to what came before"]
    return []


def _fastest(
    alike: Mapping[str, Any], found: Findings, measured: Mapping[str, Any], notes: list[str]
) -> dict[str, Any]:
    """Best measured rates that do not exceed the maker's."""
    from simtool.units import parse

    kept = {}
    for dtype, rate in found.rates.items():
        stated = alike["peak"].get(dtype)
        if stated is None or dtype not in measured:
            continue
        if rate <= parse(stated["value"], "FLOP/s"):
            kept[dtype] = measured[dtype]
        else:
            notes.append(
                f"{dtype} ran at {rate / TERA:.4g} TFLOP/s, above the maker's rate: is it the same board?"
            )
    return kept


def _title(manifest: Manifest) -> str:
    device, name = manifest.device, _device_name(manifest)
    if device.num_threads:
        return f"{name}, {device.num_threads} core{'s' * (device.num_threads != 1)}"
    return name


def _device_name(manifest: Manifest) -> str:
    """The name in one line, fit for a comment."""
    words = "".join(letter if letter.isprintable() else " " for letter in manifest.device.name)
    return " ".join(words.split())[:MAX_NAME] or "a device without a name"


def check_profile(
    where: str, name: str, files: Mapping[str, str], library: ProfileLibrary, mend: str
) -> None:
    """Read the profile as everybody will, before anybody gets it.

    Raises:
        InputError: what was measured contradicts itself, so that no profile says it.
    """
    with tempfile.TemporaryDirectory() as folder:
        for place, text in files.items():
            path = Path(folder) / place
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        try:
            written = ProfileLibrary((Path(folder), *library.folders))
            written.get("accelerator", name)
            for kind, place in (("network", "networks"), ("software", "software")):
                if f"{place}/{name}.yaml" in files:
                    written.get(kind, name)
        except InputError as error:
            problems = [
                replace(problem, where=where, field=f"fitted {problem.field}".strip(), mend=mend)
                for problem in error.problems
            ]
            raise InputError(problems) from None


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
