"""Encoders, vision transformers, convolutional networks and recommenders: exact sizes, and work that adds up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.stepgraph import PRODUCTS, Kind, Phase, Scope
from simtool.workload.convnet import ConvNet, tape_of
from simtool.workload.encoder import Encoder
from simtool.workload.families import FAMILIES, PRESET_KINDS, family_of
from simtool.workload.graphs import step_graph
from simtool.workload.recommender import Recommender
from simtool.workload.transformer import Transformer, build_step_graph
from simtool.workload.vision import VisionTransformer

LIBRARY = default_library()
NUM_PARAMETERS = {
    "bert-base": 110_106_428,
    "bert-large": 336_226_108,
    "roberta-base": 124_697_433,
    "roberta-large": 355_412_057,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "t5-3b": 2_851_598_336,
    "t5-11b": 11_307_321_344,
    "t5-v1.1-xxl": 11_135_332_352,
    "vit-b-16": 86_567_656,
    "vit-b-32": 88_224_232,
    "vit-l-16": 304_326_632,
    "vit-h-14": 632_045_800,
    "deit-s-16": 22_050_664,
    "resnet-18": 11_689_512,
    "resnet-34": 21_797_672,
    "resnet-50": 25_557_032,
    "resnet-101": 44_549_160,
    "resnet-152": 60_192_808,
    "wide-resnet-50-2": 68_883_240,
    "resnext-101-32x4d": 44_177_704,
    "se-resnet-50": 28_088_024,
    "se-resnext-101-32x4d": 48_955_416,
    "vgg-16": 138_357_544,
    "mobilenet-v2": 3_504_872,
    "efficientnet-b0": 5_288_548,
    "efficientnet-b1": 7_794_184,
    "efficientnet-b2": 9_109_994,
    "efficientnet-b3": 12_233_232,
    "efficientnet-b4": 19_341_616,
    "efficientnet-b7": 66_347_960,
    "efficientnet-v2-s": 21_458_488,
}
"""Of the published checkpoints."""
DENSE_PARAMETERS = {"dlrm-criteo": 2_368_897}
FORWARD_GFLOP = {
    "resnet-50": 8.2,
    "resnet-152": 23.1,
    "vgg-16": 31.0,
    "mobilenet-v2": 0.60,
    "efficientnet-b0": 0.78,
    "efficientnet-b7": 74.0,
    "vit-b-16": 35.1,
    "vit-l-16": 123.1,
}
"""Multiply-adds of an image as published, twice."""
PRESETS = [(kind, name) for kind in PRESET_KINDS[1:] for name in LIBRARY.names(kind)]
ALL = [(kind, name) for kind in PRESET_KINDS for name in LIBRARY.names(kind)]


def shape(kind: str, name: str):
    return LIBRARY.get(kind, name).shape()


def seq_len_of(model) -> int:
    return 1 if model.sequence_problem(1) is None and model.sequence_problem(128) is not None else 128


def graph(model, **changes):
    options = {"seq_len": seq_len_of(model), "micro_batch": 2, "precision": "bf16", "attention": "unfused"}
    return step_graph(model, **(options | changes))


def test_every_preset_is_counted_here():
    assert {name for _, name in PRESETS} == {*NUM_PARAMETERS, *DENSE_PARAMETERS, "dlrm-dcn-v2"}


@pytest.mark.parametrize(("kind", "name"), PRESETS)
def test_parameters_are_those_of_the_checkpoint(kind, name):
    model = shape(kind, name)
    if name in NUM_PARAMETERS:
        assert model.num_parameters == NUM_PARAMETERS[name]
    elif name in DENSE_PARAMETERS:
        assert model.dense_parameters == DENSE_PARAMETERS[name]
    assert len(LIBRARY.get(kind, name).source) > 10


@pytest.mark.parametrize("name", FORWARD_GFLOP)
def test_forward_work_of_an_image_is_the_published_one(name):
    kind = "vision" if name.startswith("vit") else "convnet"
    work = graph(shape(kind, name), micro_batch=1, attention="unfused").flop(Phase.FORWARD)
    assert work / 1e9 == pytest.approx(FORWARD_GFLOP[name], rel=0.03)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_the_graph_does_the_work_that_the_model_counts(kind, name):
    """Built operation by operation, against a closed form of the weights."""
    model = shape(kind, name)
    if isinstance(model, Transformer) and model.attention_window is not None:
        model = model.model_copy(update={"attention_window": None, "full_attention_period": None})
    built = graph(model)
    kinds = (*PRODUCTS, Kind.UNFUSED_ATTENTION)
    work = sum(
        built.executions(op) * op.flop for op in built if op.kind in kinds or op.scope is not Scope.STEP
    )
    expected = 2 * seq_len_of(model) * model.model_flop_per_token(seq_len_of(model))
    # Rounding the decoder's tokens, and a decoder that is causal, leave a little.
    assert work == pytest.approx(expected, rel=0.02 if "t5" in name else 1e-9)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_sizes_by_part_add_up(kind, name):
    model = shape(kind, name)
    total = model.num_layers * model.parameters_per_layer + model.embedding_parameters + model.head_parameters
    assert total == pytest.approx(model.num_parameters, rel=1e-12)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_work_rises_with_the_batch_and_not_with_the_format(kind, name):
    model = shape(kind, name)
    one, two = (graph(model, micro_batch=size).flop() for size in (1, 2))
    assert two == pytest.approx(2.0 * one, rel=1e-12)
    assert graph(model, precision="fp32").flop() == pytest.approx(two, rel=1e-12)


def test_an_encoder_of_one_stack_is_a_decoder_that_sees_all():
    bert = Encoder(
        num_encoder_layers=4,
        hidden_size=256,
        num_heads=4,
        ffn_hidden_size=1024,
        vocab_size=1000,
        final_norm=True,
    )
    decoder = Transformer(
        num_layers=4,
        hidden_size=256,
        num_heads=4,
        ffn_hidden_size=1024,
        vocab_size=1000,
        max_positions=512,
        causal=False,
    )
    assert bert.num_parameters == decoder.num_parameters
    options = {"seq_len": 128, "micro_batch": 2, "precision": "bf16", "attention": "flash"}
    one, other = step_graph(bert, **options), build_step_graph(decoder, **options)
    assert {op.name: op.flop for op in one} == {op.name: op.flop for op in other}


@given(st.sampled_from([0.05, 0.15, 0.5, 1.0]))
def test_a_head_that_sees_masked_tokens_alone_is_cheaper(frac):
    model = shape("encoder", "bert-base").model_copy(update={"masked_frac": frac})
    head = graph(model).select(lambda op: op.scope is Scope.HEAD and op.kind is Kind.GEMM)
    whole = graph(shape("encoder", "bert-base")).select(
        lambda op: op.scope is Scope.HEAD and op.kind is Kind.GEMM
    )
    assert head.flop() == pytest.approx(frac * whole.flop(), rel=1e-12)


def test_a_convolution_reads_its_image_once_and_a_depthwise_one_is_bound_by_memory():
    resnet, mobile = (graph(shape("convnet", name)) for name in ("resnet-50", "mobilenet-v2"))
    middle = next(op for op in resnet if op.kind is Kind.CONVOLUTION and op.k == 64 * 9)
    assert middle.bytes < 2.0 * (op_elements := middle.m * (64 + 64) + middle.n * middle.k) * 1.001
    assert op_elements < middle.m * middle.k
    assert any(op.name == "depthwise" and op.kind is Kind.MEMORY for op in mobile)
    assert not any(op.name == "depthwise" for op in resnet)


def test_the_first_convolution_has_no_gradient_of_the_image():
    model = shape("convnet", "resnet-50")
    first = tape_of(model).convs[0]
    phases = [op.phase for op in graph(model) if op.k == first.inner and op.n == first.outer]
    assert Phase.FORWARD in phases
    backward = [op for op in graph(model) if op.phase is Phase.BACKWARD_INPUT and op.n == first.inner]
    assert not [op for op in backward if op.m == 2 * first.positions]


def test_tables_are_looked_up_and_updated_by_the_row():
    dlrm = shape("recommender", "dlrm-criteo")
    many = dlrm.model_copy(update={"num_rows": 10 * dlrm.num_rows})
    assert graph(many).ops == graph(dlrm).ops
    twice = dlrm.model_copy(update={"lookups_per_table": 2.0})
    moved = [next(op.bytes for op in graph(one) if op.name == "look_up") for one in (dlrm, twice)]
    assert moved[0] < moved[1] < 2.0 * moved[0]


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        (Encoder, {"num_encoder_layers": 2, "hidden_size": 100, "num_heads": 3, "ffn_hidden_size": 8, "vocab_size": 9}),
        (VisionTransformer, {"image_size": 224, "patch_size": 15, "num_layers": 1, "token_features": 8,
                             "num_heads": 2, "ffn_hidden_size": 8}),
        (ConvNet, {"image_size": 8, "stages": [{"block": "plain", "repeats": 1, "channels": 8}], "pooled_size": 9}),
        (ConvNet, {"image_size": 8, "stages": []}),
        (Recommender, {"num_tables": 2, "num_rows": 9, "table_width": 4, "bottom": (8, 5), "top": (1,)}),
        (Recommender, {"num_tables": 2, "num_rows": 9, "table_width": 4, "top": (1,), "cross_layers": 2}),
    ],
)  # fmt: skip
def test_impossible_shapes_are_refused(family, fields):
    with pytest.raises(ValidationError):
        family(**fields)


def test_a_family_is_named_or_near_ones_are():
    assert family_of({}, "") is Transformer
    assert {family_of({"family": name}, "") for name in FAMILIES} == set(FAMILIES.values())
    with pytest.raises(InputError, match="convnet"):
        family_of({"family": "convnets"}, "a.yaml:3:1")
    with pytest.raises(InputError, match=r"found \['x'\]"):
        family_of({"family": ["x"]}, "")
    with pytest.raises(TypeError, match="no step graph for int"):
        step_graph(3, seq_len=1)
