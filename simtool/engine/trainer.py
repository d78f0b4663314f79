"""The loop: plan, load, forward, backward, update, until the budget is used.

It knows no method by name. What a method wants done stands in the plan; what it wants to know it
gets from the result of the step; what it costs is booked by `work`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import torch

from simtool.engine.budget import Progress, Schedule
from simtool.engine.clock import clock_for
from simtool.engine.compiled import Compiled, refuse_compiler
from simtool.engine.interrupts import HeldInterrupts
from simtool.engine.limits import check_model, check_sizes, checked_quality, known_energy, refuse_budget
from simtool.engine.method import Method, StepResult, check_methods
from simtool.engine.optimizer import build_optimizers, set_learning_rate
from simtool.engine.order import Order
from simtool.engine.parallel import Alone, Parallel
from simtool.engine.plan import FloatArray, IntArray, StepPlan
from simtool.engine.power_marks import PhaseMarks
from simtool.engine.rows import (
    check_batch,
    check_unreduced,
    indices,
    kept_tokens,
    reduced,
    row_means,
    weighted,
)
from simtool.engine.run import RunOutcome, RunSettings, Status
from simtool.engine.task import Task
from simtool.engine.watch import EnergyMeter, Nobody, Recorder, combined_kind
from simtool.engine.work import Work

__all__ = ["RunOutcome", "RunSettings", "Trainer"]


MOST_SCALED = 10.0
"""Time that is charged, over the ordinary time whose energy is known, up to which energy is scaled by it."""


class Trainer:
    """One run of one task with some methods.

    Raises:
        InputError: if the methods do not fit the task or each other, or the batch exceeds the data.
    """

    def __init__(
        self,
        task: Task,
        methods: Sequence[Method],
        settings: RunSettings,
        *,
        recorder: Recorder | None = None,
        meter: EnergyMeter | None = None,
        parallel: Parallel | None = None,
    ) -> None:
        check_methods(methods, task, is_sharded=parallel is not None and parallel.wrapping == "fsdp")
        self.task, self.methods, self.settings = task, tuple(methods), settings
        self.recipe = settings.recipe or task.recipe
        self.recorder: Recorder = recorder or Nobody()
        self.meter, self.parallel = meter, parallel or Alone()
        has_meter = meter is not None or self.parallel.local_rank > 0  # the first of a machine may have it
        check_sizes(task, self.recipe, settings.budget, self.parallel.world, has_meter=has_meter)
        self.device = torch.device(settings.device)
        torch.manual_seed(settings.seed)
        model = task.build(settings.seed)
        check_model(model, task)
        self.model = model.to(self.device)
        self.parallel.place(self.model)
        self.work = Work(
            task=task,
            model=self.model,
            seed=settings.seed,
            device=self.device,
            clock=clock_for(self.device),
            tell=lambda kind, detail: self.recorder.event(kind, {"step": self.num_steps, **detail}),
        )
        self.schedule = Schedule(warmup_frac=self.recipe.warmup_frac, floor=settings.floor)
        self.order = Order(self.work, self.methods)
        self.num_steps = self.num_seen = self.num_evaluated = 0
        self.energy_before_j, self.energy_told_j, self.energy_kind_before = 0.0, 0.0, ""
        self.is_set_up = False
        self._energy_mark_j = self._instrument_j = 0.0
        self._used_frac = 0.0
        self._is_whole = True
        self._prepared: tuple[Any, ...] = ()
        self._told: set[str] = set()
        self._module: Any = self.model
        self._marks = PhaseMarks(meter)
        self._compiled = Compiled(is_wanted=settings.compile, tell=self.work.event)
        self._parameters: list[torch.nn.Parameter] = []
        self._watches = any(method.watches_samples for method in self.methods)

    # ------------------------------------------------------------------------------------- the loop

    def run(self, checkpoints: Any = None) -> RunOutcome:
        """Train until the budget is used, the loss diverges, or the user interrupts.

        Args:
            checkpoints: a `checkpoint.CheckpointStore`, or None to keep none.
        """
        status: Status = "finished"
        reason = ""
        self.set_up()
        if checkpoints is not None:
            checkpoints.resume(self)
        if self.meter is not None:
            self._energy_mark_j = self.meter.energy_j()
        progress = self.progress()
        self.recorder.event("start", {"progress": progress.frac, "step": self.num_steps})
        with HeldInterrupts(is_patient=self.parallel.world > 1) as interrupts:
            try:
                while progress.frac < 1.0:
                    self._stop_if_told(interrupts)
                    self._evaluate_if_due(progress)
                    loss, progress = self.advance(progress)
                    if not math.isfinite(loss):
                        status, reason = "diverged", f"the loss became {loss} in step {self.num_steps}"
                        break
                    if checkpoints is not None:
                        checkpoints.save_if_due(self)
                else:
                    self._stop_if_told(interrupts)
            except KeyboardInterrupt:
                interrupts.forget()  # answered here
                status, reason = "interrupted", "interrupted by the user"
                if checkpoints is not None and self._is_whole:
                    checkpoints.save(self)
                if self.parallel.world > 1:
                    interrupts.forget()
            except Exception as error:
                refuse_compiler(error)
                raise
        return self._finish(status, reason)

    def _stop_if_told(self, interrupts: HeldInterrupts) -> None:
        """Ctrl-C between two steps: all ranks stop after the same one, whichever was told."""
        is_told = self.parallel.total(float(interrupts.is_waiting))
        interrupts.deliver()
        if is_told and self.parallel.world > 1:
            raise KeyboardInterrupt

    def set_up(self) -> None:
        """Optimizers and everything that methods do before the first step; once."""
        if self.is_set_up:
            return
        for method in self.methods:
            method.setup(self.work)
        self.work.optimizers = build_optimizers(self.model, self.methods, self.recipe, self.device)
        self.is_set_up = True

    def progress(self) -> Progress:
        """How far the run is; the same on every rank, and never less than before.

        Seconds charge what an ordinary step of each kind takes. The first step of a run is slow, since its
        operations are counted and libraries make themselves ready; it is charged when the second has told
        what such a step takes.
        """
        costs, budget = self.work.costs, self.settings.budget
        flop, duration_s, energy_j = costs.flop(), costs.duration_s(), self.energy_j()
        seconds = duration_s - (costs.steps_s() if costs.is_unpriced else 0.0)
        used = {"samples": float(self.num_seen), "flop": flop, "seconds": seconds, "joules": energy_j}
        if budget.unit == "joules":
            known_energy(energy_j)
        together = self.parallel.total if budget.unit in {"flop", "joules"} else self.parallel.agreed
        frac = self._used_frac = max(self._used_frac, together(used[budget.unit] / budget.amount))
        return Progress(
            frac=frac,
            step=self.num_steps,
            epoch=max(0, self.order.epoch),
            num_samples=self.num_seen,
            flop=flop,
            duration_s=duration_s,
            energy_j=energy_j,
        )

    def energy_j(self) -> float:
        """Energy charged to training so far, or 0 without a meter [J].

        What steps draw that are counted or profiled is the instrument's; they are charged what the others draw
        in the time that they are priced at.
        """
        if self.meter is None:
            return 0.0
        costs, drawn_j = self.work.costs, self.drawn_j()
        duration_s = costs.duration_s()
        ordinary_s = duration_s - costs.untimed_s()
        if (
            ordinary_s <= 0.0 or MOST_SCALED * ordinary_s < duration_s
        ):  # too little ordinary time to tell what it draws
            return drawn_j + (0.0 if costs.is_unpriced else self._instrument_j)
        return drawn_j * duration_s / ordinary_s

    def drawn_j(self) -> float:
        """What the meter saw of training so far, without the instrument's part [J]."""
        if self.meter is None:
            return 0.0
        return self.energy_before_j + self.meter.energy_j() - self._energy_mark_j - self._instrument_j

    @property
    def energy_kind(self) -> str:
        """Of all parts of the run: ``"measured"`` if all were, ``"none"`` if one was not even modelled."""
        return combined_kind(self.energy_kind_before, self.meter.kind if self.meter else "none")

    def step(self, progress: Progress) -> float:
        """One step at this progress; returns the loss."""
        return self.advance(progress)[0]

    def advance(self, progress: Progress) -> tuple[float, Progress]:
        """One step at this progress: its loss, and the progress after it."""
        work = self.work
        self._is_whole = False
        with work.between():
            for method in self.methods:
                method.boundary(work, progress)
            plan = self.plan(progress)
            signature = plan.signature()
            self._make_ready(plan)
            factor = self.schedule.factor(progress.frac)
            set_learning_rate(work.optimizers, factor)
            is_new = work.costs.entry(signature).num_steps == 0
            compiles = self._compiled.begins(plan, self._module, is_counted=is_new)
            module = self._compiled.module(plan, self._module, is_counted=is_new)
        step = work.step(signature, is_usual=not compiles, mark=self._marks.for_step())
        sampling = self.recorder.sampling(self.num_steps, signature)
        is_watched = is_new or getattr(sampling, "is_sampled", False)
        before_j = self.meter.energy_j() if self.meter and is_watched else 0.0
        with sampling, step:
            loss, row_losses, row_indices = self._forward_backward(plan, progress, module)
            self._update(plan)
            if self.parallel.world > 1:
                with work.phase("communication"):
                    loss = self.parallel.agreed(loss)
        if signature not in self._told:  # also once after a resume, where the counts come from the checkpoint
            self._told.add(signature)
            self.recorder.signature(plan, work.costs.by_signature[signature])
        if self.meter and is_watched:
            self._instrument_j += self.meter.energy_j() - before_j
        with work.between():
            self.num_steps += 1
            self.num_seen += plan.num_samples
            after = self.progress()
            result = StepResult(
                plan=plan,
                progress=after,
                learning_rate=self.recipe.learning_rate * factor,
                loss=loss,
                row_losses=row_losses,
                row_indices=row_indices,
            )
            result = self.parallel.gathered(result) if self._watches else result
            for method in self.methods:
                method.observe(work, result)
        self._is_whole = True
        # What steps are charged is estimated anew with every step; the stream only rises.
        self.energy_told_j = max(after.energy_j, self.energy_told_j)  # not known any more: stays unknown
        self.recorder.step(
            {
                "step": after.step,
                "signature": signature,
                "num_samples": after.num_samples,
                "progress_frac": after.frac,
                "learning_rate": result.learning_rate,
                "loss": result.loss,
                "duration_s": sum(work.last_step_s.values()),
                **{f"{phase}_s": duration_s for phase, duration_s in work.last_step_s.items()},
                "flop": after.flop - progress.flop,
                "energy_j": self.energy_told_j,
            }
        )
        return result.loss, after

    def plan(self, progress: Progress) -> StepPlan:
        """The plan of the next step: what the methods leave of a whole step, and its samples."""
        plan = StepPlan(num_samples=self.recipe.batch_size, precision=self.settings.precision)
        for method in self.methods:
            plan = method.plan(progress, plan)
        indices, weights = self.order.next(plan.num_samples)
        if plan.weights is not None:
            weights = plan.weights if weights is None else weights * plan.weights
        return plan.changed(indices=indices, weights=weights)

    def _make_ready(self, plan: StepPlan) -> None:
        """Gradients, modes and wrappers for what this plan trains; only when that changes."""
        key = (plan.frozen, plan.update, plan.active)
        if key == self._prepared:
            return
        self.model.prepare(plan)
        self._parameters = list(self.model.parameters())
        self._module = self.parallel.wrap(self.model, plan)
        self._prepared = key

    def _forward_backward(
        self, plan: StepPlan, progress: Progress, module: Any
    ) -> tuple[float, FloatArray, IntArray]:
        """Loss, and losses and samples of the rows if somebody watches them; nothing else outlives the phases."""
        work, mine = self.work, self.parallel.share(plan)
        with work.phase("data"):
            rows = indices(mine)
            generator = self.parallel.draws(work.generator("augment", self.num_steps), len(rows))
            batch = check_batch(self.task.batch(rows, plan.size, generator), self.task)
            batch = weighted(batch.to(self.device), mine)
            kept = kept_tokens(plan, work, self.num_steps, self.device)
        for method in self.methods:
            batch = method.batch(work, plan, batch)
        with work.phase("optimizer"):
            for optimizer in work.optimizers:
                optimizer.zero_grad(set_to_none=True)
        precise = (
            torch.autocast(self.device.type, torch.bfloat16)
            if plan.precision == "bfloat16"
            else nullcontext()
        )
        with work.phase("forward"):
            with precise:
                outputs = module(batch.inputs, plan, kept, batch.extra.get("front"))
            losses = self.task.loss(outputs.float(), batch)
            check_unreduced(losses, batch, self.task)
            told = losses.detach()
            for method in self.methods:
                losses = method.losses(outputs, batch, losses, progress)
            loss = reduced(losses, batch, self.parallel)
        row_losses, row_indices = np.empty(0), batch.indices
        if self._watches:
            with work.phase("score"):
                row_losses = row_means(told, batch).double().cpu().numpy()
        with work.phase("backward"):
            loss.backward()
            value = float(loss.detach())
            # Freed here, where the time that it takes belongs, and not when the function returns.
            del outputs, losses, told, loss, batch, kept
        return value, row_losses, row_indices

    def _update(self, plan: StepPlan) -> None:
        with self.work.phase("optimizer"):
            if self.recipe.clip_norm:
                torch.nn.utils.clip_grad_norm_(self._parameters, self.recipe.clip_norm)
            for optimizer in self.work.optimizers:
                optimizer.step()

    # ---------------------------------------------------------------------------- quality and the end

    def evaluate(self, part: Literal["validation", "test"]) -> dict[str, float]:
        """Quality on a held-out part, booked as evaluation, with the modes of training restored."""
        before_j = self.meter.energy_j() if self.meter else 0.0
        with self.work.phase("eval") as model, torch.no_grad():
            model.eval()
            quality = checked_quality(self.task.evaluate(model, part), self.task)
        self._prepared = ()
        if self.meter:
            self._energy_mark_j += self.meter.energy_j() - before_j
        self.recorder.evaluation(
            {"step": self.num_steps, "progress_frac": self.progress().frac, "part": part, **quality}
        )
        return quality

    def _evaluate_if_due(self, progress: Progress) -> None:
        due = (
            (self.num_evaluated + 1) / self.settings.num_evaluations if self.settings.num_evaluations else 2.0
        )
        if due <= progress.frac < 1.0 and due < 1.0:
            self.evaluate("validation")
            self.num_evaluated += 1

    def _finish(self, status: Status, reason: str) -> RunOutcome:
        if status == "finished" and 0 < self.num_steps <= 2 and self.progress().frac > 2.0 * self.num_steps:
            refuse_budget(self.settings.budget, self.progress())
        validation: dict[str, float] = {}
        quality: dict[str, float] = {}
        if status == "finished":
            for method in self.methods:
                method.finish(self.work)
            validation, quality = self.evaluate("validation"), self.evaluate("test")
        outcome = RunOutcome(
            status=status,
            progress=self.progress(),
            quality=quality,
            validation=validation,
            costs=self.work.costs,
            energy_kind=self.energy_kind,
            reason=reason,
            steps={name: entry.num_steps for name, entry in self.work.costs.by_signature.items()},
        )
        self.recorder.event(
            status if status != "finished" else "end", {"reason": reason, "step": self.num_steps}
        )
        return outcome
