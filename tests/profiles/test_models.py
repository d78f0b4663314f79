"""Model presets hold exactly as many parameters as the published checkpoints."""

from __future__ import annotations

import pytest

from simtool.profiles.find import ProfileLibrary
from simtool.workload.preset import ModelPreset

NUM_PARAMETERS = {
    "bloom-176b": 176_247_271_424,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "llama2-7b": 6_738_415_616,
    "llama2-13b": 13_015_864_320,
    "llama2-70b": 68_976_648_192,
    "llama3-8b": 8_030_261_248,
    "llama3-70b": 70_553_706_496,
    "llama3.1-8b": 8_030_261_248,
    "llama3.1-70b": 70_553_706_496,
    "llama3.1-405b": 405_853_388_800,
    "mistral-7b": 7_241_732_096,
    "opt-125m": 125_239_296,
    "opt-1.3b": 1_315_758_080,
    "opt-6.7b": 6_658_473_984,
    "qwen2-0.5b": 494_032_768,
    "qwen2-1.5b": 1_543_714_304,
    "qwen2-7b": 7_615_616_512,
    "qwen2-72b": 72_706_203_648,
    "qwen3-0.6b": 596_049_920,
    "qwen3-8b": 8_190_735_360,
    "qwen3-32b": 32_762_123_264,
    "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b": 140_620_634_112,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-235b-a22b": 235_093_634_560,
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-v2": 235_741_434_880,
    "deepseek-v3": 671_026_419_200,
    "kimi-k2": 1_026_408_232_448,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "llama4-scout": 107_769_861_120,
    "llama4-maverick": 400_711_848_960,
}
NOMINAL = {"gpt3-125m": 125e6, "gpt3-350m": 350e6, "gpt3-760m": 760e6, "gpt3-1.3b": 1.3e9, "gpt3-2.7b": 2.7e9}
NOMINAL |= {"gpt3-6.7b": 6.7e9, "gpt3-13b": 13e9, "gpt3-175b": 174.6e9}
NOMINAL |= {"opt-2.7b": 2.7e9, "opt-13b": 13e9, "opt-30b": 30e9, "opt-66b": 66e9, "opt-175b": 175e9}
NOMINAL |= {"megatron-22b": 22e9, "megatron-175b": 175e9, "megatron-530b": 530e9, "megatron-1t": 1000e9}
ACTIVE = {
    "mixtral-8x7b": 12.9e9,
    "mixtral-8x22b": 39e9,
    "qwen3-30b-a3b": 3.3e9,
    "qwen3-235b-a22b": 22e9,
    "deepseek-v2": 21e9,
    "deepseek-v3": 37e9,
    "kimi-k2": 32.6e9,
    "llama4-scout": 17e9,
    "llama4-maverick": 17e9,
}
"""As their papers and cards give them."""
UNEMBEDDED = {"gpt-oss-20b": 3.61e9, "gpt-oss-120b": 5.13e9}
"""Without the input table (arXiv 2508.10925, table 1)."""


def preset(library: ProfileLibrary, name: str) -> ModelPreset:
    model = library.get("model", name)
    assert isinstance(model, ModelPreset)
    return model


def test_every_preset_is_counted_here(shipped: ProfileLibrary) -> None:
    assert set(shipped.names("model")) == {*NUM_PARAMETERS, *NOMINAL}


@pytest.mark.parametrize("name", NUM_PARAMETERS)
def test_parameters_are_exact(shipped: ProfileLibrary, name: str) -> None:
    assert preset(shipped, name).num_parameters == NUM_PARAMETERS[name]


@pytest.mark.parametrize("name", ACTIVE)
def test_a_token_uses_as_many_weights_as_published(shipped: ProfileLibrary, name: str) -> None:
    assert preset(shipped, name).num_active_parameters == pytest.approx(ACTIVE[name], rel=0.03)


@pytest.mark.parametrize("name", UNEMBEDDED)
def test_a_token_uses_as_many_weights_as_published_without_its_table(
    shipped: ProfileLibrary, name: str
) -> None:
    model = preset(shipped, name)
    assert model.num_active_parameters - model.embedding_parameters == pytest.approx(
        UNEMBEDDED[name], rel=2e-3
    )


@pytest.mark.parametrize("name", NOMINAL)
def test_sizes_without_a_published_count_match_their_name(shipped: ProfileLibrary, name: str) -> None:
    assert preset(shipped, name).num_parameters == pytest.approx(NOMINAL[name], rel=0.025)


def test_a_source_is_named(shipped: ProfileLibrary) -> None:
    for name in shipped.names("model"):
        assert len(preset(shipped, name).source) > 10
