"""What a profile file may hold. Every number is a `Sourced` quantity; a bare one is refused.

Consistency is checked here too, so that a wrong profile is refused wherever it comes from: an assumed
number states its spread, a board idles below its limit, peak rates are dense ones, and compute and
memory bandwidth are of a size that belongs together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from simtool.config.fields import (
    Bytes,
    BytesPerSecond,
    FlopPerSecond,
    Fraction,
    Kgco2e,
    Quantity,
    Ratio,
    Seconds,
    Usd,
    Watts,
)
from simtool.config.refusals import Complaint
from simtool.errors import did_you_mean
from simtool.profiles.accuracy import Accuracy
from simtool.profiles.curves import Basis, CollectiveCorrection, Efficiency
from simtool.profiles.section import Count, Names, Profile, Section
from simtool.provenance import Sourced

DTYPES = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "fp4", "int8")


Topology = Literal[
    "switch",
    "full-mesh",
    "hybrid-cube-mesh",
    "torus-2d",
    "torus-3d",
    "fat-tree",
    "dragonfly",
    "point-to-point",
]
"""How endpoints are joined; each is a plug-in of `machine.topologies`."""

ANY_ACCELERATOR = "any"
"""`Node.accelerator` of a generic server."""

GENERIC_NODE = "generic-8"
"""`Accelerator.node` where no server is known: eight accelerators, host power assumed."""

DENSE_RATIO = 2.0
DENSE_RATIO_TOLERANCE = 0.02
DENSE_RATIO_PAIRS = (("bf16", "tf32"), ("fp8", "bf16"))
DENSE_RATIO_ARCHITECTURES = frozenset(
    {"ampere", "ampere-ga10x", "ada", "hopper", "blackwell", "blackwell-consumer"}
)
"""NVIDIA architectures whose dense rates double from tf32 to bf16 and from bf16 to fp8. A sheet that mixes
sparse with dense rates breaks the pattern."""
RIDGE_POINT_DTYPES = ("bf16", "fp16", "fp32")
RIDGE_POINT_RANGE = (0.3, 2000.0)
"""Peak rate over memory bandwidth [FLOP/byte]. Accelerators known so far lie between 0.6 (a wafer with all
memory on chip) and 750 (a server CPU with matrix units); a slip of 1000 in a unit falls outside."""


class PowerByPhase(Section):
    """Board power while a kind of work runs, as a fraction of the power limit."""

    compute: Ratio
    memory: Ratio
    communication: Ratio
    """Moving data between accelerators, with nothing to compute."""
    waiting: Ratio
    """Spinning until another rank is ready."""


class CapResponse(Section):
    """How clock and power answer to a cap; the formulas are those of `machine.power`."""

    static: Ratio
    """Power that flows at any clock, as a fraction of the limit."""
    voltage_floor: Fraction
    """Relative clock below which the voltage no longer falls: from there power is proportional to the clock."""
    gap: Ratio | None = None
    """Between the kernels of a workload that does not fill the board, as a fraction of the limit;
    `PowerByPhase.waiting` if not given."""


class Power(Section):
    """Electrical power of one accelerator board."""

    idle: Watts | None = None
    """With no process on it."""
    limit: Watts | None = None
    """Sustained board limit (TDP, TGP); None where the maker publishes none."""
    by_phase: PowerByPhase
    cap_exponent: Annotated[Sourced, Quantity("", above=0)]
    """Dynamic power goes with clock^exponent above the voltage floor; 3 where the voltage falls with the clock."""
    cap: CapResponse | None = None
    """Answer to a cap; if not given, idle power is static and the voltage has no floor."""

    def complaints(self) -> Iterator[Complaint]:
        """Idling at or above the limit, or above what some kind of work draws."""
        yield from super().complaints()
        if self.idle is None or self.limit is None:
            return
        idle_w, limit_w = self.idle.value, self.limit.value
        phases = {name: getattr(self.by_phase, name).value for name in PowerByPhase.model_fields}
        least = min(phases, key=lambda name: phases[name])
        if idle_w >= limit_w:
            yield Complaint(
                member="idle",
                found=f"found {idle_w:g} W with a limit of {limit_w:g} W",
                allowed="idle must be below the limit",
                mend="check both",
            )
        elif idle_w > limit_w * phases[least]:
            yield Complaint(
                member="idle",
                found=f"found {idle_w:g} W, above by_phase.{least} ({phases[least]:g} of {limit_w:g} W)",
                allowed="no kind of work draws less than idling",
                mend=f"lower idle or raise by_phase.{least}",
            )


class Memory(Section):
    """Device memory."""

    size: Bytes
    bandwidth: BytesPerSecond


class ScaleUp(Section):
    """The fast domain that joins accelerators without the cluster network."""

    network: str
    """Name of a network profile."""
    bandwidth: BytesPerSecond
    """Per accelerator and direction."""
    domain: Count
    """Accelerators in one domain."""


class Accelerator(Profile):
    """One accelerator: a GPU, TPU, other ASIC or CPU socket. File kind ``simtool/accelerator/1``."""

    vendor: str
    architecture: str
    """Name of the family: hopper, cdna3, ... Software profiles look their factors up by it."""
    kind: Literal["gpu", "tpu", "asic", "wafer", "soc", "cpu"]
    form_factor: str = ""
    launch: str
    """Year and month, ``2022-10``."""
    status: str
    """shipping, or announced: the rates are then the maker's word."""
    node: str = GENERIC_NODE
    """Usual server, the name of a node profile."""
    num_processors: Count | None = None
    """Streaming multiprocessors, compute units or cores."""
    peak: Annotated[dict[str, FlopPerSecond], Field(min_length=1)]
    """Dense rates by dtype: of the matrix units for tf32, bf16, fp16, fp8, fp4 and int8, of the ordinary
    units for fp32 unless the matrix units take it, of the faster ones for fp64. An integer operation counts as
    one FLOP."""
    fastest: dict[str, FlopPerSecond] = Field(default_factory=dict)
    """Best rate that anybody measured over many matrix shapes, by dtype."""
    memory: Memory
    power: Power
    scale_up: ScaleUp | None = None
    """Link to the other accelerators of a server or rack; None for a board that stands alone."""
    host_link: BytesPerSecond | None = None
    """To the host's memory, per direction."""
    efficiency: Efficiency
    price: Usd | None = None
    """Street price of one accelerator."""
    embodied: Kgco2e | None = None
    """Greenhouse gas of making one accelerator."""

    def complaints(self) -> Iterator[Complaint]:
        """Unknown dtypes, sparse rates, measured rates above the peak, rates that no bandwidth feeds."""
        yield from super().complaints()
        for dtype in self.peak:
            if dtype not in DTYPES:
                hint = did_you_mean(dtype, DTYPES)
                yield Complaint(member="peak", found=f"found the unknown dtype {dtype!r}", mend=hint)
        yield from self._sparse_rates()
        for dtype, rate in self.fastest.items():
            if dtype not in self.peak or rate.value > self.peak[dtype].value:
                yield Complaint(
                    member="fastest",
                    found=f"found a {dtype} rate above peak.{dtype}",
                    allowed="a measured rate is at most the peak",
                    mend="check both",
                )
        dtype = next((name for name in RIDGE_POINT_DTYPES if name in self.peak), next(iter(self.peak)))
        ridge = self.peak[dtype].value / self.memory.bandwidth.value
        low, high = RIDGE_POINT_RANGE
        if not low <= ridge <= high:
            yield Complaint(
                member="peak",
                found=f"found {dtype} over memory.bandwidth at {ridge:.3g} FLOP/byte",
                allowed=f"allowed: {low:g} to {high:g}",
                mend="check the units of both",
            )

    def _sparse_rates(self) -> Iterator[Complaint]:
        if self.architecture not in DENSE_RATIO_ARCHITECTURES:
            return
        for narrow, wide in DENSE_RATIO_PAIRS:
            if narrow not in self.peak or wide not in self.peak:
                continue
            ratio = self.peak[narrow].value / self.peak[wide].value
            if abs(ratio / DENSE_RATIO - 1.0) > DENSE_RATIO_TOLERANCE:
                yield Complaint(
                    member="peak",
                    found=f"found {narrow} at {ratio:.3g} times {wide}",
                    allowed=f"on {self.architecture}, dense rates stand at {DENSE_RATIO:g} to 1",
                    mend="write dense rates; data sheets often give sparse ones, twice as high",
                )


