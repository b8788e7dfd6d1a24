"""What `run` would do and what it would cost, from a few timed steps of the extreme architectures.

Nothing of the study is made: no record, no folder. The teacher is not fine-tuned; a step of the recipe is timed on
the smallest and the largest feasible architecture, and the cost of the others follows their FLOPs.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from autodistill.components.architecture import Architecture
from autodistill.engine.environment import prepare_process
from autodistill.engine.features import FeaturesSize, StudyFeatures
from autodistill.engine.places import chosen_picks, frozen_picks
from autodistill.engine.recipe import TRAINING_FACTOR, optimisation_for, step_flops, training_flops
from autodistill.engine.records import FINAL_TRIAL_STATES
from autodistill.engine.repeats import repeats_of
from autodistill.engine.run import is_finished
from autodistill.engine.session import CHECKING, check_study
from autodistill.engine.task_bench import forward_flops, protocol_of, recipe_of_tasks, task_bench
from autodistill.engine.workbench import Workbench, model_dimensions
from autodistill.folders import directory_bytes
from autodistill.schedules.layer_mapping import mapping_table
from autodistill.training.batches import on_device
from autodistill.training.devices import placed
from autodistill.training.features import forward_features
from autodistill.training.health import give_back_memory, halved
from autodistill.training.parallel import processes
from autodistill.training.precision import autocast, precision_of, teaching_precision_of
from autodistill.training.softened import logits_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from transformers import PreTrainedModel

    from autodistill.components.training import Phase
    from autodistill.configs.settings import Settings
    from autodistill.engine.records import StudyRecord
    from autodistill.engine.storage import Storage
    from autodistill.registry import Registry
    from autodistill.report.progress import Progress

#: What a plan is at, after `autodistill.engine.session.CHECKING`.
COUNTING, STEPPING = "counting what architectures cost", "timing a few steps"
TASKS = "counting what fine-tuning on tasks costs"

#: Stages of which a study tells how many of their runs are done.
TEACHER, ANSWERS = "fine-tuning the teacher", "teacher's answers"
FEATURES, CANDIDATES = "teacher's features", "latency of candidates"
FLASH, PICKS, BASELINES = "flash distillation", "full recipe: picks", "full recipe: baselines"
REPEATS = "full recipe: repeats"
ONLINE_FLASH, ONLINE_FULL = "teacher online: flash runs", "teacher online: full runs"

#: Runs of a stage of which none is to be made any more.
MANY = 2**31

#: Timed steps per model, after one that warms up.
TIMED_STEPS = 3

#: Tokens of a timed step, roughly, by the kind of device: enough to keep it busy, and little memory where batches are
#: of millions. A GPU has its thousands of cores busy from some ten thousand on; where that is too much, it is halved.
TIMED_TOKENS = {"cpu": 2048, "cuda": 16_384}

#: Architectures of which the mean cost of a trial is estimated.
SAMPLED = 64

#: Seconds to export and time one small model on one backend, seen on two cores; a guess until a study has run.
SECONDS_PER_TIMING = 2.5

#: Bytes of training state per parameter: weights, gradients and two moments of AdamW in float32.
BYTES_PER_PARAMETER = 16


@dataclass(frozen=True)
class PlannedStage:
    """One stage: runs, optimiser steps of one run, examples and FLOPs of one run, seconds of all; runs done already."""

    name: str
    runs: int
    steps: int
    examples: int
    flops: float
    seconds: float
    done: int = 0

    @property
    def seconds_left(self) -> float:
        """Wall-clock seconds of the runs that are not done."""
        return self.seconds * (1 - self.done / self.runs) if self.runs else self.seconds


@dataclass(frozen=True)
class PlannedPhase:
    """One phase of the recipe: run (flash or full), student depths that have it so, phase, steps, layers that run.

    Args:
        run: ``"flash"`` or ``"full"``.
        depths: layers of the students whose runs look like this.
        name: the phase's.
        roles: of the losses that act.
        steps: of the optimiser.
        student_layers: how many run; None for all.
        teacher_layers: how many run, where it runs online; None for all.
    """

    run: str
    depths: tuple[int, ...]
    name: str
    roles: tuple[str, ...]
    steps: int
    student_layers: int | None
    teacher_layers: int | None


@dataclass(frozen=True)
class Plan:
    """What a run would cost.

    Args:
        stages: in order.
        phases: of flash and full runs, for every depth of the search space and of the baselines.
        facts: what the plan rests on, for people.
        disk_bytes: caches (the tokenised data too), checkpoints and results.
        memory_bytes: of the training process: as it is now and the state of the largest student, without activations.
        features_cached: whether teacher features fit the cache; else the teacher runs online, in every run.
    """

    stages: tuple[PlannedStage, ...]
    phases: tuple[PlannedPhase, ...]
    facts: dict[str, Any]
    disk_bytes: int
    memory_bytes: int
    features_cached: bool

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of everything."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def seconds_left(self) -> float:
        """Wall-clock seconds of what is not done; at most: of what follows the full runs only its end is known."""
        return sum(stage.seconds_left for stage in self.stages)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able mapping."""
        return {**asdict(self), "seconds": self.seconds, "seconds_left": self.seconds_left}


