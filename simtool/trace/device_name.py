"""Which hardware profile a device's own name means."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FORMS = frozenset({"sxm", "sxm2", "pcie", "nvl"})
GIGABYTE = 1e9


def profile_names(device_name: str, known: Iterable[str]) -> list[str]:
    """Profiles that a device may be, best first; several differ in the size of their memory alone.

    Args:
        device_name: as the driver tells it.
        known: names of profiles, such as ``h100-sxm`` or ``a100-pcie-40``.

    >>> profile_names("NVIDIA H100 80GB HBM3", ["h100-sxm", "h100-pcie", "h100-nvl", "h200-sxm"])
    ['h100-sxm']
    >>> profile_names("NVIDIA A100-PCIE-40GB", ["a100-sxm-80", "a100-pcie-40", "a100-pcie-80"])
    ['a100-pcie-40', 'a100-pcie-80']
    >>> profile_names("NVIDIA GeForce RTX 4090", ["rtx-4090", "rtx-6000-ada"]), profile_names("TPU", ["a10"])
    (['rtx-4090'], [])
    """
    low = device_name.lower()
    found: dict[str, list[str]] = {}
    for name in sorted(known):
        parts = name.split("-")
        model = [part for part in parts if not (part in _FORMS or _is_size(part, parts))]
        pattern = r"(?<![a-z0-9])" + r"[ -]*".join(map(re.escape, model)) + r"(?![a-z0-9])"
        if re.search(pattern, low):
            found.setdefault("-".join(model), []).append(name)
    if not found:
        return []
    model_name = max(found, key=len)
    wanted = {"pcie" if "pcie" in low else "nvl" if re.search(r"\bnvl\b", low) else "sxm"}
    wanted |= {"sxm2"} if "sxm" in wanted else set()
    names = found[model_name]
    of_form = [name for name in names if wanted & set(name.split("-"))]
    return of_form or [name for name in names if not _FORMS & set(name.split("-"))] or names


def _is_size(part: str, parts: list[str]) -> bool:
    """Whether a part is a size of memory rather than the number of a model: it stands last, behind a name."""
    return (
        part.isdigit() and len(part) <= 3 and part == parts[-1] and bool(re.search(r"\d|sxm|pcie", parts[-2]))
    )


def nearest_size(names: list[str], sizes_bytes: dict[str, float], size_bytes: float | None) -> str:
    """Of profiles that differ in the size of their memory the nearest; the first where the size is not known.

    >>> nearest_size(["a100-sxm-40", "a100-sxm-80"], {"a100-sxm-40": 40e9, "a100-sxm-80": 80e9}, 42.5e9)
    'a100-sxm-40'
    """
    if size_bytes is None:
        return names[0]
    return min(names, key=lambda name: abs(sizes_bytes.get(name, 0.0) - size_bytes))
