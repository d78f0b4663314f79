"""Digests of all that a datacenter file names: profiles, scenarios, traces, series, tariffs.

They decide the name of its run folder. Every text of the file that is the path of a file beside it counts, and every
name of a profile by the field that it stands in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from simtool import __version__
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.marks import Keys
from simtool.config.origins import leaves
from simtool.errors import InputError
from simtool.profiles.find import ProfileLibrary

SUFFIXES = (".yaml", ".yml", ".json", ".csv", ".gz", ".parquet", ".txt", ".tsv", ".psv", ".log")
PROFILES = {
    ("facility", "profile"): "facility",
    ("generator", "profile"): "jobs",
    ("electricity", "tariff"): "tariff",
    ("reliability", "preset"): "reliability",
}
"""Kind of the profile whose name stands in a field."""
CHUNK_BYTES = 2**20


def site_hash(loaded: LoadedDatacenter, digests: dict[str, str], seeds: int) -> str:
    """SHA-256 (hex) of all that decides a result: the datacenter, what it names, seeds, version of simtool."""
    asked = {
        "datacenter": loaded.datacenter.model_dump(mode="json", by_alias=True),
        "profiles": digests,
        "seeds": seeds,
        "simtool": __version__,
    }
    written = json.dumps(asked, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(written.encode()).hexdigest()


def all_digests(loaded: LoadedDatacenter, library: ProfileLibrary, priced: dict[str, str]) -> dict[str, str]:
    """SHA-256 by ``kind/name``.

    Args:
        loaded: the datacenter.
        library: where profiles are found.
        priced: those that are known already, of machines and of scenarios.
    """
    return {**priced, **dict(_referenced(loaded, library))}


def _referenced(loaded: LoadedDatacenter, library: ProfileLibrary) -> Iterator[tuple[str, str]]:
    for keys, value in leaves(loaded.datacenter):
        if not isinstance(value, str) or not value:
            continue
        if value.lower().endswith(SUFFIXES):
            path = loaded.path.parent / Path(value).expanduser()
            if path.is_file():
                yield f"file/{value}", _of_file(path)
        elif kind := _kind(keys):
            try:
                yield f"{kind}/{value}", library.digest(kind, value)
            except InputError:
                continue  # its own reader says so, with the place


def _kind(keys: Keys) -> str | None:
    names = [key for key in keys if isinstance(key, str)]
    return PROFILES.get((names[-2], names[-1])) if len(names) > 1 else None


def _of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
