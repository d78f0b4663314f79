"""Finding profiles and scenarios by name: the user's own folders first, then those shipped with simtool.

A profile is one YAML file, its name the file's name. A file of the same name in a folder of the user
takes the place of the shipped one. What a profile of the user extends is looked for beside it, and only if
nothing stands there at the same place among the shipped profiles.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from simtool.config.extends import Mirror, Named
from simtool.config.kinds import file_kind
from simtool.config.load import Document, load_document
from simtool.config.validate import validate
from simtool.errors import InputError, Problem, SimtoolError, did_you_mean, near_matches

if TYPE_CHECKING:
    from pydantic import BaseModel

    from simtool.facility.profile import FacilityProfile
    from simtool.profiles.schema import Accelerator, Network, Node, Software

Shipped = Literal["hardware_profiles", "scenarios"]

FOLDERS: dict[str, str] = {
    "accelerator": "",
    "node": "nodes",
    "network": "networks",
    "software": "software",
    "model": "models",
    "encoder": "encoders",
    "vision": "vision",
    "convnet": "convnets",
    "recommender": "recommenders",
    "facility": "facilities",
    "effect": "effects",
    "transfer": "transfers",
    "jobs": "job_generators",
    "tariff": "tariffs",
    "reliability": "reliability",
}
"""Place of each kind of profile below a profile folder. Anything else there is reached by `extends` only."""

LISTS: dict[str, str] = {
    "accelerator": "hardware",
    "node": "nodes",
    "network": "networks",
    "software": "software",
    "model": "models",
    "encoder": "models",
    "vision": "models",
    "convnet": "models",
    "recommender": "models",
    "facility": "facilities",
    "effect": "effects",
    "jobs": "job-generators",
    "tariff": "tariffs",
    "reliability": "reliability",
}
"""What `simtool list` calls the list that shows each kind; constants of transfers have none."""

_CALLED = {"jobs": "job generator", "reliability": "reliability preset"}
"""Kinds that messages call otherwise."""

_SUBFOLDERS = {folder for folder in FOLDERS.values() if folder} | {"families", "efficiency"}
_PACKAGE = Path(__file__).resolve().parent.parent


class ProfileLibrary:
    """Profiles by kind and name, read once and never changed.

    Args:
        folders: profile folders, the first that holds a name wins.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self._paths: dict[str, dict[str, Path]] = {}
        self._profiles: dict[tuple[str, str], BaseModel] = {}

    def __repr__(self) -> str:
        return f"ProfileLibrary({[str(folder) for folder in self.folders]})"

    if TYPE_CHECKING:

        @overload
        def get(self, kind: Literal["accelerator"], name: str) -> Accelerator: ...
        @overload
        def get(self, kind: Literal["node"], name: str) -> Node: ...
        @overload
        def get(self, kind: Literal["network"], name: str) -> Network: ...
        @overload
        def get(self, kind: Literal["software"], name: str) -> Software: ...
        @overload
        def get(self, kind: Literal["facility"], name: str) -> FacilityProfile: ...
        @overload
        def get(self, kind: str, name: str) -> BaseModel: ...

    def get(self, kind: str, name: str) -> BaseModel:
        """A profile.

        Args:
            kind: a key of `FOLDERS`.
            name: the file's name without ``.yaml``.

        Raises:
            InputError: no such name, with near matches; or everything that is wrong with the file.
        """
        if (kind, name) not in self._profiles:
            path = self.path(kind, name)
            profile = validate(self.document(kind, name), file_kind(kind).load(), {})
            if (written := getattr(profile, "name", "")) != name:
                found = f"found {written!r} in a file called {path.name}"
                mend = f"write 'name: {name}', or rename the file"
                raise InputError(Problem(str(path), "name", found, "", mend))
            self._profiles[kind, name] = profile
        return self._profiles[kind, name]

    def names(self, kind: str) -> list[str]:
        """All names of a kind, sorted."""
        return sorted(self._known(kind))

    def path(self, kind: str, name: str) -> Path:
        """The file of a profile.

        Raises:
            InputError: no folder holds the name; near matches are named.
        """
        known = self._known(kind)
        if name not in known:
            hint = did_you_mean(name.lower(), known)
            found = f"unknown {_CALLED.get(kind, kind)} {name!r}"
            mend = f"`simtool list {LISTS[kind]}` shows all" if kind in LISTS else ""
            raise InputError(Problem("", kind, found, hint, mend))
        return known[name]

    def document(self, kind: str, name: str) -> Document:
        """The file with what it extends merged in; its `files` say from where."""
        path = self.path(kind, name)
        return load_profile(path, path.parent.parent if FOLDERS[kind] else path.parent)

    def data(self, kind: str, name: str) -> dict[str, Any]:
        """What the file says, with what it extends merged in."""
        return dict(self.document(kind, name).data)

    def digest(self, kind: str, name: str) -> str:
        """SHA-256 of what the profile says and extends: numbers and sources count, comments do not."""
        text = json.dumps(self.data(kind, name), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _known(self, kind: str) -> dict[str, Path]:
        if kind not in self._paths:
            below = FOLDERS[kind]
            self._paths[kind] = {
                path.stem: path
                for folder in reversed(self.folders)
                for path in sorted((folder / below).glob("*.yaml"))
                if path.is_file()
            }
        return self._paths[kind]


def load_profile(path: Path, folder: Path | None = None) -> Document:
    """A profile file with what it extends, its own and the shipped.

    Args:
        path: the file.
        folder: the profile folder that it belongs to; found by the file's own folder if not given.
    """
    if folder is None:
        folder = path.parent.parent if path.parent.name in _SUBFOLDERS else path.parent
    return load_document(path, elsewhere=Mirror(folder=folder, behind=shipped_folder("hardware_profiles")))


def borrowed(document: Document) -> tuple[str, ...]:
    """The shipped files that a profile of the user extends, as paths below the shipped folder."""
    shipped = shipped_folder("hardware_profiles")
    if document.path.is_relative_to(shipped):
        return ()
    files = [Path(file) for file in document.files]
    return tuple(str(file.relative_to(shipped)) for file in files if file.is_relative_to(shipped))


def default_library(extra: Sequence[Path] = (), beside: Path | None = None) -> ProfileLibrary:
    """The library of a command.

    Searched in this order: `extra` folders, ``./hardware_profiles``, ``hardware_profiles`` in the folder of
    the scenario, the shipped profiles.

    Args:
        extra: folders with profiles.
        beside: the scenario's file.

    Raises:
        InputError: a folder of `extra` does not exist.
    """
    if missing := [folder for folder in extra if not folder.is_dir()]:
        found, mend = "found no such folder", "give the folder that holds your profiles"
        raise InputError([Problem(str(folder), "profiles", found, "", mend) for folder in missing])
    shipped = shipped_folder("hardware_profiles")
    local = Path("hardware_profiles").resolve()
    folders = [folder.resolve() for folder in extra]
    near = [local] if beside is None else [local, beside.resolve().parent / "hardware_profiles"]
    folders += [folder for folder in near if folder.is_dir()]
    folders.append(shipped)
    return ProfileLibrary(tuple(dict.fromkeys(folders)))


def shipped_folder(what: Shipped) -> Path:
    """The shipped profiles or scenarios: inside an installed package, beside it in a checkout.

    Raises:
        SimtoolError: the installation lacks them.
    """
    for folder in (_PACKAGE / "_data" / what, _PACKAGE.parent / what):
        if folder.is_dir():
            return folder
    raise SimtoolError(f"{_PACKAGE}: this installation of simtool lacks its {what}; install it again")


DATACENTERS = "datacenters"
"""Folder below that of the scenarios: files of whole sites."""


def shipped_scenarios() -> list[Path]:
    """The files of all shipped scenarios and datacenters, by name."""
    folder = shipped_folder("scenarios")
    return [*sorted(folder.glob("*.yaml")), *sorted((folder / DATACENTERS).glob("*.yaml"))]


def extendable() -> Named:
    """The shipped scenarios and datacenters, which a file of one's own may extend by their name."""
    return Named(tuple(shipped_scenarios()))


def find_scenario(name_or_path: str) -> Path:
    """The file of a scenario or datacenter, given the name of a shipped one or a path.

    A word without folder and suffix is a name first. A path is returned as it is, even to something
    that turns out not to be a scenario: reading it says what is wrong.

    Raises:
        InputError: neither; near matches are named.
    """
    path = Path(name_or_path)
    is_name = path.name == name_or_path and path.suffix not in (".yaml", ".yml")
    if not is_name:
        if path.exists() or path.is_symlink():  # a link that leads nowhere is told where it is read
            return path
        # Names are near by their stems: any two files end alike.
        beside = {near.stem: str(near) for near in path.parent.glob("*.yaml")}
        near = [f"{beside[stem]!r}" for stem in near_matches(path.stem, beside)]
        hint = f"did you mean {' or '.join(near)}?" if near else ""
        raise _unknown_scenario(f"found no file {name_or_path!r}", hint)
    shipped = {file.stem: file for file in shipped_scenarios()}
    if name_or_path in shipped:
        return shipped[name_or_path]
    if path.exists():
        return path
    raise _unknown_scenario(f"unknown scenario {name_or_path!r}", did_you_mean(name_or_path.lower(), shipped))


def _unknown_scenario(found: str, hint: str) -> InputError:
    mend = "`simtool list scenarios` shows the shipped ones; a file of your own is given by its path"
    return InputError(Problem("", "scenario", found, hint, mend))
