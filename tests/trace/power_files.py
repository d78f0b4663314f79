"""Power logs of other tools made by hand: a load of one device, written in every format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

BEGAN = 1_700_000_000.0
"""14 November 2023, 22:13:20 UTC."""


def stamp(seconds: float, form: str) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime(form)[:-3] if form.endswith("%f") else moment.strftime(form)


def nvidia_smi(times_s: Sequence[float], powers_w: Sequence[float]) -> str:
    lines = ["timestamp, index, name, power.draw [W], clocks.current.sm [MHz], utilization.gpu [%]"]
    for time_s, power_w in zip(times_s, powers_w, strict=True):
        lines.append(
            f"{stamp(BEGAN + time_s, '%Y/%m/%d %H:%M:%S.%f')}, 0, H100, {power_w:.2f} W, 1980 MHz, 97 %"
        )
    return "\n".join(lines) + "\n"


def dmon(times_s: Sequence[float], powers_w: Sequence[float]) -> str:
    lines = []
    for place, (time_s, power_w) in enumerate(zip(times_s, powers_w, strict=True)):
        if place % 10 == 0:
            lines += [
                "#Date       Time        gpu    pwr  gtemp     sm   pclk",
                "#YYYYMMDD   HH:MM:SS    Idx      W      C      %    MHz",
            ]
        lines.append(
            f" {stamp(BEGAN + time_s, '%Y%m%d   %H:%M:%S')}      0    {power_w:.2f}     40     97   1980"
        )
    return "\n".join(lines) + "\n"


def dcgm(times_s: Sequence[float], powers_w: Sequence[float]) -> str:
    lines = [
        "#Entity   POWER                 TOTEC                 SMCLK",
        "ID        W                     mJ                    MHz",
    ]
    energy_mj = 7e6
    before = times_s[0]
    for time_s, power_w in zip(times_s, powers_w, strict=True):
        energy_mj += power_w * (time_s - before) * 1e3
        before = time_s
        lines.append(
            f"{stamp(BEGAN + time_s, '%Y-%m-%dT%H:%M:%S.%f')} GPU 0     {power_w:.3f}    {energy_mj:.0f}    1980"
        )
    return "\n".join(lines) + "\n"


def rocm_csv(times_s: Sequence[float], powers_w: Sequence[float]) -> str:
    lines = ["timestamp,device,Average Graphics Package Power (W),GPU use (%)"]
    lines += [
        f"{BEGAN + time_s:.3f},card0,{power_w:.2f},97"
        for time_s, power_w in zip(times_s, powers_w, strict=True)
    ]
    return "\n".join(lines) + "\n"


def rocm_json(times_s: Sequence[float], powers_w: Sequence[float]) -> str:
    return "\n".join(
        json.dumps({"timestamp": BEGAN + time_s, "card0": {
            "Current Socket Graphics Package Power (W)": f"{power_w:.2f}", "GPU use (%)": "97"}})
        for time_s, power_w in zip(times_s, powers_w, strict=True)
    )  # fmt: skip


def zeus_power(times_s: Sequence[float], powers_w: Sequence[float]) -> str:
    lines = ["Time,Power"]
    for time_s, power_w in zip(times_s, powers_w, strict=True):
        lines.append(f"{stamp(BEGAN + time_s, '%Y-%m-%d %H:%M:%S.%f')}000000,{power_w * 1e3:.0f}")
    return "\n".join(lines) + "\n"


def spl(times_s: Sequence[float], powers_w: Sequence[float]) -> str:
    lines = []
    for time_s, power_w in zip(times_s, powers_w, strict=True):
        when = stamp(BEGAN + time_s, "%m-%d-%Y %H:%M:%S.%f")
        lines.append(f"Time,{when},Watts,{power_w:.6f},Volts,228.37,Amps,0.2,PF,0.5,Mark,testing")
    return "\n".join(lines) + "\n"


def mllog(times_s: Sequence[float], powers_w: Sequence[float]) -> str:
    lines = [
        ':::MLLOG {"namespace": "", "time_ms": 1, "key": "conversion_eff", "value": 0.96, "metadata": {}}',
        "what somebody printed between",
    ]
    for time_s, power_w in zip(times_s, powers_w, strict=True):
        event = {"namespace": "", "time_ms": int((BEGAN + time_s) * 1000), "event_type": "POINT_IN_TIME",
                 "key": "power_reading", "value": power_w, "metadata": {"host": "node_1"}}  # fmt: skip
        lines.append(f":::MLLOG {json.dumps(event)}")
    return "\n".join(lines) + "\n"


def mlperf_table(times_s: Sequence[float], powers_w: Sequence[float]) -> str:
    lines = ["t_s,node_0,node_1"]
    lines += [f"{time_s:.3f},{power_w:.2f}," for time_s, power_w in zip(times_s, powers_w, strict=True)]
    return "\n".join(lines) + "\n"


WRITERS: dict[str, tuple[str, Callable[[Sequence[float], Sequence[float]], str]]] = {
    "nvidia-smi": ("nvidia-smi", nvidia_smi),
    "dmon": ("nvidia-dmon", dmon),
    "dcgm": ("dcgm", dcgm),
    "rocm-smi csv": ("rocm-smi", rocm_csv),
    "rocm-smi json": ("rocm-smi", rocm_json),
    "zeus powers": ("zeus", zeus_power),
    "spl.txt": ("mlperf-power", spl),
    "mllog": ("mlperf-power", mllog),
    "mlperf table": ("mlperf-power", mlperf_table),
}
"""Format that a text is recognised as, and its writer, by name."""


def put(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path