class Node(Profile):
    """One server, or one rack that acts as a server. File kind ``simtool/node/1``."""

    accelerator: str
    """Name of an accelerator profile, or ``any``."""
    num_accelerators: Count
    host_cores: Annotated[Sourced, Quantity("", above=0)] | None = None
    """Cores of all its CPUs, which prepare samples; not counted if not given."""
    scale_out_bandwidth: BytesPerSecond
    """Of the whole node, per direction."""
    network: str | None = None
    """Usual cluster network, the name of a network profile."""
    host_idle: Watts | None = None
    """Power of everything but the accelerators (CPUs, memory, network cards, fans, losses), without load;
    as under load if not given."""
    host_load: Watts | None = None
    """The same under training: nearly constant."""
    power_max: Watts | None = None
    """Rating of the whole node."""
    price: Usd | None = None
    """With its accelerators."""
    embodied_host: Kgco2e | None = None
    """Greenhouse gas of making everything but the accelerators."""
    cooling: str = ""

    def complaints(self) -> Iterator[Complaint]:
        """A host that idles above its load, or loads above the rating of the whole node."""
        yield from super().complaints()
        for low, high in (("host_idle", "host_load"), ("host_load", "power_max")):
            below, above = getattr(self, low), getattr(self, high)
            if below is not None and above is not None and below.value > above.value:
                yield Complaint(
                    member=low,
                    found=f"found {below.value:g} W, above {high} ({above.value:g} W)",
                    allowed=f"{low} is at most {high}",
                    mend="check both",
                )


