"""Where the parent of a file stands: beside it, in a folder laid out like its own, or among files known by name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from simtool.config.marks import Mark
from simtool.errors import InputError, Problem, did_you_mean

EXTENDS = "extends"


class Elsewhere(Protocol):
    """Knows where a parent may stand."""

    def places(self, child: Path, parent: str) -> tuple[Path, ...]:
        """Where the parent of a file may stand, the first before the second."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """Files that any file may extend by their name, with or without suffix, if nothing of that name is beside it."""

    files: tuple[Path, ...]

    def places(self, child: Path, parent: str) -> tuple[Path, ...]:
        """See `Elsewhere`.

        >>> named = Named((Path("shipped/a.yaml"),))
        >>> [str(place) for place in named.places(Path("mine/b.yaml"), "a")]
        ['mine/a', 'shipped/a.yaml']
        >>> [str(place) for place in named.places(Path("mine/b.yaml"), "../a.yaml")]
        ['a.yaml']
        """
        beside = Path(os.path.normpath(child.parent / parent))
        return (beside, *(file for file in self.files if parent in (file.name, file.stem)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A folder laid out like another, from which it takes the files that it lacks."""

    folder: Path
    behind: Path
    """The other folder."""

    def places(self, child: Path, parent: str) -> tuple[Path, ...]:
        """Where the parent of a file of either folder may stand, the first before the second.

        >>> mirror = Mirror(folder=Path("mine"), behind=Path("theirs"))
        >>> [str(place) for place in mirror.places(Path("mine/efficiency/a.yaml"), "../families/b.yaml")]
        ['mine/families/b.yaml', 'theirs/families/b.yaml']
        >>> [str(place) for place in mirror.places(Path("theirs/a.yaml"), "b.yaml")]
        ['mine/b.yaml', 'theirs/b.yaml']
        >>> [str(place) for place in mirror.places(Path("mine/a.yaml"), "../b.yaml")]
        ['b.yaml']
        """
        for root in (self.folder, self.behind):
            if not child.is_relative_to(root):
                continue
            below = os.path.normpath(child.parent.relative_to(root) / parent)
            if not Path(below).is_absolute() and not below.startswith(os.pardir):
                return tuple(dict.fromkeys((self.folder / below, self.behind / below)))
        return (Path(os.path.normpath(child.parent / parent)),)


def parent_path(child: Path, parent: str, mark: Mark, elsewhere: Elsewhere | None) -> Path:
    """The parent beside its child; if nothing stands there, the first that stands elsewhere."""
    if elsewhere is None:
        return Path(os.path.normpath(child.parent / parent))
    places = elsewhere.places(child, parent)
    for place in places:
        if os.path.lexists(place):  # a broken link is the user's mistake, not a reason to look elsewhere
            return place
    if len(places) > 1:
        found = f"found no such file, neither {' nor '.join(repr(str(place)) for place in places)}"
        folders = [place.parent for place in places if place.parent.is_dir()]
        names = [file.name for folder in folders for file in sorted(folder.glob("*.yaml"))]
        mend = did_you_mean(places[0].name, names) if names else "name a file of one of the two folders"
        raise extends_problem(mark, found, "", mend)
    if isinstance(elsewhere, Named) and Path(parent).name == parent:
        known = [
            *(file.stem for file in elsewhere.files),
            *(file.name for file in child.parent.glob("*.yaml")),
        ]
        found = f"found no such file {str(places[0])!r}, and no shipped one of that name"
        raise extends_problem(mark, found, "", did_you_mean(parent, known))
    return places[0]


def extends_problem(mark: Mark, found: str, allowed: str, mend: str) -> InputError:
    """What is wrong with an `extends`."""
    return InputError(Problem(str(mark), EXTENDS, found, allowed, mend))
