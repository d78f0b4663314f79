"""What is measured: the facts that a profile needs of a device, as the device and its driver tell them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from simtool.errors import InputError, Problem

SuiteKind = Literal["gpu", "cpu"]
UNKNOWN_CACHE_BYTES = 64.0 * 2**20
"""Taken for the last cache of a processor that does not tell; larger than most, so that what shall miss it does."""
CPU_INFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")

NVIDIA_FAMILIES: Mapping[tuple[int, int], str] = {
    (6, 0): "pascal", (6, 1): "pascal", (7, 0): "volta", (7, 5): "turing", (8, 0): "ampere", (8, 6): "ampere-ga10x",
    (8, 9): "ada", (9, 0): "hopper", (10, 0): "blackwell", (10, 3): "blackwell", (12, 0): "blackwell-consumer",
}  # fmt: skip
"""Compute capability to the family of profiles, from NVIDIA's table of CUDA-capable devices."""
AMD_FAMILIES: Mapping[str, str] = {
    "gfx908": "cdna1", "gfx90a": "cdna2", "gfx940": "cdna3", "gfx942": "cdna3", "gfx950": "cdna4",
}  # fmt: skip
"""LLVM target to the family of profiles, from the processor table of LLVM's AMDGPU backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One device."""

    name: str
    kind: SuiteKind
    architecture: str = ""
    """Family of profiles; empty where it is not known."""
    num_processors: int
    """Multiprocessors or compute units; of a CPU the threads that the suite uses."""
    num_devices: int = 1
    memory_size_bytes: float
    cache_size_bytes: float
    """Of the last level."""
    is_cache_known: bool = True
    num_threads: int = 1
    has_bfloat16: bool = True
    """Whether products in bfloat16 run at the rate of the matrix units."""


def check_device(device: str) -> None:
    """Refuse a device that torch does not have here.

    Raises:
        InputError: no device's name, or none of this number.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InputError(Problem("--device", "", f"found {device!r}", "cpu, cuda or cuda:1")) from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise InputError(
            Problem("--device", "", f"found {device!r}; torch sees {torch.cuda.device_count()} such devices")
        )


def device_of(kind: str) -> torch.device:
    """The device that a suite of this kind measures.

    Raises:
        InputError: an unknown kind, or no such device here.
    """
    if kind == "cpu":
        return torch.device("cpu")
    if kind != "gpu":
        raise InputError(Problem("--suite", "", f"found {kind!r}", "gpu or cpu", "write --suite gpu"))
    if not torch.cuda.is_available():
        raise InputError(
            Problem(
                "--suite",
                "",
                "torch sees no GPU here",
                "",
                "install a torch with CUDA or ROCm for the driver that is there, or measure with --suite cpu",
            )
        )
    return torch.device("cuda", 0)  # asking for the current one would create its context


def facts_of(device: torch.device) -> Facts:
    """The facts of a device. On a GPU this creates the context, which costs power from then on."""
    return _gpu(device) if device.type == "cuda" else _cpu()


def _gpu(device: torch.device) -> Facts:
    told = torch.cuda.get_device_properties(device)
    if torch.version.hip:
        target = str(told.gcnArchName).partition(":")[0]
        family, has_bfloat16 = AMD_FAMILIES.get(target, ""), target in AMD_FAMILIES
    else:
        family = NVIDIA_FAMILIES.get((told.major, told.minor), "")
        has_bfloat16 = told.major >= 8
    cache = float(getattr(told, "L2_cache_size", 0))
    return Facts(
        name=str(told.name),
        kind="gpu",
        architecture=family,
        num_processors=int(told.multi_processor_count),
        num_devices=torch.cuda.device_count(),
        memory_size_bytes=float(told.total_memory),
        cache_size_bytes=cache or UNKNOWN_CACHE_BYTES,
        is_cache_known=cache > 0,
        has_bfloat16=has_bfloat16,
    )


def _cpu() -> Facts:
    cache = last_cache_bytes(CACHES)
    return Facts(
        name=cpu_name(CPU_INFO),
        kind="cpu",
        architecture="cpu",
        num_processors=torch.get_num_threads(),
        memory_size_bytes=_host_memory_bytes(),
        cache_size_bytes=cache or UNKNOWN_CACHE_BYTES,
        is_cache_known=cache > 0,
        num_threads=torch.get_num_threads(),
        has_bfloat16=True,
    )


def _host_memory_bytes() -> float:
    return float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))


def cpu_name(path: Path) -> str:
    """Name of the processor with the numbers that tell its generation, and whether it is a virtual machine's.

    Args:
        path: a file as Linux's ``/proc/cpuinfo``; elsewhere Python's own word for the machine is taken.
    """
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return platform.processor() or platform.machine()
    told = dict(re.findall(r"^(model name|cpu family|model|stepping|flags)\s*:\s*(.*)$", text, re.MULTILINE))
    name = " ".join(re.sub(r"\((R|TM|tm)\)", "", told.get("model name", "")).split()) or platform.machine()
    numbers = [
        f"{key.removeprefix('cpu ')} {told[key]}"
        for key in ("cpu family", "model", "stepping")
        if key in told
    ]
    if "hypervisor" in told.get("flags", "").split():
        numbers.append("virtual")
    return f"{name} ({', '.join(numbers)})" if numbers else name


def last_cache_bytes(folder: Path) -> float:
    """Size of the last level of cache, 0 where it is not told [byte].

    Args:
        folder: as ``/sys/devices/system/cpu/cpu0/cache`` of Linux, with ``index*/level`` and ``index*/size``.
    """
    found: list[tuple[int, float]] = []
    for index in folder.glob("index*"):
        try:
            level, size = (index / "level").read_text(), (index / "size").read_text().strip()
            scale = {"K": 2.0**10, "M": 2.0**20}[size[-1:]]
            found.append((int(level), float(size[:-1]) * scale))
        except (OSError, KeyError, ValueError):
            continue
    return max(found, default=(0, 0.0))[1]
