"""Sizes of operations from recorded shapes: what they say, and nothing where they do not say it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.calibrate.profiled_calls import sizes_of
from simtool.trace.operator_work import work_of

TEXT = st.text(max_size=40) | st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4)
).map(json.dumps)
OPERATORS = st.sampled_from(
    ["aten::mm", "aten::addmm", "aten::bmm", "aten::linear", "aten::_flash_attention_forward",
     "aten::_flash_attention_backward", "aten::_scaled_dot_product_flash_attention", "aten::cudnn_convolution",
     "aten::_grouped_mm", "nobody::knows"]
)  # fmt: skip


@given(
    op_class=st.sampled_from(["gemm", "attention", "conv", "memory"]),
    operator=OPERATORS,
    shapes=TEXT,
    settings=TEXT,
)
def test_no_text_is_a_traceback(op_class: str, operator: str, shapes: str, settings: str) -> None:
    found = sizes_of(op_class, operator, shapes, settings)
    assert found is None or all(size > 0 for _, size in found[0])


SIZES = st.integers(1, 4096)


@given(batch=SIZES, m=SIZES, n=SIZES, k=SIZES)
def test_products_count_the_operations_that_the_reader_counts(batch: int, m: int, n: int, k: int) -> None:
    for operator, shapes in (
        ("aten::mm", [[m, k], [k, n]]),
        ("aten::addmm", [[n], [m, k], [k, n]]),
        ("aten::bmm", [[batch, m, k], [batch, k, n]]),
        ("aten::linear", [[batch, m, k], [n, k], [n]]),
    ):
        types = ["c10::BFloat16"] * len(shapes)
        said = "\n".join(repr(one) for one in (types, shapes, [[]] * len(shapes), [""] * len(shapes)))
        found = sizes_of("gemm", operator, json.dumps(shapes), "")
        assert found is not None
        assert found[1] == work_of(operator, said).flop


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("backward", [True, False])
def test_attention_counts_what_the_reader_counts(causal: bool, backward: bool) -> None:
    queries, keys = [2, 512, 16, 64], [2, 768, 4, 64]
    shapes = [queries, keys, keys]
    places = ["", "", "", "", "", "", "", "", str(causal)]
    operator = "aten::_flash_attention_forward"
    if backward:
        shapes, operator = [queries, queries, keys, keys], "aten::_flash_attention_backward"
        places = [""] * 11 + [str(causal)]
    num = len(places)
    types = ["c10::BFloat16"] * len(shapes) + [""] * (num - len(shapes))
    padded = shapes + [[]] * (num - len(shapes))
    said = "\n".join(repr(one) for one in (types, padded, [[]] * num, places))
    found = sizes_of("attention", operator, json.dumps(shapes), json.dumps({"causal": causal}))
    assert found is not None
    assert found[1] == work_of(operator, said).flop
    sizes = dict(found[0])
    assert sizes["num_kv_heads"] == 4.0
    # under the mask the first query sees 257 keys and the last one all 768
    assert sizes["num_keys"] == pytest.approx(512.5 if causal else 768.0)


def test_a_convolution_is_the_product_it_comes_to() -> None:
    settings = {"stride": [2, 2], "padding": [3, 3], "dilation": [1, 1], "groups": 1}
    found = sizes_of("conv", "aten::cudnn_convolution", "[[8,3,224,224],[64,3,7,7]]", json.dumps(settings))
    assert found is not None
    assert dict(found[0]) == {"batch": 1.0, "m": 8 * 112 * 112, "n": 64.0, "k": 147.0}
    grouped = json.dumps(settings | {"groups": 3})
    assert sizes_of("conv", "aten::cudnn_convolution", "[[8,3,224,224],[64,1,7,7]]", grouped) is None
