"""The scenario: the one file that says what is trained, on what, where, and at which price.

Every quantity is a `Sourced` number: written short (``700 W``) it counts as assumed by this
scenario, written long it names its own kind and source. A scenario never changes after loading.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from simtool.config.batches import BatchRamp, BatchStage
from simtool.config.fields import (
    BytesPerSecond,
    Fraction,
    Kgco2e,
    Kgco2ePerKwh,
    Pue,
    Quantity,
    Ratio,
    Strict,
    Tokens,
    Usd,
    UsdPerHour,
    UsdPerKwh,
    Watts,
)
from simtool.config.refusals import Complaint, refusal
from simtool.config.reliability import Reliability
from simtool.config.times import parse_utc
from simtool.provenance import Sourced

SCENARIO_SCHEMA = "simtool/scenario/1"

Count = Annotated[int, Field(gt=0)]
CountOrZero = Annotated[int, Field(ge=0)]
Utc = Annotated[datetime, BeforeValidator(parse_utc)]
GlobalBatch = Annotated[int, Field(gt=0)] | Tokens
PositiveRatio = Annotated[Sourced, Quantity("", above=0)]
PositiveSeconds = Annotated[Sourced, Quantity("s", above=0)]
AcceleratorHours = Annotated[Sourced, Quantity("h", above=0)]


class Workload(Strict):
    """What is trained."""

    model: str | dict[str, Any]
    """A preset's name, the path of a ``config.json``, or the model's fields, with ``family`` if no decoder."""
    tokens: Tokens
    """Training tokens in all."""
    seq_len: Count
    """Tokens in one sequence; 1 for models of samples (images, clicks), where a sample counts as a token."""
    global_batch: GlobalBatch
    """Sequences in one step; or a quantity in tokens, which is a target: the step then takes the
    nearest multiple of dp x micro-batch sequences."""
    batch_ramp: BatchRamp | tuple[BatchStage, ...] | None = None
    """Smaller batches at the start: a linear ramp, or stages one after the other; then `global_batch`."""
    precision: Literal["bf16", "fp16", "tf32", "fp32", "fp8", "mxfp8", "nvfp4"] = "bf16"
    """Of the matrix work; fp8, mxfp8 and nvfp4 of the layers' linear maps alone, beside bf16."""
    recompute: Literal["none", "selective", "full"] = "none"
    """Activation recomputation: nothing, the attention core, or every layer."""
    attention: Literal["flash", "unfused"] | None = None
    """Attention kernel; the software profile's own if not given."""

    @model_validator(mode="after")
    def _holds_a_step(self) -> Workload:
        batch = self.global_batch
        per_step = batch * self.seq_len if isinstance(batch, int) else batch.value
        if per_step < self.seq_len:
            found = f"found {per_step:g} tokens in one step, less than one sequence of {self.seq_len}"
            raise refusal(Complaint(found=found, mend="raise it to a few sequences", member="global_batch"))
        if self.tokens.value < per_step:
            found = f"found {self.tokens.value:g} tokens in all, less than the {per_step:g} of one step"
            raise refusal(Complaint(found=found, mend="raise it, or lower global_batch", member="tokens"))
        return self

    @model_validator(mode="after")
    def _ramp_rises_within_training(self) -> Workload:
        ramp = self.batch_ramp
        if ramp is None:
            return self
        ends = [ramp.over.value] if isinstance(ramp, BatchRamp) else [stage.until.value for stage in ramp]
        if not all(before < after for before, after in pairwise([0.0, *ends, self.tokens.value])):
            found = f"found ends at {', '.join(f'{end:g}' for end in ends)} of {self.tokens.value:g} tokens"
            mend = "let every stage end later than the one before, and the last one before the tokens do"
            raise refusal(Complaint(found=found, mend=mend, member="batch_ramp"))
        if (
            isinstance(ramp, BatchRamp)
            and isinstance(self.global_batch, int)
            and ramp.start >= self.global_batch
        ):
            found = f"found a start of {ramp.start}, not below global_batch {self.global_batch}"
            raise refusal(
                Complaint(found=found, mend="lower start, or leave the ramp out", member="batch_ramp")
            )
        return self


