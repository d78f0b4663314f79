"""Traces of the PyTorch profiler made by hand, event by event."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

GEMM = "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_execute_kernel__5x_cublas"
ADD = "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float> >(int)"
NCCL = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
FLASH = "void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<64> >(Flash_fwd_params)"
H100 = {"id": 0, "name": "NVIDIA H100 80GB HBM3", "totalGlobalMem": 85018279936, "numSms": 132}


class Recorder:
    """Events as the profiler writes them; one thread calls operators, each of which launches kernels."""

    def __init__(self, process: int = 100, device: int = 0, first: int = 1) -> None:
        self.events: list[dict[str, Any]] = []
        self.process, self.device, self.number = process, device, first

    def step(self, number: int, begin_us: float, duration_us: float) -> None:
        self.host(f"ProfilerStep#{number}", begin_us, duration_us, "user_annotation")

    def host(
        self, name: str, begin_us: float, duration_us: float, category: str = "cpu_op", **arguments: Any
    ) -> None:
        self.events.append({
            "ph": "X", "cat": category, "name": name, "pid": self.process, "tid": self.process,
            "ts": begin_us, "dur": duration_us, "args": arguments,
        })  # fmt: skip

    def kernel(
        self, name: str, called_us: float, begin_us: float, duration_us: float, *, stream: int = 7,
        category: str = "kernel", launched: bool = True, **arguments: Any,
    ) -> None:  # fmt: skip
        self.number += 1
        if launched:
            self.host("cudaLaunchKernel", called_us, 2, "cuda_runtime", correlation=self.number)
        self.events.append({
            "ph": "X", "cat": category, "name": name, "pid": self.device, "tid": stream, "ts": begin_us,
            "dur": duration_us,
            "args": {"device": self.device, "stream": stream, "correlation": self.number, **arguments},
        })  # fmt: skip

    def product(
        self, begin_us: float, rows: int = 128, inner: int = 64, columns: int = 32, **facts: Any
    ) -> None:
        """A linear layer without bias in bfloat16: operator, launch, kernel of 10 us that begins 5 us later."""
        self.host(
            "aten::mm", begin_us, 4,
            **{"Input Dims": [[rows, inner], [inner, columns]], "Input type": ["c10::BFloat16"] * 2,
               "Input Strides": [[inner, 1], [1, inner]], "Concrete Inputs": ["", ""]},
        )  # fmt: skip
        self.kernel(
            facts.pop("name", GEMM), begin_us + 1, begin_us + 5, facts.pop("duration_us", 10.0), **facts
        )

    def document(self, **header: Any) -> dict[str, Any]:
        return {"schemaVersion": 1, "deviceProperties": [H100], **header, "traceEvents": self.events}


def write(path: Path, document: Any) -> Path:
    """As JSON, packed where the name ends in gz."""
    data = json.dumps(document).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def two_steps(**header: Any) -> dict[str, Any]:
    """Two steps of 100 us: a product, an addition, and a reduction of 20 us of which 10 us are hidden."""
    recorder = Recorder()
    for number in (1, 2):
        begin = 1000.0 + 100 * number
        recorder.step(number, begin, 100)
        recorder.product(begin + 5)  # on the device from 10 to 20
        recorder.host("aten::add", begin + 12, 4, **{
            "Input Dims": [[128, 32], [128, 32], []], "Input type": ["float", "float", "Scalar"]})  # fmt: skip
        recorder.kernel(ADD, begin + 13, begin + 30, 20)  # from 30 to 50
        recorder.kernel(NCCL, begin + 20, begin + 40, 20, stream=20, **{
            "Collective name": "allreduce", "In msg nelems": 1000, "dtype": "BFloat16", "Group size": 8})  # fmt: skip
    return recorder.document(**header)