def make_plan(settings: Settings, registry: Registry, progress: Progress | None = None) -> Plan:
    """Check everything, time a few steps, and add up.

    The plan is that of the whole study, from its beginning, with what a study that exists has done.

    Args:
        settings: checked configuration.
        registry: what exists.
        progress: what to tell about progress; nothing by default.

    Raises:
        UserError: what `run` would raise before training, of a study that exists too.
    """
    from autodistill.report.progress import QuietProgress

    prepare_process(settings.trainer)
    with ExitStack() as stack:
        shown = stack.enter_context(progress or QuietProgress())
        shown.stage(CHECKING)
        checked = check_study(settings, registry, stack)
        planner = _Planner(checked.bench, shown)
        plan = planner.plan()
        if checked.random_starts is not None:
            plan = replace(plan, facts={**plan.facts, "start": checked.random_starts})
        storage, study = checked.storage, checked.known
        if storage is None or study is None:
            return plan
        if is_finished(settings, storage, study):
            return replace(plan, stages=tuple(replace(stage, done=stage.runs) for stage in plan.stages))
        done = _done(storage, study, checked.features, planner.baselines, settings.picks_seeds)
    stages = (replace(stage, done=min(stage.runs, done.get(stage.name, 0))) for stage in plan.stages)
    return replace(plan, stages=tuple(stages))


def _done(
    storage: Storage, study: StudyRecord, features: StudyFeatures, baselines: Sequence[Architecture], seeds: int
) -> dict[str, int]:
    """Stage -> runs that a study need not make again; what follows the full runs is not among them.

    Args:
        storage: of the study.
        study: as it is stored.
        features: of its teacher.
        baselines: as they are configured now.
        seeds: full runs of each pick and baseline.
    """
    trials = {trial.number: trial for trial in storage.trials(study.id)}
    searched = [trial for trial in trials.values() if trial.origin == "search"]
    full = {run.trial for run in storage.runs(study.id) if run.kind == "full" and run.state == "complete"}
    made = {trials[number].architecture for number in full if trials[number].origin == "baseline"}
    teacher = int(storage.step(study.id, "teacher") is not None)
    flash = sum(trial.began_training and trial.state in FINAL_TRIAL_STATES for trial in searched)
    chosen = chosen_picks(storage, study)
    picks = len(full.intersection(chosen))
    frozen = frozen_picks(storage, study) is not None  # then no other one is trained
    compared = len(made.intersection(baselines))
    models = [trials[number] for number in chosen]
    models += [one for one in trials.values() if one.origin == "baseline" and one.architecture in baselines]
    repeats = len(full & {one.number for model in models for one in repeats_of(model, trials.values(), seeds)})
    # A pick and a baseline of one architecture share them.
    repeated = frozen and repeats >= (seeds - 1) * len({one.architecture for one in models} | set(baselines))
    return {
        TEACHER: teacher,
        ANSWERS: teacher,
        FEATURES: int(any(place.is_dir() for place in features.directories)),
        CANDIDATES: sum(len(trial.latencies) for trial in searched),
        FLASH: flash,
        ONLINE_FLASH: flash,
        PICKS: MANY if frozen else picks,
        BASELINES: compared,
        REPEATS: MANY if repeated else repeats,
        ONLINE_FULL: picks + compared + repeats,
    }


