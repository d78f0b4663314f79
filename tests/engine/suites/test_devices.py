"""What is told of the device: names without marks, caches of the last level."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from simtool.engine.suites.devices import cpu_name, facts_of, last_cache_bytes

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) Processor @ 2.80GHz
cpu family\t: 6
model\t\t: 106
stepping\t: 6
flags\t\t: fpu vme {more}
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (XEON.format(more="avx2"), "Intel Xeon Processor @ 2.80GHz (family 6, model 106, stepping 6)"),
        (
            XEON.format(more="hypervisor"),
            "Intel Xeon Processor @ 2.80GHz (family 6, model 106, stepping 6, virtual)",
        ),
        ("model name\t: AMD EPYC 9654 96-Core Processor\n", "AMD EPYC 9654 96-Core Processor"),
    ],
)
def test_a_processor_is_named_with_its_generation(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "cpuinfo").write_text(text, "utf-8")
    assert cpu_name(tmp_path / "cpuinfo") == name


def test_without_a_list_of_processors_python_names_the_machine(tmp_path: Path) -> None:
    assert cpu_name(tmp_path / "nothing")


def test_the_last_cache_counts(tmp_path: Path) -> None:
    for index, (level, size) in enumerate((("1", "48K"), ("2", "1280K"), ("3", "48M"), ("x", "9M"))):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "level").write_text(level, "utf-8")
        (tmp_path / f"index{index}" / "size").write_text(size, "utf-8")
    assert last_cache_bytes(tmp_path) == 48 * 2**20
    assert last_cache_bytes(tmp_path / "nothing") == 0.0


def test_the_facts_of_this_processor() -> None:
    facts = facts_of(torch.device("cpu"))
    assert facts.kind == facts.architecture == "cpu"
    assert facts.memory_size_bytes > 2**28
    assert facts.cache_size_bytes > 2**16
    assert facts.num_threads == facts.num_processors == torch.get_num_threads()
