"""The libraries of the extra ``site``, imported when something needs them."""

from __future__ import annotations

import importlib
from typing import Any

from simtool.errors import InputError, Problem


def psychrometrics() -> Any:
    """PsychroLib in SI units.

    Raises:
        InputError: it is not installed.
    """
    library = _library("psychrolib", "a wet bulb from relative humidity")
    library.SetUnitSystem(library.SI)
    return library


def solar(part: str) -> Any:
    """A module of pvlib, e.g. ``irradiance``.

    Raises:
        InputError: it is not installed.
    """
    return _library(f"pvlib.{part}", "solar power from weather")


def _library(name: str, purpose: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise InputError(
            Problem(
                "",
                "site",
                f"{purpose} needs the package {package}, which is not installed",
                "",
                "install the extra 'site': pip install 'simtool-planner[site]', or in a clone pip install '.[site]' -c "
                "constraints.txt",
            )
        ) from None
