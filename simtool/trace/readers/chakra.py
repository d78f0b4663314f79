"""MLCommons Chakra execution traces as JSON: of torch's observer joined with the profiler, or of `chakra_jsonizer`.

A trace of the observer alone holds what the host called for and no time of the device; it is refused. Schema:
``et_def.proto`` of mlcommons/chakra, PyTorch execution trace 1.0 to 1.1.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simtool.trace.found import READERS, Choices, Found, OpsFound
from simtool.trace.json_stream import read_documents, read_events
from simtool.trace.kernels import NOTHING, KernelTable
from simtool.trace.kineto_events import DEVICE_WORK, STEP, integer_of, number_of
from simtool.trace.kineto_table import Window
from simtool.trace.manifest import Device
from simtool.trace.op_class import class_of, dtype_of, variant_of
from simtool.trace.operator_work import Work, work_of
from simtool.trace.source import Source, refuse
from simtool.units import MEGA

_COLLECTIVES = (
    "all_reduce", "reduce", "all_gather", "gather", "scatter", "broadcast", "all_to_all", "reduce_scatter",
    "reduce_scatter_block", "barrier",
)  # fmt: skip
"""By the number of Chakra's CollectiveCommType."""
_NODES = re.compile(
    r'"(?:ctrl_?[dD]eps|data_?[dD]eps|durationMicros|duration_micros)"\s*:|"(?:COMP|COMM_\w+)_NODE"'
)
_REMEDY = "join it with the profiler's trace (chakra_trace_link), or import that trace itself"
_PARENTS = 24
"""Steps upwards in which an operator with shapes is looked for."""


@READERS.register("chakra")
class Chakra:
    """MLCommons Chakra execution trace as JSON (joined with the profiler, or of chakra_jsonizer)."""

    def claims(self, source: Source) -> bool:
        """JSON with nodes, or with Chakra's schema."""
        head = source.head.lstrip()
        is_chakra = '"schema"' in head[:400] and "chakra" in head[:400]
        return head.startswith("{") and (is_chakra or bool(_NODES.search(head)))

    def read(self, source: Source, choices: Choices) -> Found:
        """Every node with a time on the device."""
        header: dict[str, Any] = {}
        nodes = {node.number: node for node in _nodes(source, header)}
        work = [node for node in nodes.values() if node.is_device and node.duration_us >= 0]
        if not work:
            raise refuse(
                source.where, f"has no work of a device with a time among its {len(nodes)} nodes", _REMEDY
            )
        notes = []
        if not all(node.begin_us >= 0 for node in work):
            notes.append(
                "not every node tells when it began: they are laid one behind the other, in their order"
            )
            _lay_out(work)
        windows = _windows(nodes)
        if not windows:
            notes.append("no step is annotated: all device work counts as one step, number 0")
        zero_us = min([*(node.begin_us for node in work), *(begin for _, begin, _ in windows)])
        rank = max(0, integer_of(header.get("rank")))
        kernels = _table(nodes, work, windows, zero_us, rank)
        found = tuple(
            Window(rank=rank, step=step, begin_s=(begin - zero_us) / MEGA, end_s=(end - zero_us) / MEGA)
            for step, begin, end in windows
        )
        return Found(
            ops=OpsFound(kernels=kernels, windows=found, devices={rank: Device(kind="cuda")}),
            notes=tuple(notes),
        )


@dataclass(slots=True)
class _Node:
    number: int
    name: str
    is_device: bool
    kind: str
    begin_us: float
    duration_us: float
    stream: int
    parents: tuple[int, ...]
    said: str
    collective: str = ""
    size_bytes: float = float("nan")
    group_size: int = NOTHING
    work: Work = field(default_factory=Work)


def _nodes(source: Source, header: dict[str, Any]) -> Iterator[_Node]:
    if re.search(r'"nodes"\s*:', source.head):
        for batch in read_events(source, header, "nodes"):
            for place, node in enumerate(batch):
                yield _node(node, place)
        return
    for place, document in enumerate(read_documents(source)):
        if not isinstance(document, dict):
            raise refuse(source.where, f"value {place + 1} is no object", _REMEDY)
        if "id" in document:
            yield _node(document, place)


