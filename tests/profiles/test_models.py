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
}
NOMINAL = {"gpt3-125m": 125e6, "gpt3-350m": 350e6, "gpt3-760m": 760e6, "gpt3-1.3b": 1.3e9, "gpt3-2.7b": 2.7e9}
NOMINAL |= {"gpt3-6.7b": 6.7e9, "gpt3-13b": 13e9, "gpt3-175b": 174.6e9}
NOMINAL |= {"opt-2.7b": 2.7e9, "opt-13b": 13e9, "opt-30b": 30e9, "opt-66b": 66e9, "opt-175b": 175e9}
NOMINAL |= {"megatron-22b": 22e9, "megatron-175b": 175e9, "megatron-530b": 530e9, "megatron-1t": 1000e9}


def preset(library: ProfileLibrary, name: str) -> ModelPreset:
    model = library.get("model", name)
    assert isinstance(model, ModelPreset)
    return model


def test_every_preset_is_counted_here(shipped: ProfileLibrary) -> None:
    assert set(shipped.names("model")) == {*NUM_PARAMETERS, *NOMINAL}


@pytest.mark.parametrize("name", NUM_PARAMETERS)
def test_parameters_are_exact(shipped: ProfileLibrary, name: str) -> None:
    assert preset(shipped, name).num_parameters == NUM_PARAMETERS[name]


@pytest.mark.parametrize("name", NOMINAL)
def test_sizes_without_a_published_count_match_their_name(shipped: ProfileLibrary, name: str) -> None:
    assert preset(shipped, name).num_parameters == pytest.approx(NOMINAL[name], rel=0.025)


def test_a_source_is_named(shipped: ProfileLibrary) -> None:
    for name in shipped.names("model"):
        assert len(preset(shipped, name).source) > 10
