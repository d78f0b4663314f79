"""An AMD GPU through amdsmi, whose counters are often wrong: frozen, scaled, or of the other half of the card.

The counter is the accumulator times a resolution of about 15.3 microjoules. Whether it is believed is decided as
for every source: by standing still, or by what the samples rule out. On an MI250 one of the two dies reports the
whole card and the other 0 W; the second is refused, since its zero is no measurement.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

from simtool.engine.power.meter import UnavailableError
from simtool.engine.power.probe import Identity, ProbeError, ProbeLostError, Reading
from simtool.engine.power.windows import Sensor
from simtool.units import MEGA

MICRO = 1e-6
DEFAULT_RESOLUTION_UJ = 15.259
_SENSOR = Sensor(
    channel="instant",
    update_s=0.1,
    window_s=0.1,
    kind="assumed",
    source="AMD does not publish the window; taken to cover the time",
)
_TWO_DIES = ("MI250",)
# Words by which amdsmi's errors say that the device or driver is gone, not that one call failed.
_GONE = ("NOT_INIT", "DRIVER_NOT_LOADED", "NO_DRV", "NOT_FOUND", "DRM_ERROR", "UNEXPECTED_DATA")


def open_amd(device: str = "") -> AmdProbe:
    """Opens a GPU by its number, or the first.

    Raises:
        UnavailableError: no amdsmi, no driver, no such GPU, or one that tells nothing.
    """
    try:
        smi = importlib.import_module("amdsmi")
    except (ImportError, OSError, KeyError, AttributeError) as error:  # without ROCm the import itself fails
        mend = "it comes with ROCm: pip install /opt/rocm/share/amd_smi"
        raise UnavailableError("amd", f"amdsmi cannot be imported: {error}", mend) from None
    try:
        smi.amdsmi_init()
        handles = list(smi.amdsmi_get_processor_handles())
    except smi.AmdSmiException as error:
        raise UnavailableError("amd", f"the driver does not answer: {error}") from None
    number = device.removeprefix("cuda").removeprefix(":") or "0"
    if not number.isdigit() or int(number) >= len(handles):
        smi.amdsmi_shut_down()
        raise UnavailableError(
            "amd", f"no device {device or '0'!r} among {len(handles)}", "name it by its number"
        )
    try:
        return AmdProbe(smi, handles[int(number)])
    except UnavailableError:
        smi.amdsmi_shut_down()
        raise


class AmdProbe:
    """One GPU; on a card with two dies that share a meter, the die that tells."""

    def __init__(self, smi: Any, handle: Any) -> None:
        self._smi, self._handle = smi, handle
        self._dropped: set[str] = set()
        name = str((self._try("asic info", smi.amdsmi_get_gpu_asic_info) or {}).get("market_name", "AMD GPU"))
        driver = str(
            (self._try("driver info", smi.amdsmi_get_gpu_driver_info) or {}).get("driver_version", "")
        )
        power_w, limit_w = self._power_w(), self._limit_w()
        counter_j = self._counter_j()
        if math.isnan(power_w) and math.isnan(counter_j):
            raise UnavailableError("amd", f"{name} tells neither power nor energy")
        if power_w == 0.0:
            mend = "open the card's other device" if any(word in name for word in _TWO_DIES) else ""
            reason = f"{name} reports 0 W: no GPU draws nothing; the card's power is told by its other die"
            raise UnavailableError("amd", reason, mend)
        notes = []
        scope = "gpu"
        if any(word in name for word in _TWO_DIES):
            scope = "card"
            notes.append("power and counter are of the whole card, both dies")
        if math.isnan(counter_j):
            notes.append("no energy counter: energy is the integral of samples")
        if not math.isnan(power_w):
            notes.append(f"the window of the power readings is assumed: {_SENSOR.source}")
        self.identity = Identity(
            kind="measured",
            source="amd",
            scope=scope,
            device=name,
            architecture="amd",
            driver=driver,
            sensor=None if math.isnan(power_w) else _SENSOR,
            has_counter=not math.isnan(counter_j),
            ceiling_w=math.inf if math.isnan(limit_w) else limit_w,
            notes=tuple(notes),
        )

    def read(self) -> Reading:
        """All that the GPU tells at once."""
        return Reading(
            power_w=self._power_w(),
            energy_counter_j=self.read_counter_j(),
            sm_clock_hz=self._clock_hz("GFX"),
            memory_clock_hz=self._clock_hz("MEM"),
            temperature_c=self._temperature_c(),
            limit_w=self._limit_w(),
        )

    def read_counter_j(self) -> float:
        """Energy by the accumulator [J]."""
        return self._counter_j() if self.identity.has_counter else math.nan

    def notes(self) -> tuple[str, ...]:
        """What could not be read."""
        return (
            (f"not told by this GPU or driver: {', '.join(sorted(self._dropped))}",) if self._dropped else ()
        )

    def close(self) -> None:
        """Lets go of the driver."""
        try:
            self._smi.amdsmi_shut_down()
        except self._smi.AmdSmiException:
            return  # the driver went first

    def _power_w(self) -> float:
        info = self._try("power", self._smi.amdsmi_get_power_info) or {}
        return _first(info, "current_socket_power", "socket_power", "average_socket_power")

    def _limit_w(self) -> float:
        limit = _first(self._try("power cap", self._smi.amdsmi_get_power_cap_info) or {}, "power_cap")
        return limit * MICRO if limit > 1e5 else limit  # microwatts in some versions, watts in others

    def _counter_j(self) -> float:
        info = self._try("energy counter", self._smi.amdsmi_get_energy_count) or {}
        ticks = _first(info, "energy_accumulator", "power")
        resolution_uj = _first(info, "counter_resolution")
        return ticks * (DEFAULT_RESOLUTION_UJ if math.isnan(resolution_uj) else resolution_uj) * MICRO

    def _clock_hz(self, kind: str) -> float:
        clock = getattr(self._smi.AmdSmiClkType, kind)
        info = self._try(f"{kind} clock", lambda handle: self._smi.amdsmi_get_clock_info(handle, clock)) or {}
        return _first(info, "clk", "cur_clk") * MEGA

    def _temperature_c(self) -> float:
        smi = self._smi

        def ask(handle: Any) -> Any:
            return smi.amdsmi_get_temp_metric(
                handle, smi.AmdSmiTemperatureType.HOTSPOT, smi.AmdSmiTemperatureMetric.CURRENT
            )

        value = self._try("temperature", ask)
        return math.nan if value is None else float(value)

    def _try(self, what: str, call: Callable[[Any], Any]) -> Any:
        if what in self._dropped:
            return None
        try:
            return call(self._handle)
        except self._smi.AmdSmiException as error:
            text = str(error)
            if any(word in text for word in _GONE):
                raise ProbeLostError(f"amd: {what}: {error}") from None
            if "NOT_SUPPORTED" in text or "NO_PERM" in text or not hasattr(self, "identity"):
                self._dropped.add(what)
                return None
            raise ProbeError(f"amd: {what}: {error}") from None


def _first(info: Any, *names: str) -> float:
    """The first of some entries that holds a number, NaN if none does; amdsmi writes ``"N/A"`` for what it lacks."""
    for name in names:
        value = info.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return math.nan