def _node(node: Mapping[str, Any], place: int) -> _Node:
    said = {
        str(one.get("name")): _value(one)
        for one in _list(node.get("attr", node.get("attrs")))
        if isinstance(one, dict)
    }
    category, kind = node.get("cat"), str(node.get("type", ""))
    duration = number_of(
        node.get(
            "durationMicros",
            node.get("duration_micros", node.get("exclusive_dur", node.get("inclusive_dur"))),
        )
    )
    begin = number_of(node.get("startTimeMicros", node.get("start_time_micros", node.get("ts"))))
    if category is not None:
        is_device = isinstance(category, str) and category in DEVICE_WORK
    else:
        is_device = kind.endswith("_NODE") and said.get("is_cpu_op") not in (True, 1, "true") and duration > 0
    deps = [
        *_list(node.get("ctrl_deps", node.get("ctrlDeps"))),
        *_list(node.get("dataDeps", node.get("data_deps"))),
    ]
    number = integer_of(node.get("id"))
    return _Node(
        number=number if number >= 0 else -2 - place, name=str(node.get("name", ""))[:4096], is_device=is_device,
        kind=DEVICE_WORK.get(category, "kernel") if isinstance(category, str) else "kernel",
        begin_us=begin if begin >= 0 else -1.0, duration_us=duration if duration >= 0 else -1.0,
        stream=integer_of(node.get("stream", said.get("stream", 0))), parents=tuple(integer_of(one) for one in deps),
        said=_operands(node.get("inputs")), collective=_collective(kind, said),
        size_bytes=number_of(said.get("comm_size", said.get("tensor_size"))),
        group_size=integer_of(said.get("pg_size", said.get("group_size"))),
    )  # fmt: skip


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _value(attribute: Mapping[str, Any]) -> Any:
    for name, value in attribute.items():
        if name == "value" or name.endswith(("Val", "_val")):
            return value
    return None


def _collective(kind: str, said: Mapping[str, Any]) -> str:
    if not kind.startswith("COMM_"):
        return ""
    number = integer_of(said.get("comm_type"))
    if kind != "COMM_COLL_NODE":
        return "send_recv"
    return _COLLECTIVES[number] if 0 <= number < len(_COLLECTIVES) else "other"


def _operands(inputs: Any) -> str:
    """Types, shapes, strides and values in the form that `operator_work` reads."""
    if not isinstance(inputs, dict):
        return ""
    types, shapes, strides, values = (
        _read(inputs.get(name)) for name in ("types", "shapes", "strides", "values")
    )
    if not isinstance(types, list) or not isinstance(shapes, list):
        return ""
    plain = [
        re.sub(r"^Tensor\((.*)\)$", r"\1", one) if str(one).startswith("Tensor(") else "Scalar"
        for one in types
    ]
    told = (
        [value if isinstance(value, str) else repr(value) for value in values]
        if isinstance(values, list)
        else []
    )
    return f"{plain}\n{shapes}\n{strides}\n{told}"[:4096]


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _lay_out(work: list[_Node]) -> None:
    ends: dict[int, float] = {}
    for node in sorted(work, key=lambda one: one.number):
        node.begin_us = ends.get(node.stream, 0.0)
        ends[node.stream] = node.begin_us + node.duration_us


def _windows(nodes: Mapping[int, _Node]) -> list[tuple[int, float, float]]:
    found = []
    for node in nodes.values():
        step = node.name.removeprefix(STEP)
        is_numbered = node.name.startswith(STEP) and step.isascii() and step.isdecimal() and len(step) < 16
        if is_numbered and node.begin_us >= 0 and node.duration_us > 0 and not node.is_device:
            found.append((int(step), node.begin_us, node.begin_us + node.duration_us))
    return sorted(set(found), key=lambda one: one[1])


