"""Chakra execution traces: joined with the profiler, from the jsonizer, and without any time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simtool.errors import InputError
from simtool.trace import import_trace
from tests.trace.power_files import put


def joined(**change: Any) -> dict[str, Any]:
    inputs = {
        "values": ["<Tensor>", "<Tensor>"],
        "shapes": [[4, 8], [8, 2]],
        "types": ["Tensor(float)", "Tensor(float)"],
    }
    nodes = [
        {
            "id": 1,
            "name": "ProfilerStep#3",
            "ctrl_deps": 0,
            "cat": "user_annotation",
            "ts": 100,
            "inclusive_dur": 100,
        },
        {
            "id": 2,
            "name": "aten::mm",
            "ctrl_deps": 1,
            "cat": "cpu_op",
            "ts": 105,
            "inclusive_dur": 10,
            "inputs": inputs,
        },
        {
            "id": 3,
            "name": "ampere_sgemm_128x64_nn",
            "ctrl_deps": 2,
            "cat": "kernel",
            "ts": 110,
            "exclusive_dur": 30,
            "stream": 7,
        },
        {
            "id": 4,
            "name": "ncclDevKernel_AllGather_RING_LL",
            "ctrl_deps": 1,
            "cat": "kernel",
            "ts": 120,
            "exclusive_dur": 40,
            "stream": 20,
        },
    ]
    return {"schema": "1.1.1-chakra.0.0.4", "pid": 1, "nodes": nodes, **change}


def test_a_trace_joined_with_the_profiler(tmp_path: Path) -> None:
    imported = import_trace(put(tmp_path / "t.json", json.dumps(joined())))
    kernels = imported.kernels.table.to_pylist()
    assert imported.manifest.sources == ("t.json (chakra)",)
    assert [row["op_class"] for row in kernels] == ["gemm", "communication"]
    assert kernels[0]["operator"] == "aten::mm"
    assert kernels[0]["shapes"] == "[[4,8],[8,2]]"
    assert kernels[0]["flop"] == 2.0 * 4 * 8 * 2
    assert kernels[1]["variant"] == "all_gather"
    (step,) = imported.steps
    assert (step.step, step.num_ops) == (3, 2)
    assert step.exposed_communication_s == pytest.approx(20e-6)


def test_the_jsonizers_documents_one_behind_the_other(tmp_path: Path) -> None:
    inputs = {"values": "[]", "shapes": "[[4, 8], [8, 2]]", "types": "['Tensor(float)', 'Tensor(float)']"}
    sizes = [{"name": "comm_type", "int64Val": "7"}, {"name": "comm_size", "int64Val": "1048576"}]
    documents = [
        {"version": "0.0.4"},
        {"id": "1", "name": "aten::mm", "type": "COMP_NODE", "durationMicros": "9", "inputs": inputs,
         "attr": [{"name": "is_cpu_op", "boolVal": True}]},
        {"id": "2", "name": "sgemm", "type": "COMP_NODE", "ctrlDeps": ["1"], "durationMicros": "30",
         "attr": [{"name": "is_cpu_op", "boolVal": False}]},
        {"id": "3", "name": "reduce grads", "type": "COMM_COLL_NODE", "dataDeps": ["2"], "durationMicros": "50",
         "attr": sizes},
    ]  # fmt: skip
    imported = import_trace(put(tmp_path / "t.json", "".join(json.dumps(one, indent=1) for one in documents)))
    kernels = imported.kernels.table.to_pylist()
    assert [row["op_class"] for row in kernels] == ["gemm", "communication"]
    assert [row["flop"] for row in kernels] == [128.0, None]
    assert kernels[1]["variant"] == "reduce_scatter"
    assert kernels[1]["size_bytes"] == 1048576
    assert [row["start_s"] for row in kernels] == pytest.approx([0.0, 30e-6])
    assert any("laid one behind the other" in note for note in imported.notes)


def test_a_trace_of_the_host_alone_is_refused(tmp_path: Path) -> None:
    document = joined()
    document["nodes"] = document["nodes"][:2]
    with pytest.raises(InputError, match=r"no work of a device with a time among its 2 nodes; join it with"):
        import_trace(put(tmp_path / "t.json", json.dumps(document)))