class MethodUse(Strict):
    """An efficiency method, as an effect profile with overrides."""

    profile: str
    """Name of a shipped effect, or the path of an effect file."""
    forward_frac: Fraction | None = None
    backward_frac: Fraction | None = None
    """Both halves of the backward pass."""
    optimizer_frac: Fraction | None = None
    communication_frac: Fraction | None = None
    steps_frac: PositiveRatio | None = None
    evidence: Literal["measured", "published claim", "assumed"] | None = None


class Assume(Strict):
    """What no source states and the scenario therefore assumes; results are marked with it."""

    power_limit: tuple[Watts, Watts] | None = Field(default=None, strict=False)
    """Lowest and highest board power, where the maker publishes none; energy becomes a range."""

    @model_validator(mode="after")
    def _lowest_first(self) -> Assume:
        if self.power_limit and self.power_limit[0].value > self.power_limit[1].value:
            low, high = (f"{limit.value:g} W" for limit in self.power_limit)
            found = f"found {low} as the lowest and {high} as the highest"
            raise refusal(Complaint(found=found, mend=f"write [{high}, {low}]", member="power_limit"))
        return self


class Cluster(Strict):
    """The hardware."""

    accelerator: str
    node: str | None = None
    """Node profile; the usual one of the accelerator if not given."""
    num_nodes: Count
    network: str | None = None
    """Cluster network; the node's usual one if not given."""
    network_bandwidth_per_node: BytesPerSecond | None = None
    """Overrides the node's network bandwidth, per direction."""
    spare_nodes: CountOrZero = 0
    power_cap: Annotated[Sourced, Quantity("W", above=0)] | None = None
    """Limit of one accelerator's board power, below its own."""
    assume: Assume = Assume()


class Layout(Strict):
    """How the model is spread over the accelerators: tp x cp x pp x dp = accelerators."""

    tp: Count = 1
    pp: Count = 1
    vpp: Count = 1
    """Virtual stages per pipeline rank (interleaved schedule)."""
    dp: Count | None = None
    """Data-parallel replicas; what is left over if not given."""
    zero: Literal[0, 1, 2, 3] = 0
    """What data-parallel ranks share: 1 optimizer, 2 and gradients, 3 and weights (FSDP)."""
    micro_batch: Count = 1
    """Sequences in one micro-batch."""
    sequence_parallel: bool = True
    """Split activations between the tensor-parallel regions along the sequence."""
    cp: Count = 1
    """Context parallelism: ranks that share the tokens of every sequence."""
    cp_kind: Literal["ring", "all_to_all", "all_gather"] = "ring"
    """Keys and values are passed round, or heads exchanged for tokens (Ulysses), or all gathered."""
    ep: Count = 1
    """Expert parallelism: ranks, out of tp x cp x dp, that share the experts of a layer."""
    etp: Count = 1
    """Tensor parallelism within an expert."""
    dp_shard: Count = 1
    """Ranks over which zero splits, the others being their replicas (HSDP); 1: all of dp x cp."""

    @model_validator(mode="after")
    def _interleaves_stages(self) -> Layout:
        if self.vpp > 1 and self.pp == 1:
            found = f"found {self.vpp} virtual stages without a pipeline"
            raise refusal(Complaint(found=found, mend="raise pp above 1, or leave vpp out", member="vpp"))
        return self


class Software(Strict):
    """The training framework."""

    framework: str = "megatron-core"
    """Name of a software profile."""
    release: str | None = None
    """One of the releases that the profile tells apart; its releases together if not given."""


class Series(Strict):
    """A value that changes over time."""

    series: str
    """Name of a shipped series, or the path of a CSV with ``time_utc`` and the value."""
    repeat: Literal["yearly"] | None = None
    """Where the run leaves the series: refuse (the default), or use its calendar years again, the same
    date and hour."""


class Carbon(Strict):
    """Grid carbon intensity. Average and marginal answer different questions and are never mixed."""

    average: Kgco2ePerKwh | Series | None = None
    """Location-based average of the grid."""
    marginal: Kgco2ePerKwh | Series | None = None
    """Of the plants that an extra load would call on."""

    @model_validator(mode="after")
    def _states_one(self) -> Carbon:
        if self.average is None and self.marginal is None:
            mend = "add e.g. 'average: 380 gCO2e/kWh'"
            raise refusal(Complaint(found="found neither an average nor a marginal intensity", mend=mend))
        return self


