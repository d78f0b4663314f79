"""One datacenter from its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simtool.config.datacenter import Datacenter
from simtool.config.extends import Elsewhere
from simtool.config.load import Document, load_document
from simtool.config.origins import origins_of
from simtool.config.validate import BARE, validate


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDatacenter:
    """A datacenter, and where each part of it was written."""

    datacenter: Datacenter
    origins: Mapping[str, str]
    """Origin of every leaf field."""
    path: Path
    document: Document

    def locate(self, field: str) -> str:
        """Place of a dotted field, or of the nearest section around it, as messages give it."""
        return self.document.locate(field)


def load_datacenter(
    path: Path | str, overrides: Sequence[str] = (), *, elsewhere: Elsewhere | None = None
) -> LoadedDatacenter:
    """Read, merge and check a datacenter file.

    Args:
        path: the file.
        overrides: ``path=value`` of every ``--set``, in their order.
        elsewhere: where a parent is looked for that does not stand beside its child.

    Raises:
        InputError: with every problem, each at its place.
    """
    document = load_document(path, overrides, elsewhere=elsewhere)
    datacenter = validate(document, Datacenter, BARE)
    return LoadedDatacenter(
        datacenter=datacenter,
        origins=origins_of(datacenter, document),
        path=document.path,
        document=document,
    )
