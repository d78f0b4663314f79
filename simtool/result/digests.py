"""Digests of what a scenario refers to beside the profiles that build its machine.

Together with the profiles' own digests they decide the name of a run folder: where a file that went
in has changed, an old answer must not be given again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from simtool.config.load import LoadedScenario, load_document
from simtool.config.scenario import Series
from simtool.profiles.find import ProfileLibrary
from simtool.signals import list_series

MAX_FILE_BYTES = 2**26
"""No reader takes a larger file."""


def referenced_digests(loaded: LoadedScenario, library: ProfileLibrary) -> dict[str, str]:
    """SHA-256 by ``kind/name`` of the effect, the failures, the scale-up network, and the user's own files.

    Shipped series are part of this version of simtool and need none.
    """
    found = dict(_profiles(loaded, library))
    scenario, folder = loaded.scenario, loaded.path.parent
    model = scenario.workload.model
    if isinstance(model, str) and model.endswith((".json", ".yaml", ".yml")):
        found[f"model/{model}"] = _of_file(folder / model)
    shipped = {series.name for series in list_series()}
    for written in (scenario.site.price, scenario.site.carbon.average, scenario.site.carbon.marginal):
        if isinstance(written, Series) and written.series not in shipped:
            found[f"series/{written.series}"] = _of_file(folder / Path(written.series).expanduser())
    return found


def _profiles(loaded: LoadedScenario, library: ProfileLibrary) -> Iterator[tuple[str, str]]:
    scenario = loaded.scenario
    use = scenario.method
    if not isinstance(use, str):
        if use.profile.endswith((".yaml", ".yml")):
            data = load_document(loaded.path.parent / use.profile).data
            text = json.dumps(data, sort_keys=True, ensure_ascii=False)
            yield f"effect/{use.profile}", hashlib.sha256(text.encode()).hexdigest()
        else:
            yield f"effect/{use.profile}", library.digest("effect", use.profile)
    reliability = scenario.reliability
    if not isinstance(reliability, str) and reliability.preset is not None:
        yield f"reliability/{reliability.preset}", library.digest("reliability", reliability.preset)
    scale_up = library.get("accelerator", scenario.cluster.accelerator).scale_up
    if scale_up is not None:
        yield f"network/{scale_up.network}", library.digest("network", scale_up.network)


def _of_file(path: Path) -> str:
    """Digest of a user's file; empty where it is none or too large: its own reader says so."""
    if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()
