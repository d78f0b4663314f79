"""What `simtool list` knows of datacenters: schedulers, placements, tariffs, buildings, failures, jobs, weather."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simtool.profiles.find import ProfileLibrary

Row = dict[str, Any]


def _profiles(kind: str) -> Callable[[ProfileLibrary], list[Row]]:
    def rows(library: ProfileLibrary) -> list[Row]:
        return [
            {"name": name, "title": str(library.data(kind, name).get("title", ""))}
            for name in library.names(kind)
        ]

    return rows


def _tariffs(library: ProfileLibrary) -> list[Row]:
    return [
        {
            "name": name,
            "title": str(data.get("title", "")),
            "clock": str(data.get("timezone", "")),
            "_utility": str(data.get("utility", "")),
            "_parts": [str(part.get("kind")) for part in data.get("parts", ())],
        }
        for name in library.names("tariff")
        for data in [library.data("tariff", name)]
    ]


def _generators(library: ProfileLibrary) -> list[Row]:
    return [
        {"name": name, "title": str(data.get("title", "")), "kind": str(data.get("kind", ""))}
        for name in library.names("jobs")
        for data in [library.data("jobs", name)]
    ]


def _weather(library: ProfileLibrary) -> list[Row]:  # noqa: ARG001 - every list has one signature
    from simtool.facility.weather import SHIPPED
    from simtool.signals import list_series

    places: dict[str, Row] = {}
    for one in list_series():
        if one.name.startswith(SHIPPED) and one.name.endswith("-dry-bulb"):
            name = one.name.removeprefix(SHIPPED).removesuffix("-dry-bulb")
            places[name] = {
                "name": name,
                "title": one.title.replace("dry-bulb temperature of ", ""),
                "begin": one.begin[:10],
                "end": one.end[:10],
                "_source": one.source,
                "_licence": one.licence,
            }
    return list(places.values())


def _datacenters(library: ProfileLibrary) -> list[Row]:  # noqa: ARG001
    from simtool.cli.sites import is_datacenter_schema
    from simtool.config.load import load_document
    from simtool.profiles.find import shipped_scenarios

    return [
        {"name": path.stem, "what": " ".join(str(data.get("question", "")).split())}
        for path in shipped_scenarios()
        for data in [load_document(path).data]
        if is_datacenter_schema(data.get("schema"))
    ]


SITE_LISTS: Mapping[str, Callable[[ProfileLibrary], list[Row]]] = {
    "datacenters": _datacenters,
    "tariffs": _tariffs,
    "facilities": _profiles("facility"),
    "reliability": _profiles("reliability"),
    "job-generators": _generators,
    "weather": _weather,
}
SITE_KINDS = {
    "tariffs": "tariff",
    "facilities": "facility",
    "reliability": "reliability",
    "job-generators": "jobs",
}
SITE_MEANING = {
    "datacenters": "shipped datacenters, for 'simtool run'",
    "tariffs": "bills of electricity, for electricity.tariff",
    "facilities": "buildings with their cooling, for facility.profile",
    "reliability": "what breaks and how often, for reliability.preset",
    "job-generators": "sources of jobs, for jobs.generator.profile",
    "weather": "places with a typical year, for facility.weather.place",
}
SITE_ALIASES = {
    "datacenter": "datacenters",
    "tariff": "tariffs",
    "facility": "facilities",
    "buildings": "facilities",
    "failures": "reliability",
    "generators": "job-generators",
    "jobs": "job-generators",
    "scheduler": "schedulers",
    "placement": "placements",
    "readers": "job-readers",
    "places": "weather",
}