class Network(Profile):
    """A link technology. File kind ``simtool/network/1``.

    `machine.collectives` takes the time of one collective over it as
    ``collective_latency + steps x latency + y^(1-g) (y + ramp_time)^g``, ``y = bytes on the wire /
    (bandwidth x efficiency)``, with one exponent g for all networks.
    """

    layer: Literal["scale-up", "scale-out", "host", "wan"]
    bandwidth: BytesPerSecond
    """Per endpoint and direction."""
    latency: Seconds
    """Of one step of a collective to a neighbour, software included."""
    efficiency: Fraction
    """Share of the bandwidth that very large messages reach on the wire."""
    collective_latency: Seconds
    """Start-up of one collective, software included."""
    ramp_time: Seconds | None = None
    """Transfers shorter than this fall off from the full rate; None: the same rate at all sizes."""
    relay_latency: Seconds | None = None
    """Scale-out: what one more rank in the same domain adds to a step of a ring that spans domains."""
    topology: Topology
    in_switch_reduction: Ratio | None = None
    """Bus-bandwidth gain over a ring of reductions inside the switch at 8 ranks, where the hardware
    does them."""
    in_switch_latency: Seconds | None = None
    """Start-up of a reduction inside the switch."""
    correction: CollectiveCorrection | None = None
    """What these numbers miss within one domain, where a table shows it."""
    basis: Basis = "analytic"
    """Of latencies and ramp: measured on this network, transferred from a like one, or analytic."""
    port_power: Watts | None = None
    """Of one endpoint outside its node: optics and share of the switches. The card counts with the host."""
    price: Usd | None = None
    """Of one endpoint: its share of the switches."""


