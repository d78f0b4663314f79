"""Where the parent of a file stands: beside it, or in a folder laid out like its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from simtool.config.marks import Mark
from simtool.errors import InputError, Problem, did_you_mean

EXTENDS = "extends"


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


def parent_path(child: Path, parent: str, mark: Mark, mirror: Mirror | None) -> Path:
    """The parent beside its child; if nothing stands there, the one that a mirrored folder holds."""
    if mirror is None:
        return Path(os.path.normpath(child.parent / parent))
    places = mirror.places(child, parent)
    for place in places:
        if os.path.lexists(place):  # a broken link is the user's mistake, not a reason to look elsewhere
            return place
    if len(places) > 1:
        found = f"found no such file, neither {' nor '.join(repr(str(place)) for place in places)}"
        folders = [place.parent for place in places if place.parent.is_dir()]
        names = [file.name for folder in folders for file in sorted(folder.glob("*.yaml"))]
        mend = did_you_mean(places[0].name, names) if names else "name a file of one of the two folders"
        raise extends_problem(mark, found, "", mend)
    return places[0]


def extends_problem(mark: Mark, found: str, allowed: str, mend: str) -> InputError:
    """What is wrong with an `extends`."""
    return InputError(Problem(str(mark), EXTENDS, found, allowed, mend))
