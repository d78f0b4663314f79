"""What went into a run, so that it can be cited and repeated: hash, versions, profiles, set-up."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import PurePath
from typing import Any

from simtool import __version__
from simtool.config.scenario import Scenario
from simtool.result.result import Result

MANIFEST_SCHEMA = "simtool/run/1"
SCENARIO = "scenario"
"""Kind of a run folder, in its manifest."""
LIBRARIES = ("numpy", "scipy", "simpy", "pydantic", "pint", "pyarrow")
"""Distributions whose version can move the last digits of a result or the bytes of its files."""
FILES = {
    "scenario.resolved.yaml": "the scenario with every default, and where each value came from",
    "manifest.json": "this file: what went in, and by which command",
    "summary.json": "every quantity: value, unit, p10, p50, p90, provenance",
    "ledger.parquet": "what every device did and drew, interval by interval",
    "costs.csv": "the bill, line by line",
    "timeline.perfetto.json.gz": "job states, checkpoints, failures and power; open it in ui.perfetto.dev",
}
OPTIONAL = {"figures/": "SVG, PNG and CSV of every figure, once 'simtool plot' has drawn them"}
NOT_BUILT = {"report.html": "this version writes no HTML report"}
HASH_LENGTH = 8
"""Letters of the hash that name a run folder."""


def run_hash(scenario: Scenario, profile_digests: Mapping[str, str], seeds: int = 1) -> str:
    """SHA-256 (hex) of all that decides a result: scenario, profiles, seeds, version of simtool."""
    asked = {
        "profiles": dict(profile_digests),
        "scenario": scenario.model_dump(mode="json", by_alias=True),
        "seeds": seeds,
        "simtool": __version__,
    }
    written = json.dumps(asked, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(written.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Version of Python and of every library that can move a result."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}}


def manifest(result: Result, *, command: str, seeds: int = 1) -> dict[str, Any]:
    """The content of ``manifest.json``; no clock and no host name, so it repeats byte by byte."""
    scenario = result.scenario
    return {
        "schema": MANIFEST_SCHEMA,
        "kind": SCENARIO,
        "hash": run_hash(scenario, result.profile_digests, seeds),
        "simtool": __version__,
        "versions": versions(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "command": command,
        "scenario": {
            "name": scenario.name,
            "question": scenario.question,
            "path": str(result.loaded.path.absolute()),
        },
        "seed": scenario.seed,
        "seeds": seeds,
        "profiles": dict(sorted(result.profile_digests.items())),
        "setup": set_up(result),
        "memory_bytes": memory(result),
        "method": method(result),
        "software": None if result.software is None else asdict(result.software),
        "notes": list(result.notes),
        "files": dict(FILES),
        "optional": dict(OPTIONAL),
        "not_built": dict(NOT_BUILT),
    }


def set_up(result: Result) -> dict[str, Any]:
    """What was run on what, as executed."""
    scenario = result.scenario
    model = scenario.workload.model
    return {
        "model": _shown(model) if isinstance(model, str) else str(model.get("name", "a model of its own")),
        "tokens": scenario.workload.tokens.value,
        "seq_len": scenario.workload.seq_len,
        "global_batch": int(result.global_batch),
        "precision": scenario.workload.precision,
        "recompute": scenario.workload.recompute,
        "accelerator": scenario.cluster.accelerator,
        "num_devices": int(result.num_devices),
        "num_nodes": scenario.cluster.num_nodes,
        "spare_nodes": scenario.cluster.spare_nodes,
        "layout": result.layout.model_dump(mode="json"),
        "framework": scenario.software.framework,
        "economics": scenario.economics.mode,
        "money": scenario.economics.money.model_dump(mode="json"),
    }


def _shown(model: str) -> str:
    """A preset or a path as written; of an absolute path the end, with the folder of a config.json, which names it.

    >>> _shown("llama3.1-8b"), _shown("/data/mine.workload.yaml"), _shown("/models/llama/config.json")
    ('llama3.1-8b', 'mine.workload.yaml', 'llama/config.json')
    """
    path = PurePath(model)
    return "/".join(path.parts[-2 if path.suffix == ".json" else -1 :]) if path.is_absolute() else model


def memory(result: Result) -> dict[str, float]:
    """Bytes on the fullest accelerator, by part, with the capacity."""
    need = result.phases[-1].estimate.memory
    parts = ("weights", "gradients", "optimizer", "activations", "workspace", "total", "capacity")
    return {part: float(getattr(need, f"{part}_bytes")) for part in parts}


def method(result: Result) -> dict[str, Any] | None:
    """The efficiency method and how many of the operations it saves; None without a method."""
    used = result.scenario.method
    if used == "none":
        return None
    saved = (
        None if result.reference is None else 1.0 - executed_flop(result) / executed_flop(result.reference)
    )
    return {"profile": used.profile, "operations_saved_frac": saved}


def executed_flop(result: Result) -> float:
    """Work that all accelerators execute over the whole run, lost work not counted [FLOP]."""
    return sum(phase.num_steps * float(phase.estimate.hardware_flop_per_step) for phase in result.phases)
