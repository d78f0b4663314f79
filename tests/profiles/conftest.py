"""The shipped profiles, and changed copies of them as a user would write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simtool.profiles.find import FOLDERS, ProfileLibrary, shipped_folder

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def shipped() -> ProfileLibrary:
    return ProfileLibrary((shipped_folder("hardware_profiles"),))


@pytest.fixture
def write(shipped: ProfileLibrary, tmp_path: Path) -> Write:
    """Writes a copy of a shipped profile, with some fields changed, into a folder of the user.

    Fields are dotted paths; None as a value removes the field. JSON is YAML too.
    """

    def copy(kind: str, name: str, new_name: str, fields: dict[str, Any], folder: Path = tmp_path) -> Path:
        data: dict[str, Any] = json.loads(json.dumps(shipped.data(kind, name)))
        for field, value in {"name": new_name, **fields}.items():
            *above, last = field.split(".")
            section = data
            for key in above:
                section = section[key]
            if value is None:
                del section[last]
            else:
                section[last] = value
        path = folder / FOLDERS[kind] / f"{new_name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")
        return path

    return copy