class _Planner:
    def __init__(self, bench: Workbench, progress: Progress) -> None:
        self.bench, self.progress = bench, progress
        self.teacher = bench.teacher.load(bench.task)
        self.flops = self._costs(self._sample())
        ordered = sorted(self.flops, key=lambda item: self.flops[item])
        self.extremes = (ordered[0], ordered[-1])
        self.baselines = [named.architecture for named in bench.baselines(self.teacher)]

    def plan(self) -> Plan:
        bench, settings = self.bench, self.bench.settings
        self.progress.stage(STEPPING, len(self.extremes) + 1 + len(self._teacher_precisions))  # 1: to teach the teacher
        times = {architecture: self._step_seconds(self._build(architecture)) for architecture in self.extremes}
        baselines = self.baselines
        study = StudyFeatures(bench, self.teacher, model_dimensions(self.teacher), "plan")
        features = study.size
        mean = float(np.mean(list(self.flops.values())))
        stages = (
            *self._teacher_stages(study),
            self._runs(FLASH, settings.budget_trials, mean, bench.schedule.flash_fidelity, times),
            self._timing(CANDIDATES, settings.budget_trials),
            self._runs(PICKS, settings.picks_max, mean, 1.0, times),
            self._runs(BASELINES, len(baselines), self._mean_of(baselines, mean), 1.0, times),
            *self._repeat_stages(baselines, mean, times),
            *self._online_stages(study, (settings.picks_max + len(baselines)) * settings.picks_seeds),
            self._timing("latency of trained models", settings.picks_max + len(baselines)),
            *self._task_stages(baselines, mean, times),
        )
        largest = bench.family.parameters(self.extremes[1], bench.task, bench.vocabulary)
        teacher_bytes = 4 * sum(parameter.numel() for parameter in self.teacher.parameters())  # float32
        models = (settings.picks_max + len(baselines)) * settings.picks_seeds + settings.picks_max  # picks are exported
        results = models * largest * 4
        return Plan(
            stages=stages,
            phases=self._phases(baselines),
            facts=self._facts(times, features),
            disk_bytes=int(
                teacher_bytes
                + sum(directory_bytes(split.directory) for split in bench.splits.values())
                + features.bytes_stored
                + results
                + largest * BYTES_PER_PARAMETER * (1 + self._kept_trunks())
            ),
            memory_bytes=int(psutil.Process().memory_info().rss + largest * BYTES_PER_PARAMETER),
            features_cached=features.stored == "everything",
        )

    def _sample(self) -> list[Architecture]:
        space = self.bench.space
        if space.size is not None and space.size <= SAMPLED * 16:
            return list(space.enumerate())
        return list(dict.fromkeys(space.sample(SAMPLED, seed=0)))

    def _costs(self, architectures: list[Architecture]) -> dict[Architecture, float]:
        """Architecture -> FLOPs of its forward pass."""
        self.progress.stage(COUNTING, len(architectures))
        found = {}
        for architecture in architectures:
            found[architecture] = self._forward(architecture)
            self.progress.advance()
        return found

    def _forward(self, architecture: Architecture) -> float:
        return sum(step_flops(self.bench, architecture))

    def _build(self, architecture: Architecture) -> PreTrainedModel:
        return self.bench.family_of(architecture.family).build(architecture, self.bench.task, self.bench.vocabulary)

    def _mean_of(self, architectures: list[Architecture], otherwise: float) -> float:
        return float(np.mean([self._forward(item) for item in architectures])) if architectures else otherwise

    def _step_seconds(self, model: PreTrainedModel, precision: str | None = None) -> float:
        """Median seconds of one step on real batches of the stream; of large batches a part is timed.

        On the study's device; in the precision of its runs, or forward alone in the one that is given.
        """
        backward = precision is None
        device, size = self.bench.device, self.bench.schedule.optimisation.batch_size
        timed = min(size, max(1, TIMED_TOKENS[device.type] // self.bench.median_tokens))
        model.train(backward)
        while True:
            try:
                with placed(model, device):
                    seconds = [self._timed(model, step, timed, precision) for step in range(TIMED_STEPS + 1)]
                    model.zero_grad()
                self.progress.advance()
                return float(np.median(seconds[1:])) * size / timed
            except Exception as error:
                timed = halved(timed, error, "steps were timed")
            model.zero_grad()
            give_back_memory()

    def _timed(self, model: PreTrainedModel, step: int, examples: int, forward: str | None) -> float:
        """Seconds of a step, or of its forward pass in a precision, without fetching its examples."""
        import torch

        bench, device, key = self.bench, self.bench.device, logits_of(self.bench.task.kind)
        batch = on_device(bench.train.batch(bench.stream.rows_at(step * examples, (step + 1) * examples)), device)
        backward, precision = forward is None, forward or precision_of(bench.settings.trainer)
        _synchronise(device)
        started = time.perf_counter()
        with torch.set_grad_enabled(backward):
            with autocast(precision, device):
                logits = forward_features(model, batch, frozenset({key}))[key]
            if backward:
                logits.float().pow(2).mean().backward()
        _synchronise(device)
        return time.perf_counter() - started

    @cached_property
    def _teacher_forward(self) -> tuple[float, float]:
        """FLOPs (0 where no family knows the teacher) and seconds of the teacher on one example."""
        bench = self.bench
        own = bench.architecture_of(self.teacher)
        seconds = self._teacher_seconds[teaching_precision_of(bench.settings.trainer)]
        return 0.0 if own is None else self._forward(own), seconds

    @cached_property
    def _teacher_seconds(self) -> dict[str, float]:
        """Precision -> seconds of the teacher on one example: in which it teaches, and in which it answers."""
        size = self.bench.schedule.optimisation.batch_size
        return {one: self._step_seconds(self.teacher, one) / size for one in self._teacher_precisions}

    @property
    def _teacher_precisions(self) -> set[str]:
        return {teaching_precision_of(self.bench.settings.trainer), "32-true"}

    def _teacher_pass(self, name: str, runs: int, examples: int) -> PlannedStage:
        """The teacher on some examples, in each of some runs."""
        flops, seconds = self._teacher_forward
        return PlannedStage(name, runs, 0, examples, examples * flops, runs * examples * seconds)

    def _online_stages(self, features: StudyFeatures, full_runs: int) -> list[PlannedStage]:
        """The teacher on what is not cached, in the steps of every run."""
        if features.size.stored == "everything":
            return []
        flash, full = (self._examples(fidelity) for fidelity in (self.bench.schedule.flash_fidelity, 1.0))
        if features.size.stored == "flash":
            return [self._teacher_pass(ONLINE_FULL, full_runs, max(0, full - flash))]
        return [
            self._teacher_pass(ONLINE_FLASH, self.bench.settings.budget_trials, flash),
            self._teacher_pass(ONLINE_FULL, full_runs, full),
        ]

    def _examples(self, fidelity: float) -> int:
        """Examples that a run of the largest student reads."""
        schedule, teacher = self.bench.schedule, model_dimensions(self.teacher).layers
        phases = schedule.phases(self._layers(self.extremes[1]), teacher, fidelity)
        return sum(phase.steps for phase in phases) * schedule.optimisation.batch_size

    def _teacher_stages(self, features: StudyFeatures) -> list[PlannedStage]:
        bench = self.bench
        step = self._step_seconds(self.teacher)
        size = bench.schedule.optimisation.batch_size
        held_out = sum(len(split) for role, split in bench.splits.items() if role != "train")
        answers = held_out * self._teacher_seconds["32-true"]  # of a model like any other, not of one that teaches
        stages = [PlannedStage(ANSWERS, 1, 0, held_out, held_out * self._teacher_forward[0], answers)]
        if features.examples_stored:
            stages.append(self._teacher_pass(FEATURES, 1, features.examples_stored))
        if bench.teacher.needs_fine_tuning(bench.task):
            recipe = bench.teacher.fine_tuning
            examples = recipe.examples(len(bench.splits["train"]))
            steps = recipe.steps(examples)
            flops = TRAINING_FACTOR * examples * self._teacher_forward[0]
            stages.insert(0, PlannedStage(TEACHER, 1, steps, examples, flops, examples * step / size))
        return stages

    def _phases(self, baselines: list[Architecture]) -> tuple[PlannedPhase, ...]:
        """The phases of both runs, full ones of baselines too; depths whose phases are the same are told together."""
        schedule, teacher = self.bench.schedule, model_dimensions(self.teacher).layers
        candidates = {self._layers(architecture) for architecture in self.flops}
        whole = candidates | {self._layers(architecture) for architecture in baselines}
        found = []
        for run, fidelity, depths in (("flash", schedule.flash_fidelity, candidates), ("full", 1.0, whole)):
            alike: dict[tuple[Phase, ...], list[int]] = {}
            for depth in sorted(depths):
                alike.setdefault(tuple(schedule.phases(depth, teacher, fidelity)), []).append(depth)
            for phases, same in alike.items():
                found += [
                    PlannedPhase(
                        run,
                        tuple(same),
                        phase.name,
                        tuple(sorted(phase.roles)),
                        phase.steps,
                        phase.max_student_layer,
                        phase.max_teacher_layer,
                    )
                    for phase in phases
                ]
        return tuple(found)

    def _kept_trunks(self) -> int:
        """Flash runs whose training state stays on the disk until the picks are frozen."""
        schedule, teacher = self.bench.schedule, model_dimensions(self.teacher).layers
        phases = schedule.phases(self._layers(self.extremes[1]), teacher, schedule.flash_fidelity)
        return self.bench.settings.budget_trials if any(phase.trunk and phase.keep for phase in phases) else 0

    def _layers(self, architecture: Architecture) -> int:
        return self.bench.family_of(architecture.family).dimensions(architecture, self.bench.task).layers

    def _runs(
        self, name: str, runs: int, forward: float, fidelity: float, times: dict[Architecture, float]
    ) -> PlannedStage:
        size = self.bench.schedule.optimisation.batch_size
        largest, teacher = self.extremes[1], model_dimensions(self.teacher).layers
        phases = self.bench.schedule.phases(self._layers(largest), teacher, fidelity)
        steps = sum(phase.steps for phase in phases)
        # What the largest saves in phases that run some layers only, every architecture is taken to save.
        whole = TRAINING_FACTOR * self.flops[largest] * steps * size
        share_run = training_flops(self.bench, largest, phases, 0, steps) / whole
        small, large = self.extremes
        low, high = self.flops[small], self.flops[large]
        share = (forward - low) / (high - low) if high > low else 0.0
        seconds = times[small] + share * (times[large] - times[small])
        if forward < low:  # a baseline below all of the space, where that line may lead below nothing
            seconds = times[small] * forward / low
        scoring = len(self.bench.splits["select"]) * seconds / size / TRAINING_FACTOR
        flops = TRAINING_FACTOR * forward * steps * size * share_run
        return PlannedStage(name, runs, steps, steps * size, flops, runs * (steps * seconds * share_run + scoring))

    def _repeat_stages(
        self, baselines: list[Architecture], mean: float, times: dict[Architecture, float]
    ) -> list[PlannedStage]:
        """Further full runs of picks and baselines from other seeds; none where ``picks.seeds`` is 1."""
        settings = self.bench.settings
        count = settings.picks_max + len(baselines)
        runs = count * (settings.picks_seeds - 1)
        if not runs:
            return []
        forward = (settings.picks_max * mean + sum(self._forward(item) for item in baselines)) / count
        return [self._runs(REPEATS, runs, forward, 1.0, times)]

    def _task_stages(
        self, baselines: list[Architecture], mean: float, times: dict[Architecture, float]
    ) -> list[PlannedStage]:
        """Fine-tuning of picks, baselines and teacher: the grid and the seeds of every task."""
        largest = self.extremes[1]
        size = self.bench.schedule.optimisation.batch_size
        seconds_per_flop = times[largest] / (TRAINING_FACTOR * self.flops[largest] * size)
        teacher = self.bench.architecture_of(self.teacher) or largest
        models = [teacher, *baselines, *[self._typical(mean)] * self.bench.settings.picks_max]
        stages = []
        if self.bench.settings.tasks:
            self.progress.stage(TASKS, len(self.bench.settings.tasks))
        for label in self.bench.settings.tasks:
            own = task_bench(self.bench, label)
            protocol, recipe, rows = protocol_of(own), recipe_of_tasks(own), len(own.splits["train"])
            grid = [point.recipe(recipe) for point in protocol.points]
            most = max(grid, key=lambda one: one.examples(rows))
            runs = [*grid, *[most] * (protocol.seeds - 1)]  # of the seeds, the dearest point
            examples = max(1, round(sum(one.examples(rows) for one in runs) / len(runs)))
            forward = float(np.mean([forward_flops(self.bench, own, model) for model in models]))
            flops = TRAINING_FACTOR * forward * examples
            steps = most.steps(examples)
            count = len(runs) * len(models)
            stages.append(
                PlannedStage(f"fine-tuning: {label}", count, steps, examples, flops, count * flops * seconds_per_flop)
            )
            self.progress.advance()
        return stages

    def _typical(self, forward: float) -> Architecture:
        """The sampled architecture whose cost is nearest to ``forward``."""
        return min(self.flops, key=lambda item: abs(self.flops[item] - forward))

    def _rates(self) -> list[float]:
        """The least and the largest peak learning rate of the sampled architectures; one where they are the same."""
        rates = {optimisation_for(self.bench, architecture).lr for architecture in self.flops}
        return sorted({min(rates), max(rates)})

    def _timing(self, name: str, runs: int) -> PlannedStage:
        backends = len(self.bench.settings.several["latency"])
        return PlannedStage(name, runs * backends, 0, 0, 0.0, runs * backends * SECONDS_PER_TIMING)

    def _facts(self, times: dict[Architecture, float], features: FeaturesSize) -> dict[str, Any]:
        small, large = self.extremes
        space = self.bench.space
        return {
            "search space": f"{len(space.parameters)} parameters, {space.estimated_size} feasible architectures",
            "smallest": f"{small}, {_per_step(times[small])}",
            "largest": f"{large}, {_per_step(times[large])}",
            "steps timed": self._way_of_timing(),
            "learning rate": " to ".join(f"{rate:.2g}" for rate in self._rates()),
            "examples": {role: len(split) for role, split in self.bench.splits.items()},
            "tokens per example (median)": self.bench.median_tokens,
            "teacher features": str(features),
            "layers compared (largest)": "\n" + self._mapping(),
        }

    def _way_of_timing(self) -> str:
        """Where and how steps were timed, and what of the runs' way is not in the times."""
        trainer, device = self.bench.settings.trainer, self.bench.device
        world = processes(trainer)
        name = "GPU" if device.type == "cuda" else "CPU"
        told = [f"on one {name} in {precision_of(trainer)}"]
        if (teaching := teaching_precision_of(trainer)) != "32-true":
            told.append(f"the teacher, when it teaches, in {teaching}")
        if device.type == "cpu" and str(trainer.get("accelerator", "cpu")) not in ("cpu", "auto"):
            told.append(f"trainer.accelerator={trainer['accelerator']} is not timed")
        if world > 1:
            told.append(f"runs divide every step among {world} processes, which is not in the times")
        if trainer.get("compile"):
            told.append("without trainer.compile")
        return "; ".join(told)

    def _mapping(self) -> str:
        """Which teacher layers the largest student's layers are compared with."""
        student = self.bench.family.dimensions(self.extremes[1], self.bench.task).layers
        teacher = model_dimensions(self.teacher).layers
        return mapping_table(self.bench.schedule.layer_pairs(student, teacher), student, teacher)


def _per_step(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms per step" if seconds < 10 else f"{seconds:,.0f} s per step"


def _synchronise(device: torch.device) -> None:
    """Wait for what a GPU still has to do: it is told faster than it computes."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
