"""Families of models in a scenario: by preset, by their fields, and refused where they do not fit."""

from __future__ import annotations

import pytest

import simtool
from simtool.errors import InputError

IMAGES = ["workload.seq_len=1", "workload.tokens=100 Mtoken", "workload.global_batch=4096", "method=none"]
ONE_NODE = ["cluster.num_nodes=1", "cluster.spare_nodes=0", "software.framework=vision-examples"]


def prepared(tmp_path, model: str, *changes: str):
    """The quickstart with another model, on a node."""
    path = tmp_path / "a.yaml"
    text = simtool.load_scenario("quickstart").path.read_text("utf-8")
    lines = text.splitlines()
    (start,) = (number for number, line in enumerate(lines) if line.startswith("workload:"))
    del lines[start]
    while start < len(lines) and lines[start].startswith((" ", "#")):
        del lines[start]
    lines.insert(start, f"workload: {{model: {model}, tokens: 1 Gtoken, seq_len: 2048, global_batch: 512}}")
    path.write_text("\n".join(lines), "utf-8")
    return simtool.run(path, [*ONE_NODE, *changes])


def test_images_are_samples_and_count_as_tokens(tmp_path):
    by_name = prepared(tmp_path, "resnet-50", *IMAGES)
    assert by_name.value("num_parameters") == 25_557_032
    stages = "[{block: plain, repeats: 2, channels: 64, stride: 2}]"
    by_fields = prepared(tmp_path, f"{{family: convnet, image_size: 64, stages: {stages}}}", *IMAGES)
    assert by_fields.value("num_parameters") == 3 * 9 * 64 + 128 + 64 * 9 * 64 + 128 + 64 * 1000 + 1000
    assert by_fields.value("duration_s") < by_name.value("duration_s")
    assert by_name.value("tokens_per_s") > 1000.0


def test_experts_run_as_laid_out_and_by_themselves(tmp_path):
    cluster = ["cluster.num_nodes=8", "software.framework=megatron-core"]
    written = prepared(tmp_path, "qwen3-30b-a3b", *cluster, "layout={ep: 8, zero: 1}")
    assert (written.layout.ep, written.layout.dp) == (8, 64)
    chosen = prepared(tmp_path, "qwen3-30b-a3b", *cluster, "layout=auto")
    assert chosen.value("duration_s") <= written.value("duration_s")


def test_encoders_have_tokens(tmp_path):
    bert = prepared(tmp_path, "bert-large", "workload.seq_len=512")
    assert bert.value("num_parameters") == 336_226_108
    with pytest.raises(InputError, match="512 learned positions"):
        prepared(tmp_path, "bert-large", "workload.seq_len=1024")


@pytest.mark.parametrize(
    ("model", "changes", "complaint"),
    [
        ("resnet-50", [], "use 1: a sample then counts as a token"),
        ("resnet-5", IMAGES, "resnet-50"),
        ("{family: convnets}", IMAGES, "did you mean 'convnet'"),
        ("resnet-50", [*IMAGES, "layout={tp: 2}"], "layout.tp"),
        ("{family: convnet, image_size: 64, stages: []}", IMAGES, "workload.model.stages"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_stands(tmp_path, model, changes, complaint):
    with pytest.raises(InputError, match=complaint):
        prepared(tmp_path, model, *changes)