class Cooling(Strict):
    """How much the building adds."""

    pue: Pue
    """Power usage effectiveness: facility energy over IT energy."""


class Site(Strict):
    """The datacenter and its grid."""

    zone: str = ""
    start: Utc
    """Begin of the run, UTC."""
    cooling: Cooling
    price: UsdPerKwh | Series
    carbon: Carbon


class Money(Strict):
    """Which money the prices are in."""

    year: Annotated[int, Field(ge=1900, le=2200)] = 2025
    kind: Literal["nominal", "real"] = "nominal"


class Rent(Strict):
    """Accelerators by the hour; electricity is in the price."""

    mode: Literal["rent"]
    price: UsdPerHour
    """Per accelerator-hour."""
    money: Money = Money()


class Own(Strict):
    """Own hardware, paid by annuity; electricity is billed by the site's price."""

    mode: Literal["own"]
    accelerator_price: Usd | None = None
    """Per accelerator, as part of a server; the profile's if not given."""
    node_price: Usd | None = None
    """Per node; accelerators x their price if not given."""
    network_share: Ratio
    """Network and storage, as a fraction of the nodes' price."""
    lifetime: PositiveSeconds
    interest_per_year: Fraction
    residual_value: Fraction
    """At the end of the lifetime, as a fraction of the price."""
    utilisation: Annotated[Sourced, Quantity("", above=0, maximum=1.0)]
    """Share of its lifetime that the hardware works for somebody; a datacenter simulates it and leaves this aside."""
    facility_price: Annotated[Sourced, Quantity("USD/W")] | None = None
    """Building and power, per watt of IT power."""
    facility_lifetime: PositiveSeconds | None = None
    maintenance_per_year: Fraction
    """As a fraction of the hardware price."""
    money: Money = Money()

    @model_validator(mode="after")
    def _prices_once(self) -> Own:
        if self.accelerator_price is not None and self.node_price is not None:
            found = "found it beside a price of the node, which has its accelerators in it"
            raise refusal(Complaint(found=found, mend="leave one of the two out", member="accelerator_price"))
        return self


class Observed(Strict):
    """What was published of the real run; printed beside the prediction, never used by it."""

    kind: Literal["metered", "published", "accounting", "recalled"] = "published"
    source: str
    accelerator_hours: AcceleratorHours | None = None
    step_time: PositiveSeconds | None = None
    duration: PositiveSeconds | None = None
    energy: Annotated[Sourced, Quantity("J", above=0)] | None = None
    carbon: Kgco2e | None = None
    interruptions: CountOrZero | None = None
    goodput: Fraction | None = None

    @model_validator(mode="after")
    def _observes(self) -> Observed:
        figures = set(type(self).model_fields) - {"kind", "source"}
        if all(getattr(self, figure) is None for figure in figures):
            mend = "add what was published, e.g. 'accelerator_hours: 1.08 Mh', or leave 'observed' out"
            raise refusal(Complaint(found="found no figure", mend=mend))
        return self


class Trend(Strict):
    """How a price moves with the start year, for projections."""

    per_year: Annotated[Sourced, Quantity("", minimum=None, above=-1.0)]
    """Relative change a year, e.g. -0.25; its spread is absolute."""


class Projection(Strict):
    """Trends behind `plot`'s projection over the start year."""

    rental_price: Trend | None = None
    electricity_price: Trend | None = None
    carbon_intensity: Trend | None = None
    hardware_efficiency: Trend | None = None
    """Change a year of the energy and accelerator time that the same work needs."""


class Scenario(Strict):
    """One question about one training run. File kind ``simtool/scenario/1``."""

    schema_: Literal["simtool/scenario/1"] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", examples=["llama3-70b-h100"])]
    """Lower-case letters, digits and . _ -; it names the run's folder."""
    question: str = ""
    """What the scenario is to answer."""
    workload: Workload
    method: Literal["none"] | MethodUse = "none"
    cluster: Cluster
    layout: Literal["auto"] | Layout = "auto"
    software: Software = Software()
    reliability: Literal["none"] | Reliability = "none"
    site: Site
    economics: Annotated[Rent | Own, Field(discriminator="mode")]
    projection: Projection = Projection()
    observed: Observed | None = None
    seed: CountOrZero = 1
