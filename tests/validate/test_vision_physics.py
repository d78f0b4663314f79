"""What images and recommenders cost beside plain products: passes, windows, tables, the host, the bus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.config.scenario import Cluster
from simtool.layout.layouts import Layouts
from simtool.machine.build import build_machine
from simtool.machine.machine import Machine
from simtool.profiles.find import default_library
from simtool.step.estimate import StepEstimate
from simtool.step.step import Job, estimate_step
from simtool.stepgraph import Kind, StepGraph
from simtool.workload.convnet import ConvNet
from simtool.workload.encoder import Encoder
from simtool.workload.graphs import step_graph
from simtool.workload.recommender import Recommender

LIBRARY = default_library()


def shape(kind: str, name: str) -> Any:
    preset: Any = LIBRARY.get(kind, name)
    return preset.shape()


def graph_of(model: object, precision: str = "fp16", seq_len: int = 1) -> StepGraph:
    return step_graph(model, seq_len=seq_len, micro_batch=8.0, precision=precision, attention="unfused")


def machine_of(accelerator: str, num_nodes: int = 1, software: str = "vision-examples") -> Machine:
    cluster = Cluster(accelerator=accelerator, num_nodes=num_nodes)
    return build_machine(
        LIBRARY, cluster, software, attention=None, power_limit_w=None, locate=lambda field: field
    )


def estimate(model: object, machine: Machine, num_devices: float, batch: float) -> StepEstimate:
    job = Job(model=model, seq_len=1, precision="fp16", recompute="none", attention="unfused")  # type: ignore[arg-type]
    layouts = Layouts(
        tp=1.0,
        pp=1.0,
        vpp=1.0,
        dp=num_devices,
        zero=0.0,
        micro_batch=batch,
        sequence_parallel=False,
        num_micro_batches=1.0,
    )
    return estimate_step(job, layouts, machine)


def moved(graph: StepGraph, *names: str) -> float:
    return sum(float(np.asarray(op.bytes * graph.executions(op))) for op in graph if op.name in names)


def test_a_swish_moves_more_than_a_relu() -> None:
    swish: ConvNet = shape("convnet", "efficientnet-b0")
    relu = swish.model_copy(update={"activation": "relu"})
    more = moved(graph_of(swish), "norms_and_activations") / moved(graph_of(relu), "norms_and_activations")
    assert 1.2 < more < 1.6


def test_windows_of_three_cost_less_on_ordinary_units_alone() -> None:
    def inner(precision: str) -> set[float]:
        graph = graph_of(shape("convnet", "resnet-50"), precision)
        return {float(op.k) for op in graph if op.kind is Kind.CONVOLUTION}

    assert 576.0 in inner("tf32")  # 64 channels x 3 x 3
    assert 256.0 in inner("fp32")  # 576 / 2.25
    assert graph_of(shape("convnet", "resnet-50"), "fp32").flop() == pytest.approx(
        graph_of(shape("convnet", "resnet-50"), "tf32").flop()
    )


def test_fine_tuning_has_no_head_over_the_vocabulary() -> None:
    bert: Encoder = shape("encoder", "bert-base").model_copy(update={"masked_frac": 0.0})
    assert not [op for op in graph_of(bert, seq_len=128) if op.name in ("logits", "loss", "head_transform")]


def test_adagrad_moves_its_sums_of_squares() -> None:
    sgd: Recommender = shape("recommender", "dlrm-criteo")
    adagrad = sgd.model_copy(update={"row_optimizer": "adagrad"})
    rows = sgd.lookups * sgd.table_width * 4.0 * 8.0
    more = moved(graph_of(adagrad), "update_rows") - moved(graph_of(sgd), "update_rows")
    assert more == pytest.approx(2.0 * rows)


@given(st.floats(1.0, 64.0), st.floats(1.0, 100.0))
def test_a_table_sends_at_most_a_sum_for_every_group_and_every_lookup(groups: float, lookups: float) -> None:
    model = shape("recommender", "dlrm-criteo").model_copy(update={"lookups_per_table": lookups})
    sums = float(np.asarray(model.sums_per_table(groups)))
    assert 1.0 - 1e-9 <= sums <= min(groups, lookups) + 1e-9


def test_the_device_waits_where_the_host_prepares_images_more_slowly() -> None:
    model = shape("convnet", "resnet-18")
    machine = machine_of("v100-sxm2-16")
    full, alone = (estimate(model, machine, devices, 256.0).seconds["data"] for devices in (8.0, 1.0))
    assert float(np.asarray(full)) > 10.0 * float(np.asarray(alone))  # one board has all the cores
    images_per_s = 8 * 256.0 / float(np.asarray(estimate(model, machine, 8.0, 256.0).step_time_s))
    assert machine.node.host_cores is not None
    assert images_per_s < float(machine.node.host_cores) * 30e6 / 150528  # cores x rate / bytes of an image


def test_bridged_boards_of_one_server_meet_on_its_bus() -> None:
    assert machine_of("h100-pcie").fabric.scale_out.name == "pcie5x16"
    assert machine_of("h100-pcie", num_nodes=2).fabric.scale_out.name != "pcie5x16"
    assert machine_of("h100-sxm").fabric.scale_out.name == "ib-ndr"


def test_the_framework_scales_all_work_on_an_architecture_and_fp32_apart() -> None:
    seen, other = (
        machine_of(name, software="dle-pytorch-convnet").device for name in ("v100-sxm2-16", "h100-sxm")
    )
    ratio = LIBRARY.get("software", "dle-pytorch-convnet").architecture_ratio
    assert seen.stack_ratio == float(ratio["volta"])
    assert other.stack_ratio == float(ratio["default"])
    assert seen.low_precision_ratio["fp32"] < 1.0