def _table(
    nodes: Mapping[int, _Node],
    work: list[_Node],
    windows: list[tuple[int, float, float]],
    zero_us: float,
    rank: int,
) -> KernelTable:
    work.sort(key=lambda node: (node.begin_us, node.number))
    begins = np.array([node.begin_us for node in work])
    rows = [_described(node, nodes) for node in work]
    _share_out(work, rows)
    step = np.full(len(work), NOTHING if windows else 0, np.int64)
    for number, begin, end in windows:
        step[(begins >= begin) & (begins <= end)] = number
    reals = {
        "start_s": (begins - zero_us) / MEGA,
        "duration_s": np.array([node.duration_us for node in work]) / MEGA,
    }
    reals["launch_s"] = np.full(len(work), np.nan)
    for name in ("flop", "size_bytes"):
        reals[name] = np.array([np.nan if row[name] is None else row[name] for row in rows], float)
    whole = {
        "rank": np.full(len(work), rank), "device": np.zeros(len(work), np.int64), "step": step,
        "stream": np.array([node.stream for node in work], np.int64),
        "group_size": np.array([node.group_size for node in work], np.int64),
    }  # fmt: skip
    texts = {}
    for name in ("name", "op_class", "variant", "operator", "shapes", "settings", "dtype", "phase"):
        words: dict[str, int] = {}
        numbers = [
            words.setdefault(row[name], len(words)) if row[name] or name == "variant" else NOTHING
            for row in rows
        ]
        texts[name] = (np.array(numbers, np.int64), list(words))
    return KernelTable.from_columns({**reals, **whole}, texts)


def _share_out(work: list[_Node], rows: list[dict[str, Any]]) -> None:
    """Divide the work of an operator among its kernels by their durations."""
    whole_us: dict[int, float] = {}
    for node, row in zip(work, rows, strict=True):
        if row["owner"] is not None:
            whole_us[row["owner"]] = whole_us.get(row["owner"], 0.0) + node.duration_us
    for node, row in zip(work, rows, strict=True):
        if row["owner"] is not None and (total := whole_us[row["owner"]]) > 0:
            for name in ("flop", "size_bytes"):
                row[name] = None if row[name] is None else row[name] * node.duration_us / total


def _described(node: _Node, nodes: Mapping[int, _Node]) -> dict[str, Any]:
    operator = _operator(node, nodes)
    work = work_of(operator.name, operator.said) if operator is not None else Work()
    op_class = "communication" if node.collective else class_of(node.name, node.kind)
    is_product = bool(work.kind) and op_class in (work.kind, "gemm")
    size = node.size_bytes if node.size_bytes == node.size_bytes else None
    if size is None and (is_product or (op_class == "memory" and not work.kind)):
        size = work.size_bytes
    name = operator.name if operator is not None else ""
    return {
        "name": node.name or "(without a name)", "op_class": work.kind if is_product else op_class,
        "variant": node.collective or variant_of(node.name, op_class, node.kind), "operator": name,
        "shapes": work.shapes, "settings": work.settings if is_product else "",
        "dtype": work.dtype or dtype_of(node.name),
        "phase": "communication" if op_class == "communication" else _phase(node, nodes),
        "flop": work.flop if is_product else None, "size_bytes": size,
        "owner": operator.number if operator is not None and is_product else None,
    }  # fmt: skip


def _above(node: _Node, nodes: Mapping[int, _Node]) -> Iterator[_Node]:
    seen = {node.number}
    current = node
    for _ in range(_PARENTS):
        following = next((nodes[one] for one in current.parents if one in nodes and one not in seen), None)
        if following is None:
            return
        seen.add(following.number)
        yield following
        current = following


def _operator(node: _Node, nodes: Mapping[int, _Node]) -> _Node | None:
    """The operator that called for the work: the next one above that is the host's."""
    return next((one for one in _above(node, nodes) if not one.is_device and "::" in one.name), None)


def _phase(node: _Node, nodes: Mapping[int, _Node]) -> str:
    names = [one.name for one in _above(node, nodes)]
    if any(name.startswith("autograd::engine") or re.search(r"Backward\d*$", name) for name in names):
        return "backward"
    if any(name.startswith("Optimizer.") for name in names):
        return "optimizer"
    return "forward" if names else ""
