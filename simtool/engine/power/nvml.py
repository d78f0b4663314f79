"""An NVIDIA GPU through nvidia-ml-py: instant and average power, energy counter, clocks, and why they are low.

A missing function, an old driver, a virtual GPU, or a lack of permission removes one column, not the meter. Only
where neither power nor counter can be read is the source refused.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any

from simtool.engine.power.meter import UnavailableError
from simtool.engine.power.probe import Identity, ProbeError, ProbeLostError, Reading
from simtool.engine.power.windows import Sensor, family, sensor_for
from simtool.units import MEGA

MILLI = 1e-3
COUNTER_WRAP_J = 2.0**32 * MILLI
"""Some drivers and virtual GPUs keep the millijoules in 32 bits: they wrap after 4.3 MJ."""
SLOW_EVERY = 8
"""Limit and temperature change slowly, and cost a call each: they are read every so many readings."""

_LOST = (
    "GPU_IS_LOST",
    "DRIVER_NOT_LOADED",
    "UNINITIALIZED",
    "RESET_REQUIRED",
    "GPU_NOT_FOUND",
    "LIB_RM_VERSION_MISMATCH",
)
_REASONS = {
    0x04: "software-power-cap",
    0x08: "hardware-slowdown",
    0x10: "sync-boost",
    0x20: "software-thermal",
    0x40: "hardware-thermal",
    0x80: "hardware-power-brake",
}
"""Clock event reasons that hold a busy GPU back; idle and chosen clocks are none."""
_VALUE_FIELDS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
_SUPERCHIP = re.compile(r"\b(GH200|GB200|GB300)\b")


def open_nvml(device: str = "") -> NvmlProbe:
    """Opens a GPU.

    Args:
        device: ``"0"`` or ``"cuda:0"``, the number as CUDA counts (``CUDA_VISIBLE_DEVICES`` is heeded), or the
            identifier ``GPU-…`` or ``MIG-…``; empty for the first.

    Raises:
        UnavailableError: no nvidia-ml-py, no driver, no such GPU, no permission, or nothing to read.
    """
    try:
        import pynvml
    except ImportError:
        mend = "install the extra: pip install 'simtool-planner[engine]'"
        raise UnavailableError("nvml", "the package nvidia-ml-py is not installed", mend) from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise UnavailableError("nvml", f"the driver does not answer: {error}", _mend(pynvml, error)) from None
    try:
        return NvmlProbe(pynvml, device)
    except pynvml.NVMLError as error:
        pynvml.nvmlShutdown()
        where = f"device {device!r}" if device else "the first GPU"
        raise UnavailableError("nvml", f"{where}: {error}", _mend(pynvml, error)) from None
    except UnavailableError:
        pynvml.nvmlShutdown()
        raise


def _mend(nvml: Any, error: Any) -> str:
    if error.value == nvml.NVML_ERROR_NO_PERMISSION:
        return "let the container or the user reach /dev/nvidiactl and the driver's utility capability"
    if error.value == nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "the driver was updated while loaded: reload it or restart the machine"
    if error.value in (nvml.NVML_ERROR_INVALID_ARGUMENT, nvml.NVML_ERROR_NOT_FOUND):
        return "name one that `nvidia-smi -L` lists"
    return ""


def visible_device(device: str, visible: str | None) -> str:
    """What NVML calls the device that CUDA calls by a number.

    >>> visible_device("cuda:1", "3,GPU-ab"), visible_device("0", None), visible_device("GPU-ab", "3")
    ('GPU-ab', '0', 'GPU-ab')
    """
    name = device.removeprefix("cuda").removeprefix(":") or "0"
    if not name.isdigit() or visible is None:
        return name
    listed = [entry.strip() for entry in visible.split(",") if entry.strip()]
    if int(name) >= len(listed):
        reason = f"device {name} of {len(listed)} that CUDA_VISIBLE_DEVICES={visible!r} leaves"
        raise UnavailableError("nvml", reason, "name one of those")
    return listed[int(name)]


class NvmlProbe:
    """One GPU, or the whole GPU behind a MIG instance."""

    def __init__(self, nvml: Any, device: str) -> None:
        self._nvml = nvml
        self._dropped: dict[str, str] = {}
        self._num_reads = 0
        self._slow = {"limit": math.nan, "temperature": math.nan}
        notes: list[str] = []
        self._handle, is_shared = self._find(device, notes)
        name = str(nvml.nvmlDeviceGetName(self._handle))
        driver = str(self._optional("driver version", nvml.nvmlSystemGetDriverVersion) or "")
        architecture = self._optional("architecture", lambda: nvml.nvmlDeviceGetArchitecture(self._handle))
        generation = family(int(architecture) if architecture is not None else -1, name)
        superchip = _SUPERCHIP.search(name)
        self._scope = nvml.NVML_POWER_SCOPE_GPU if hasattr(nvml, "NVML_POWER_SCOPE_GPU") else 0
        scope = "gpu"
        if superchip and superchip[1] == "GH200" and self._field("POWER_INSTANT", 1) is not None:
            # The counter of a GH200 is of the whole module; power is read in the same scope, so that they compare.
            self._scope, scope = 1, "module"
            notes.append("counter and power are of the whole module: GPU, CPU and memory")
        elif superchip:
            scope = "module" if superchip[1] == "GH200" else "gpu"
            notes.append(
                "the makers do not say whether this counter is of the GPU or of the module; see the gap"
            )
        if is_shared:
            scope = f"{scope}-shared-by-mig"
            notes.append("MIG is on: power is of the whole GPU, whoever uses its other instances")
        sensor = self._choose_sensor(generation, name, driver)
        average = self._average_sensor(generation, name, driver, sensor)
        self._has_counter = self._optional("energy counter", self._total_mj) is not None
        if sensor is None and not self._has_counter:
            why = "; ".join(f"{what}: {error}" for what, error in self._dropped.items())
            raise UnavailableError("nvml", f"{name} tells neither power nor energy ({why})")
        if not self._has_counter:
            notes.append(
                f"no energy counter ({self._dropped['energy counter']}): energy is the integral of samples"
            )
        self._sensor_is_usage = sensor is not None and sensor.channel == "usage"
        self._has_average = average is not None
        notes.extend(
            f"the window of the {known.channel} power of a {name} is assumed: {known.source}"
            for known in (sensor, average)
            if known is not None and known.kind == "assumed"
        )
        limit = self._optional("power limit", self._limit_mw)
        self._slow["limit"] = math.nan if limit is None else limit * MILLI
        self.identity = Identity(
            kind="measured",
            source="nvml",
            scope=scope,
            device=name,
            architecture=generation,
            driver=driver,
            sensor=sensor,
            average_sensor=average,
            has_counter=self._has_counter,
            moduli_j=(COUNTER_WRAP_J,),
            ceiling_w=math.inf if limit is None or math.isnan(limit) else limit * MILLI,
            notes=tuple(notes),
        )

    # ---------------------------------------------------------------------------------------------- opening

    def _find(self, device: str, notes: list[str]) -> tuple[Any, bool]:
        """The handle of the whole GPU, and whether others share it."""
        nvml = self._nvml
        name = visible_device(device, os.environ.get("CUDA_VISIBLE_DEVICES"))
        by_number, by_name = nvml.nvmlDeviceGetHandleByIndex, nvml.nvmlDeviceGetHandleByUUID
        handle = by_number(int(name)) if name.isdigit() else by_name(name)
        if name.startswith("MIG-"):
            return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle), True
        num_gpus = nvml.nvmlDeviceGetCount()
        if not device and num_gpus > 1:
            notes.append(f"the machine has {num_gpus} GPUs; this is the power of the first one alone")
        mode = self._optional("MIG mode", lambda: nvml.nvmlDeviceGetMigMode(handle))
        return handle, mode is not None and mode[0] == 1

    def _choose_sensor(self, generation: str, name: str, driver: str) -> Sensor | None:
        if self._field("POWER_INSTANT", self._scope) is not None:
            return sensor_for(generation, name, driver, "instant")
        if self._optional("power", lambda: self._nvml.nvmlDeviceGetPowerUsage(self._handle)) is not None:
            return sensor_for(generation, name, driver, "usage")
        return None

    def _average_sensor(
        self, generation: str, name: str, driver: str, sensor: Sensor | None
    ) -> Sensor | None:
        if sensor is None or sensor.channel == "usage" or self._field("POWER_AVERAGE", self._scope) is None:
            return None
        return sensor_for(generation, name, driver, "average")

    # ---------------------------------------------------------------------------------------------- reading

    def read(self) -> Reading:
        """All that the GPU tells at once."""
        nvml, handle, slow = self._nvml, self._handle, self._slow
        power_w = average_w = math.nan
        if self._sensor_is_usage:
            power_w = self._scaled("power", lambda: nvml.nvmlDeviceGetPowerUsage(handle), MILLI)
        elif self.identity.sensor is not None:
            power_w, average_w = self._fields()
        if self._num_reads % SLOW_EVERY == 0:
            slow["limit"] = self._scaled("power limit", self._limit_mw, MILLI)
            slow["temperature"] = self._scaled("temperature", self._temperature_c, 1.0)
        self._num_reads += 1
        reasons = self._optional("clock event reasons", self._reasons)
        return Reading(
            power_w=power_w,
            power_average_w=average_w,
            energy_counter_j=self.read_counter_j(),
            sm_clock_hz=self._scaled(
                "SM clock", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM), MEGA
            ),
            memory_clock_hz=self._scaled(
                "memory clock", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM), MEGA
            ),
            temperature_c=slow["temperature"],
            limit_w=slow["limit"],
            throttle=""
            if reasons is None
            else "+".join(name for bit, name in _REASONS.items() if reasons & bit),
        )

    def read_counter_j(self) -> float:
        """Energy since the driver was loaded, in steps of about a tenth of a second."""
        return self._scaled("energy counter", self._total_mj, MILLI) if self._has_counter else math.nan

    def notes(self) -> tuple[str, ...]:
        """What could not be read."""
        silent = sorted(set(self._dropped) - {"energy counter", "MIG mode"})
        return (f"not told by this GPU or driver: {', '.join(silent)}",) if silent else ()

    def close(self) -> None:
        """Lets go of the driver."""
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            return  # the driver went first

    def _total_mj(self) -> int:
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def _temperature_c(self) -> int:
        return int(self._nvml.nvmlDeviceGetTemperature(self._handle, self._nvml.NVML_TEMPERATURE_GPU))

    def _reasons(self) -> int:
        return int(self._nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))

    def _limit_mw(self) -> float:
        if self._scope:
            limit = self._field("POWER_CURRENT_LIMIT", self._scope)
            return math.nan if limit is None else limit / MILLI
        return float(self._nvml.nvmlDeviceGetEnforcedPowerLimit(self._handle))

    def _fields(self) -> tuple[float, float]:
        """Instant and average power in one call [W]."""
        nvml = self._nvml
        asked = [(nvml.NVML_FI_DEV_POWER_INSTANT, self._scope)]
        if self._has_average:
            asked.append((nvml.NVML_FI_DEV_POWER_AVERAGE, self._scope))
        answers = self._guarded("power", lambda: nvml.nvmlDeviceGetFieldValues(self._handle, asked))
        values = [math.nan if answer.nvmlReturn else _value(answer) * MILLI for answer in answers or ()]
        return (*values, math.nan, math.nan)[:2]  # type: ignore[return-value]

    def _field(self, name: str, scope: int) -> float | None:
        """One field in one scope [W], None where the driver does not have it."""
        nvml = self._nvml
        number = getattr(nvml, f"NVML_FI_DEV_{name}", None)
        if number is None:
            return None
        try:
            answer = nvml.nvmlDeviceGetFieldValues(self._handle, [(number, scope)])[0]
        except nvml.NVMLError as error:
            if self._is_lost(error):
                raise
            return None
        return None if answer.nvmlReturn else _value(answer) * MILLI

    def _scaled(self, what: str, call: Callable[[], float], scale: float) -> float:
        value = self._guarded(what, call)
        return math.nan if value is None else float(value) * scale

    def _guarded(self, what: str, call: Callable[[], Any]) -> Any:
        """A call while reading: what is not supported stays silent from then on, what fails is a fault."""
        if what in self._dropped:
            return None
        try:
            return self._optional(what, call)
        except self._nvml.NVMLError as error:
            kind = ProbeLostError if self._is_lost(error) else ProbeError
            raise kind(f"nvml: {what}: {error}") from None

    def _optional(self, what: str, call: Callable[[], Any]) -> Any:
        """A call whose absence is remembered; other errors go on."""
        nvml = self._nvml
        absent = (
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_NO_PERMISSION,
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
            nvml.NVML_ERROR_INVALID_ARGUMENT,
            nvml.NVML_ERROR_NO_DATA,
        )
        try:
            return call()
        except nvml.NVMLError as error:
            if error.value not in absent:
                raise
            self._dropped[what] = str(error)
            return None

    def _is_lost(self, error: Any) -> bool:
        return error.value in {getattr(self._nvml, f"NVML_ERROR_{name}", None) for name in _LOST}


def _value(answer: Any) -> float:
    """The number in a field, whose type the driver chooses."""
    return float(getattr(answer.value, _VALUE_FIELDS[answer.valueType]))