class Software(Profile):
    """A training framework: what the host costs and what it hides. File kind ``simtool/software/1``."""

    launch_floor: Seconds
    """Host time of one layer's forward and backward in one micro-batch: a step cannot be faster than its
    kernels are launched."""
    launch_floor_tp_ratio: Ratio
    """Growth of the floor with tensor parallelism: floor x (1 + ratio x (tp/8)^2)."""
    tp_exposed: Fraction
    """Share of tensor-parallel communication that computation does not hide."""
    dp_exposed: Fraction
    """Share of data-parallel communication that computation does not hide."""
    pp_exposed: Fraction
    """Share of pipeline communication that computation does not hide."""
    overlap_limit: Fraction
    """Share of the computation behind which data-parallel communication can hide at most (about 0.8)."""
    workspace: Bytes
    """Device memory beside tensors: context, collective buffers, allocator slack."""
    bubble: Fraction
    """Share of the ideal pipeline bubble that remains."""
    memory_ratio: Ratio
    """Memory-bound time over the plain transformer count (fusion below 1, extra passes above)."""
    step_constant: Seconds
    """Host work once a step."""
    straggler: Fraction
    """Step time grows by this share with every doubling of the number of nodes."""
    gradient_exchange: Literal["reduce_scatter", "all_reduce"] = "reduce_scatter"
    """How gradients travel where the optimizer's state is split (ZeRO 1): every rank gets its part, or all."""
    gradient_sum: Literal["fused", "separate"]
    """How gradients of micro-batches are added up in fp32: inside the product that makes them, or in a
    pass of its own over them."""
    attention: Literal["flash", "unfused"]
    attention_ratio: dict[str, Ratio]
    """Flash-attention time over the accelerator's curve, by architecture, ``default`` otherwise."""
    product_ratio: dict[str, Ratio] = Field(default_factory=dict)
    """Time of matrix products over the accelerator's curve, by accelerator, else by architecture, ``default``
    otherwise; 1 if not given."""
    unfused_ratio: Ratio | None = None
    """Time of attention that writes its score matrix, over the count; 1 if not given."""
    release_ratio: dict[str, Ratio] = Field(default_factory=dict)
    """Step time of a release over that of the releases together; 1 for one that is not listed."""
    release_expert_ratio: dict[str, Ratio] = Field(default_factory=dict)
    """What is more of it for models with experts, which move most between releases."""
    recipe_ratio: dict[str, Ratio] = Field(default_factory=dict)
    """Step time of a model over what its operations take, by preset, where the framework has a recipe of its own for
    it (graphs, fusions, overlap); 1 for one that is not listed."""
    ep_exposed: Fraction | None = None
    """Share of the exchange of tokens between experts of one domain that stays visible; all if not given."""
    ep_exposed_across: Fraction | None = None
    """The same where the experts' ranks span domains; as `ep_exposed` if not given."""
    cp_exposed: Fraction | None = None
    """Share of context-parallel communication that stays visible beside attention; all if not given."""
    launch_floor_expert_ratio: Ratio | None = None
    """Launch floor of a layer with experts over that of a dense one; 1 if not given."""
    expert_load: Ratio | None = None
    """Rows of the fullest expert-parallel rank over the mean; 1, routing forced into balance, if not given."""
    grouped_ratio: Ratio | None = None
    """Time of the experts' grouped products over that of plain ones of the same rows; 1 if not given."""
    low_precision_ratio: dict[str, Ratio] = Field(default_factory=dict)
    """Time of linear layers in fp8, mxfp8 or nvfp4 over the accelerator's curve at that rate, by format and, as
    ``fp8 on hopper``, by architecture; 1 if not given."""
    convolution_ratio: Ratio | None = None
    """Time of convolutions over matrix products of the same size; 1 if not given."""
    irregular_ratio: dict[str, Ratio] = Field(default_factory=dict)
    """Time of memory-bound work that does not stream over the same bytes that do, 1 if not given: ``depthwise``
    convolutions, ``lookup`` of rows."""
    architecture_ratio: dict[str, Ratio] = Field(default_factory=dict)
    """Time of all device work over the accelerator's curves, by architecture, ``default`` otherwise; 1 if not
    given."""
    input_rate: BytesPerSecond | None = None
    """Samples that a core of the host decodes and prepares, as bytes of pixels; not counted if not given."""
    seen: Names = ()
    """Architectures on which this profile was fitted; elsewhere it is a transfer."""
    accuracy: Accuracy | None = None
    """Where published runs were compared with its predictions."""

    def complaints(self) -> Iterator[Complaint]:
        """No ratio for an architecture that is not listed."""
        yield from super().complaints()
        if "default" not in self.attention_ratio:
            yield Complaint(
                member="attention_ratio",
                found="found no 'default'",
                allowed="architectures that are not listed need a ratio",
                mend="add 'default: ...'",
            )
