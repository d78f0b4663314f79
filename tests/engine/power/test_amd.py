"""AMD GPUs through a module that answers like amdsmi, with the faults that its counters are known for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from simtool.engine.power.amd import open_amd
from simtool.engine.power.meter import EnergyReport, UnavailableError
from simtool.engine.power.open import open_meter
from simtool.engine.power.sampled import SampledMeter
from simtool.errors import InputError
from tests.engine.power.bench import jittered

RESOLUTION_UJ = 15.259


class Amd:
    """A machine with AMD GPUs of 200 W each, and its clock."""

    def __init__(self, names: list[str]) -> None:
        self.now_s = 100.0
        self.names = names
        self.powers_w: list[Any] = [200.0] * len(names)
        self.counter: Callable[[float], Any] = lambda now_s: int(200.0 * now_s / (RESOLUTION_UJ * 1e-6))
        self.refused: dict[str, str] = {}
        self.is_open = False

    def module(self) -> ModuleType:
        """What ``import amdsmi`` gives."""
        smi: Any = ModuleType("amdsmi")

        class AmdSmiException(Exception):  # noqa: N818
            """As amdsmi names it."""

        def call(name: str, answer: Callable[[int], Any]) -> Callable[..., Any]:
            def ask(handle: int, *_arguments: object) -> Any:
                if name in self.refused:
                    raise AmdSmiException(self.refused[name])
                return answer(handle)

            return ask

        def opened() -> None:
            if "init" in self.refused:
                raise AmdSmiException(self.refused["init"])
            self.is_open = True

        def closed() -> None:
            self.is_open = False

        smi.AmdSmiException = AmdSmiException
        smi.amdsmi_init, smi.amdsmi_shut_down = opened, closed
        smi.amdsmi_get_processor_handles = lambda: list(range(len(self.names)))
        smi.amdsmi_get_gpu_asic_info = call("asic", lambda handle: {"market_name": self.names[handle]})
        smi.amdsmi_get_gpu_driver_info = call("driver", lambda _handle: {"driver_version": "6.8.5"})
        smi.amdsmi_get_power_info = call(
            "power",
            lambda handle: {"current_socket_power": "N/A", "average_socket_power": self.powers_w[handle]},
        )
        smi.amdsmi_get_power_cap_info = call("cap", lambda _handle: {"power_cap": 500_000_000})
        smi.amdsmi_get_energy_count = call(
            "energy",
            lambda _handle: {
                "energy_accumulator": self.counter(self.now_s),
                "counter_resolution": RESOLUTION_UJ,
            },
        )
        smi.AmdSmiClkType = SimpleNamespace(GFX=0, MEM=4)
        smi.AmdSmiTemperatureType = SimpleNamespace(HOTSPOT=1)
        smi.AmdSmiTemperatureMetric = SimpleNamespace(CURRENT=0)
        smi.amdsmi_get_clock_info = call("clock", lambda _handle: {"clk": 1700})
        smi.amdsmi_get_temp_metric = call("temperature", lambda _handle: 51)
        return smi

    # The sampler's side.

    def start(self, take: Callable[[], bool]) -> None:
        """Remembers what to call."""
        self.take = take

    def wait(self, duration_s: float) -> None:
        """Lets time pass, reading."""
        end_s, periods = self.now_s + duration_s, jittered()
        while (next_s := self.now_s + next(periods)) < end_s:
            self.now_s = next_s
            if not self.take():
                break
        self.now_s = end_s

    def stop(self) -> None:
        """Nothing runs."""

    def run(self, duration_s: float = 5.0, device: str = "") -> EnergyReport:
        """A plain measurement."""
        meter = SampledMeter(open_amd(device), self, clock=lambda: self.now_s).start()
        self.wait(duration_s)
        return meter.stop()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Amd]:
    """Makes machines."""

    def make(*names: str) -> Amd:
        made = Amd(list(names) or ["AMD Instinct MI300X"])
        monkeypatch.setitem(sys.modules, "amdsmi", made.module())
        return made

    return make


def told(report: EnergyReport, words: str) -> bool:
    """Whether a note says so."""
    return any(words in note for note in report.notes)


def test_the_accumulator_times_its_resolution_is_the_energy(machine: Callable[..., Amd]) -> None:
    made = machine()
    report = made.run()
    assert report.energy_j == pytest.approx(1000.0, rel=0.01)
    assert report.source == "amd-counter"
    assert report.limit_w == 500
    assert not report.is_flagged
    assert not made.is_open


@pytest.mark.parametrize(
    ("counter", "words"),
    [
        (lambda _now_s: 123_456_789, "stood still"),
        (lambda now_s: int(200.0 * now_s), "rule out"),  # microjoules counted as joules of something else
        (lambda now_s: int(400.0 * now_s / (RESOLUTION_UJ * 1e-6)), "rule out"),
    ],
    ids=["frozen", "scaled", "doubled"],
)
def test_a_broken_counter_is_found_out_and_the_samples_are_used(
    machine: Callable[..., Amd], counter: Callable[[float], int], words: str
) -> None:
    made = machine("AMD Instinct MI100")
    made.counter = counter
    report = made.run()
    assert told(report, words)
    assert report.is_flagged
    assert report.source == "amd-samples"
    assert report.energy_j == pytest.approx(1000.0, rel=0.02)


def test_without_a_counter_samples_are_integrated(machine: Callable[..., Amd]) -> None:
    made = machine()
    made.refused["energy"] = "AMDSMI_STATUS_NOT_SUPPORTED"
    report = made.run()
    assert report.energy_j == pytest.approx(1000.0, rel=0.01)
    assert told(report, "no energy counter")


def test_the_second_die_of_a_card_is_refused_rather_than_read_as_zero(machine: Callable[..., Amd]) -> None:
    made = machine("AMD Instinct MI250X", "AMD Instinct MI250X")
    made.powers_w = [400.0, 0]
    with pytest.raises(InputError, match=r"0 W.*other die; open the card's other device"):
        open_meter("amd", "1")
    made.counter = lambda now_s: int(400.0 * now_s / (RESOLUTION_UJ * 1e-6))
    report = made.run(device="0")
    assert report.scope == "card"
    assert told(report, "both dies")


def test_a_driver_that_goes_away_midway_keeps_what_was_read(machine: Callable[..., Amd]) -> None:
    made = machine()
    meter = SampledMeter(open_amd(), made, clock=lambda: made.now_s).start()
    made.wait(3.0)
    made.refused["power"] = "AMDSMI_STATUS_NOT_INIT"
    made.wait(3.0)
    report = meter.stop()
    assert report.kind == "modelled"
    assert report.energy_j == pytest.approx(1200.0, rel=0.02)
    assert report.modelled_j == pytest.approx(600.0, rel=0.05)


def test_a_reading_that_fails_now_and_then_is_a_fault_not_an_end(machine: Callable[..., Amd]) -> None:
    made = machine()
    meter = SampledMeter(open_amd(), made, clock=lambda: made.now_s).start()
    made.wait(1.0)
    made.refused["power"] = "AMDSMI_STATUS_BUSY"
    made.wait(0.5)
    del made.refused["power"]
    made.wait(1.0)
    report = meter.stop()
    assert report.kind == "measured"
    assert report.num_faults > 5
    assert report.energy_j == pytest.approx(500.0, rel=0.02)


def test_clocks_and_temperature_are_read_and_may_be_missing(machine: Callable[..., Amd]) -> None:
    made = machine()
    meter = SampledMeter(open_amd(), made, clock=lambda: made.now_s).start()
    made.wait(0.2)
    made.refused["temperature"] = "AMDSMI_STATUS_NOT_SUPPORTED"
    made.wait(0.2)
    report = meter.stop()
    first, *_, last = meter.readings()
    assert first["sm_clock_hz"] == 1700e6
    assert first["temperature_c"] == 51
    assert last["temperature_c"] is None
    assert told(report, "temperature")


def test_refusals_say_why(machine: Callable[..., Amd], monkeypatch: pytest.MonkeyPatch) -> None:
    made = machine()
    with pytest.raises(UnavailableError, match="no device '3' among 1"):
        open_amd("3")
    made.refused["power"] = made.refused["energy"] = "AMDSMI_STATUS_NOT_SUPPORTED"
    with pytest.raises(UnavailableError, match="neither power nor energy"):
        open_amd()
    assert not made.is_open
    made.refused["init"] = "AMDSMI_STATUS_DRIVER_NOT_LOADED"
    with pytest.raises(UnavailableError, match="does not answer"):
        open_amd()
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    with pytest.raises(UnavailableError, match="ROCm"):
        open_amd()
