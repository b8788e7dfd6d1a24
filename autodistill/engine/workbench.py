"""What all runs of a study share: data, task, teacher, tokenised splits, family, space, metrics, backends.

A `Workbench` is built from settings and the registry. Everything cheap that can be wrong is checked here, before any
training: a missing label column, a teacher without weights, an objective that no component measures, a loss that the
task or the family cannot feed. Nothing here writes to a study; the caches are content-addressed and shared.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LATENCY_METRICS, LatencyBackend, LatencyContext, LatencySubject
from autodistill.components.outcome import Described, Evaluator, metrics_of, of_test_alone
from autodistill.components.search import Constraint, Direction, EarlierStudy, Objective, SearchContext
from autodistill.components.students import (
    Baseline,
    BaselineContext,
    Dimensions,
    NamedArchitecture,
    StudentFamily,
    Teacher,
    TeacherContext,
    Vocabulary,
)
from autodistill.components.task import DataContext, TaskData, TaskSpec
from autodistill.components.training import Batch, DistillationLoss, FeatureKey, LossContext, Schedule
from autodistill.configs.settings import DEFAULT_QUALITY, Chosen, Settings, named_as
from autodistill.configs.store import default_node
from autodistill.engine.cache import cache_key
from autodistill.engine.given_architectures import first_architectures
from autodistill.engine.helpers import WithoutHelpers
from autodistill.engine.known import KnownMetrics
from autodistill.engine.space import Space, build_space
from autodistill.engine.workload_metrics import not_asked_for
from autodistill.errors import ConfigError, DataError, PluginError, TeacherError, did_you_mean
from autodistill.latency.lengths import LENGTH_QUANTILES
from autodistill.losses.masking import counted_tokens
from autodistill.training.augmented import Augmentation, augmented
from autodistill.training.precision import precision_of
from autodistill.training.seeds import derive_seed
from autodistill.training.softened import teacher_needs, without_temperature
from autodistill.training.stream import ExampleStream
from autodistill.training.tokenised import TokenisedSplit, tokenise
from autodistill.training.waiting import WhileAnotherWorks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from autodistill.registry import Registry

logger = logging.getLogger(__name__)

#: Architectures that are checked before training: all of a space of this size, else so many drawn from it.
CHECKED_ARCHITECTURES = 512

#: Architectures that latency backends are asked about, once, to learn what they can estimate.
PROBES = 32

#: Training examples on which the importance of a teacher's parts is measured; more changes their order little.
MEASURED_EXAMPLES = 128

#: What tokenisers and models call the segments of a text.
SEGMENT_COLUMN = "token_type_ids"

#: Placeholder for the metric's label that stands for "the first latency backend".
_DEFAULT_LABEL = "default"


class Workbench:
    """Shared, lazily built parts of a study.

    Args:
        settings: checked configuration.
        registry: what exists.
        snapshot: fingerprint of the data that the study was made with; a data source with the parameter ``snapshot``
            reads it again, also when what it is built from has changed.
        data: what the data source gives, where it has been loaded before.
        stop_requested: asked while another process makes what this one needs; None: never.
        teacher_precision: in which the teacher is fine-tuned; by default that of the runs. A study keeps that which it
            began with. ``""`` for one that an earlier version made, which does not say.
        calibrations: label of a latency backend -> what it found out about the machine that the study began on.
        model_classes: see `DataContext`; given where a trained model is scored and nothing is trained.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        snapshot: str | None = None,
        data: TaskData | None = None,
        stop_requested: Callable[[], bool] | None = None,
        teacher_precision: str | None = None,
        calibrations: Mapping[str, Mapping[str, Any]] | None = None,
        model_classes: tuple[str, ...] | None = None,
    ) -> None:
        self._given_data = data
        self._model_classes = model_classes
        self.teacher_precision = precision_of(settings.trainer) if teacher_precision is None else teacher_precision
        self.settings = settings
        self.snapshot = snapshot
        self.registry = registry
        self.stop_requested = stop_requested
        #: Label of a latency backend -> what it, or the study's first process, found out about its machine.
        self.calibrations: dict[str, Mapping[str, Any]] = dict(calibrations or {})
        self._families: dict[str, StudentFamily] = {}

    @property
    def device(self) -> torch.device:
        """Where the study trains, scores and runs its teacher."""
        from autodistill.training.devices import training_device

        return training_device(self.settings.trainer)

    # -- data, teacher, task -------------------------------------------------------------------------------------

    @cached_property
    def data(self) -> TaskData:
        """The splits and their task."""
        if self._given_data is not None:
            return self._given_data
        chosen = self.settings.one("data")
        if self.snapshot is not None and "snapshot" in chosen.parameters and chosen.parameters["snapshot"] is None:
            try:
                return self._load({**chosen.parameters, "snapshot": self.snapshot})
            except DataError:
                logger.info("the snapshot %s of the study's data is gone; reading the data anew", self.snapshot)
        return self._load(chosen.parameters)

    def _load(self, parameters: Mapping[str, Any]) -> TaskData:
        chosen = self.settings.one("data")
        context = DataContext(self.settings.cache_dir, self._model_classes)
        data: TaskData = self.registry.create("data", chosen.name, parameters, context).load()
        return data

    @cached_property
    def teacher(self) -> Teacher:
        """The teacher component; its weights are not read yet."""
        teacher: Teacher = self.create(self.settings.one("teacher"), TeacherContext(self.settings.cache_dir))
        return teacher

    @cached_property
    def task(self) -> TaskSpec:
        """What is to be learnt; a label-free task takes its classes from the teacher's own head."""
        task = self.data.task
        if not task.label_free or task.labels or task.kind not in ("classification", "token_classification"):
            return task
        if not self.teacher.labels:
            raise TeacherError(
                f"A label-free task needs a teacher that is fine-tuned already: {self.teacher.name} has no "
                "classification head. Give teacher.path=DIR of a fine-tuned model, or data.label_column=NAME."
            )
        return replace(task, labels=self.teacher.labels)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What the students' embeddings must fit."""
        return self.teacher.vocabulary

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokeniser as every model of the study uses it, and as it is saved beside them; a copy of the teacher's.

        Called as anybody calls it, it gives what they are trained and scored on: no more tokens than they have
        positions, and the segments of a pair where a new head may learn to tell them apart. A head that is kept was
        trained on what its own tokeniser gives.
        """
        tokenizer = deepcopy(self.teacher.tokenizer)
        tokenizer.model_max_length = min(tokenizer.model_max_length, self.vocabulary.max_positions)
        names = list(tokenizer.model_input_names)
        new_head = self.vocabulary.type_size > 1 and self.teacher.needs_fine_tuning(self.task)
        if new_head and SEGMENT_COLUMN not in names:  # ALBERT's, and all that are saved without a class of their own
            names.append(SEGMENT_COLUMN)
        if self.vocabulary.type_size == 1 and SEGMENT_COLUMN in names:  # DeBERTa's: students have no second segment
            names.remove(SEGMENT_COLUMN)
        tokenizer.model_input_names = names
        tokenizer.init_kwargs["model_input_names"] = names  # else they would not be saved
        return tokenizer

    @property
    def max_length(self) -> int:
        """Tokens per example at most."""
        length = int(self.settings.one("data").parameters["max_length"])
        if length > self.vocabulary.max_positions:
            raise ConfigError(
                f"data.max_length is {length}, but {self.teacher.name} has {self.vocabulary.max_positions} positions. "
                f"Give data.max_length={self.vocabulary.max_positions} or less."
            )
        return length

    @cached_property
    def splits(self) -> Mapping[str, TokenisedSplit]:
        """Role -> tokenised split, memory-mapped from the cache."""
        tokenizer = deepcopy(self.tokenizer)  # truncating changes a tokeniser, and this one is exported
        types = self.vocabulary.type_size if SEGMENT_COLUMN in tokenizer.model_input_names else 1
        settings = self.settings
        waiting = WhileAnotherWorks("tokenises the data", self.stop_requested)
        return tokenise(self.data, tokenizer, self.max_length, settings.cache_dir, settings.seed, types, waiting)

    @property
    def main_latency(self) -> str | None:
        """Label of the latency backend that models are compared by: the objectives' first one, else the first one."""
        labels = list(self.settings.several["latency"])
        named = [item.metric.partition(".")[0] for item in self.objectives]
        return next((label for label in named if label in labels), labels[0] if labels else None)

    @property
    def final_role(self) -> str:
        """The split that final scores are read on: ``test``, or ``select`` when there is none."""
        return "test" if "test" in self.splits else "select"

    @cached_property
    def stream(self) -> ExampleStream:
        """The stream of training examples; the same for every trial of every study on this data and seed."""
        seed = derive_seed(self.settings.seed, self.data.fingerprint_of("train"), "stream")
        return ExampleStream(len(self.train), seed, self.train.lengths, self.train.copies)

    @cached_property
    def train(self) -> TokenisedSplit:
        """The training examples of the students, with their changed forms where augmentation is asked for."""
        chosen = self.settings.augmentation
        kind: Literal["mask", "replace"] = "replace" if chosen.kind == "replace" else "mask"
        augmentation = Augmentation(kind, chosen.copies, chosen.share, self.settings.seed)
        return augmented(self.splits["train"], augmentation, self.teacher.tokenizer)

    @cached_property
    def some_text(self) -> list[Batch]:
        """Batches of training examples on which it is measured what smaller students should keep."""
        rows = np.unique(self.stream.rows_at(0, min(MEASURED_EXAMPLES, len(self.splits["train"]))))
        return [self.train.batch(part) for part in np.array_split(rows, -(-len(rows) // 32))]  # 32 at a time

    @cached_property
    def asked_share(self) -> float:
        """Share of the training texts' tokens whose answers count, measured on `some_text`: 1 but for masked words."""
        asked = sum(int(counted_tokens(batch).sum()) for batch in self.some_text)
        return asked / max(1, sum(int(batch.attention_mask.sum()) for batch in self.some_text))

    # -- students ------------------------------------------------------------------------------------------------

    @property
    def family_name(self) -> str:
        """Registry name of the study's student family."""
        return self.settings.one("student").name

    @property
    def family(self) -> StudentFamily:
        """The study's student family."""
        return self.family_of(self.family_name)

    def family_of(self, name: str) -> StudentFamily:
        """A family by name: the configured one, or another with its defaults (baselines may be of any).

        Raises:
            ConfigError: another has a parameter without a default.
        """
        if name not in self._families:
            chosen = self.settings.one("student")
            if name != chosen.name:
                parameters = self._defaults_of(name)
                self._families[name] = self.registry.create("student", name, parameters)
            else:
                family = self.registry.create("student", name, chosen.parameters)
                # What a derived value reads and the family's own space does not have is a helper of the search.
                helpers = self.space.helpers - set(default_node(self.registry.get("student", name).spec)["space"])
                self._families[name] = WithoutHelpers(family, helpers) if helpers else family
        return self._families[name]

    def _defaults_of(self, family: str) -> dict[str, Any]:
        """Parameters of a family that the study does not search; its activation is the teacher's, to start from it."""
        registered = self.registry.get("student", family)
        required = [name for name, value in default_node(registered.spec).items() if value == "???"]
        if required:
            raise ConfigError(
                f"A study of the family {self.family_name!r} takes others with their defaults, and "
                f"{registered.described} has none for {', '.join(required)}. Leave out what is of that family, or "
                f"search it: student={family}."
            )
        parameters = dict(vars(registered.spec.config()))
        activation = getattr(self.teacher, "activation", None)
        return {**parameters, "activation": activation} if activation and "activation" in parameters else parameters

    def architecture_of(self, model: PreTrainedModel) -> Architecture | None:
        """The architecture of a model in the first student family that knows it, the study's own before others."""
        for name in dict.fromkeys([self.family_name, *self.registry.names("student")]):
            try:
                family = self.family_of(name)
            except (ConfigError, PluginError) as error:
                if name == self.family_name:
                    raise
                logger.info("the student family %r is not asked whose architecture a model has: %s", name, error)
                continue
            found = family.architecture_of(model)
            if found is not None:
                return found
        return None

    @cached_property
    def space(self) -> Space:
        """The feasible architectures."""
        parameters = self.settings.one("student").parameters
        return build_space(self.family_name, parameters["space"], parameters["rules"])

    @cached_property
    def first_architectures(self) -> tuple[Architecture, ...]:
        """What is tried before the search proposes anything."""
        return first_architectures(self.space, self.settings.first_trials)

    @cached_property
    def some_architectures(self) -> list[Architecture]:
        """All feasible architectures of a small space, a sample of a large one: what is checked before training."""
        if self.space.size is not None and self.space.size <= CHECKED_ARCHITECTURES:
            return list(self.space.enumerate())
        return list(dict.fromkeys(self.space.sample(CHECKED_ARCHITECTURES, seed=0)))

    def describe(self, architecture: Architecture) -> Described:
        """What evaluators need to know of an untrained architecture; tokens are the data's median length."""
        family = self.family_of(architecture.family)
        return Described(architecture, family, self.task, self.vocabulary, self.median_tokens)

    @cached_property
    def median_tokens(self) -> int:
        """Median length of the training examples in tokens; of those that a model is scored on where there are none."""
        return int(np.median(self.splits["train" if "train" in self.splits else self.final_role].lengths))

    def check_architecture(self, architecture: Architecture) -> None:
        """Raise `ConfigError` when no model can be built from it."""
        self.family_of(architecture.family).validate(architecture)

    def baselines(self, teacher: PreTrainedModel, some: Mapping[str, Chosen] | None = None) -> list[NamedArchitecture]:
        """Every baseline's architectures, checked; one that another label has named before is left out.

        Args:
            teacher: the teacher's model, which some baselines are cut from.
            some: label -> baseline; those of the configuration by default.

        Raises:
            ConfigError: a baseline refuses its parameters, or names an architecture that cannot be built, or two
                architectures have one name.
        """
        cut_from = self.architecture_of(teacher)
        found: dict[Architecture, NamedArchitecture] = {}
        names: dict[str, Architecture] = {}
        for label, chosen in (self.settings.several["baseline"] if some is None else some).items():
            baseline: Baseline = self.create(chosen, BaselineContext(label, cut_from, self.family_name))
            for named in baseline.architectures():
                try:
                    self.check_architecture(named.architecture)
                except ConfigError as error:
                    raise ConfigError(
                        f"{chosen.place} makes {named.name!r}, which cannot be built: {error} Change the parameters "
                        f"of this baseline, or leave it out: '~{chosen.place}'."
                    ) from error
                found.setdefault(named.architecture, named)
                if names.setdefault(named.name, named.architecture) != named.architecture:
                    raise ConfigError(
                        f"{chosen.place} calls {named.architecture} {named.name!r}, as {names[named.name]} is called "
                        "already, and baselines are told apart by their names. Give one of them another label: "
                        "+baseline.LABEL.name=NAME."
                    )
        return list(found.values())

    # -- metrics -------------------------------------------------------------------------------------------------

    @cached_property
    def evaluators(self) -> Mapping[str, Evaluator]:
        """Label -> evaluator; always there are that of the task's default metric, that of a test split's labels, and
        the sizes, which a search learns from and reports name whatever else is scored.
        """
        chosen = dict(self.settings.several["evaluator"])
        labels_too = [self.task.kind] if self.task.test_labels else []
        sizes = [] if any(item.name == "size" for item in chosen.values()) else ["size"]
        for default in (self.task.metric.partition(".")[0], *labels_too, *sizes):
            if default not in chosen:
                registered = self.registry.get("evaluator", default)
                chosen[default] = Chosen(default, registered, vars(registered.spec.config()))
        built: dict[str, Evaluator] = {label: self.create(item) for label, item in chosen.items()}
        for label, evaluator in built.items():
            reason = evaluator.supports(self.task)
            if reason is not None:
                raise ConfigError(f"evaluator.{label} cannot score this task: {reason}")
        return built

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Quantiles of the training examples' token lengths: the default lengths of a workload."""
        return tuple(
            int(value) for value in np.quantile(self.splits["train"].lengths, LENGTH_QUANTILES, method="nearest")
        )

    def make_backends(self, reference: LatencySubject | None) -> dict[str, LatencyBackend]:
        """Label -> latency backend; nothing is started yet."""
        chosen = self.settings.several["latency"]
        return {label: self.make_backend(label, item, reference) for label, item in chosen.items()}

    def make_backend(self, label: str, chosen: Chosen, reference: LatencySubject | None) -> LatencyBackend:
        """One latency backend; nothing is started yet."""
        context = LatencyContext(
            label,
            self.lengths,
            self.settings.cache_dir / "latency",
            reference,
            build=self.build,
            flops=lambda item, tokens: self.family_of(item.family).flops(item, self.task, self.vocabulary, tokens),
            max_positions=self.vocabulary.max_positions,
            model_key=self._model_key,
            calibration=self.calibrations.get(label),
        )
        backend: LatencyBackend = self.create(chosen, context)
        return backend

    def build(self, architecture: Architecture) -> PreTrainedModel:
        """The architecture's model with random weights."""
        return self.family_of(architecture.family).build(architecture, self.task, self.vocabulary)

    @cached_property
    def _model_key(self) -> str:
        """What decides a model's timing besides its architecture: head, vocabulary, family's parameters, teacher."""
        parameters = self.settings.one("student").parameters
        fixed = {name: value for name, value in parameters.items() if name not in ("space", "rules")}
        task = [self.task.kind, len(self.task.labels)]
        return cache_key({"task": task, "vocabulary": self.vocabulary, "teacher": self.teacher.fingerprint, **fixed})

    def known(self, backends: Mapping[str, LatencyBackend]) -> KnownMetrics:
        """Metrics known before training."""
        return KnownMetrics(self.evaluators, backends, self.describe, self.space.sample(PROBES, seed=0))

    def search_context(self, known: KnownMetrics, earlier: tuple[EarlierStudy, ...] = ()) -> SearchContext:
        """What the search strategy is built from, without a reference point."""
        labels = self.settings.several["latency"]
        timed = frozenset(f"{label}.{name}" for label in labels for name in LATENCY_METRICS)
        return SearchContext(
            space=self.space,
            objectives=self.objectives,
            constraints=self.constraints,
            known=known,
            seed=derive_seed(self.settings.seed, "search"),
            earlier=earlier,
            measured=timed - known.metrics,  # no backend tells these without running a model or its parts
        )

    @cached_property
    def directions(self) -> Mapping[str, Direction]:
        """Every metric that this study can measure -> its direction."""
        found: dict[str, Direction] = {}
        for label, evaluator in self.evaluators.items():
            found |= {f"{label}.{name}": direction for name, direction in metrics_of(evaluator, self.task).items()}
        for label in self.settings.several["latency"]:
            found |= {f"{label}.{name}": direction for name, direction in LATENCY_METRICS.items()}
        return found

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The study's objectives, their default metrics and directions filled in."""
        found = []
        for setting in self.settings.objectives:
            metric = self._metric(setting.metric, f"objectives.{setting.label}.metric")
            direction = setting.direction or self.directions[metric]
            found.append(Objective(setting.label, metric, "maximize" if direction == "maximize" else "minimize"))
        return tuple(found)

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """The study's constraints, their default metrics filled in."""
        return tuple(
            Constraint(
                setting.label,
                self._metric(setting.metric, f"constraints.{setting.label}.metric"),
                "<=" if setting.sense == "<=" else ">=",
                setting.bound,
            )
            for setting in self.settings.constraints
        )

    def _metric(self, name: str, where: str) -> str:
        label, _, metric = name.partition(".")
        if name == DEFAULT_QUALITY:
            return self.task.metric
        if label == _DEFAULT_LABEL:
            backends = list(self.settings.several["latency"])
            if not backends:
                raise ConfigError(f"{where} is {name}, but no latency backend is chosen. Give latency=[onnxruntime].")
            name = f"{backends[0]}.{metric}"
        if name not in self.directions:
            raise ConfigError(
                f"{where} is {name!r}, which nothing in this study measures.{did_you_mean(name, self.directions)} "
                f"It measures: {', '.join(sorted(self.directions))}."
            )
        label, _, metric = name.partition(".")
        if label in self.evaluators and of_test_alone(self.evaluators[label], self.task):
            raise ConfigError(
                f"{where} is {name}, which needs labels, and of this data only the test split has some: nothing is "
                f"chosen by it. Give {self.task.metric}."
            )
        if metric in getattr(self.evaluators.get(label), "final_metrics", ()):
            raise ConfigError(
                f"{where} is {name}, which the test split alone has: nothing is chosen by it. Give {self.task.metric}."
            )
        backend = self.settings.several["latency"].get(label)
        reason = not_asked_for(metric, backend) if backend is not None else None
        if reason is not None:
            raise ConfigError(f"{where} is {name}, {reason}")
        return name

    # -- training ------------------------------------------------------------------------------------------------

    @cached_property
    def schedule(self) -> Schedule:
        """The recipe."""
        schedule: Schedule = self.create(self.settings.one("schedule"))
        return schedule

    def make_losses(self, student: Dimensions, teacher: Dimensions) -> dict[str, tuple[DistillationLoss, float]]:
        """Label -> (loss, weight), built for a pair of models.

        Raises:
            ConfigError: no loss is chosen, or one needs what a model cannot give.
        """
        chosen = self.settings.several["loss"]
        if not chosen:
            raise ConfigError("No distillation loss is chosen: give loss=[logits_kl].")
        context = LossContext(student, teacher, self.schedule.layer_pairs(student.layers, teacher.layers), self.task)
        return {label: (self.create(item, context), float(item.parameters["weight"])) for label, item in chosen.items()}

    def check_losses(self, teacher: Dimensions) -> None:
        """Build the losses for the architectures of the space, so that contradictions show before training."""
        sizes = {self.family.dimensions(architecture, self.task) for architecture in self.some_architectures}
        distinct = {(size.layers, size.heads, size.hidden == teacher.hidden, size.attention): size for size in sizes}
        for size in distinct.values():
            self._check_losses(size, teacher, self.family_name)

    def check_losses_of(self, architecture: Architecture, teacher: Dimensions) -> None:
        """Build the losses for one architecture of any family; raises as `check_losses`."""
        size = self.family_of(architecture.family).dimensions(architecture, self.task)
        self._check_losses(size, teacher, architecture.family)

    def teacher_keys(self, teacher: Dimensions, baselines: Iterable[Architecture] = ()) -> frozenset[FeatureKey]:
        """Features of the teacher that the losses of any architecture of the space, or of a baseline, ask for."""
        import torch

        every = (*self.some_architectures, *baselines)
        sizes = [self.family_of(architecture.family).dimensions(architecture, self.task) for architecture in every]
        found: set[FeatureKey] = set()
        with torch.random.fork_rng(devices=[]):  # losses draw their projections
            for size in {size.layers: size for size in sizes}.values():
                for loss, _ in self.make_losses(size, teacher).values():
                    found |= teacher_needs(loss)
        # The logits themselves cost four bytes more per distribution, and serve whoever asks without a temperature.
        return frozenset(found | {without_temperature(key) for key in found})

    def _check_losses(self, student: Dimensions, teacher: Dimensions, family: str) -> None:
        for label, (loss, _) in self.make_losses(student, teacher).items():
            if self.settings.augmentation.copies and getattr(loss, "reads_labels", False):
                raise ConfigError(
                    f"loss.{label} learns from the labels, but augmentation.copies={self.settings.augmentation.copies} "
                    "changes words, after which a label may be wrong. Leave this loss out (logits_kl learns what the "
                    "teacher answers to the changed text), or set augmentation.copies=0."
                )
            for owner, needed, given in (
                (f"student family {family!r}", loss.student_features, self.family_of(family).features),
                (f"teacher {self.teacher.name}", loss.teacher_features, self.teacher.features),
            ):
                lacking = sorted({without_temperature(key)[0] for key in needed} - given)
                if lacking:
                    raise ConfigError(
                        f"loss.{label} needs {', '.join(lacking)}, which the {owner} cannot give "
                        f"(it gives {', '.join(sorted(given))})."
                    )

    # -- helpers -------------------------------------------------------------------------------------------------

    def create(self, chosen: Chosen, context: object | None = None) -> Any:
        """Build what was chosen."""
        with named_as(chosen.registered, chosen.place):
            return self.registry.create(chosen.registered.kind.name, chosen.name, chosen.parameters, context)


def model_dimensions(model: PreTrainedModel) -> Dimensions:
    """Sizes of a stock transformers encoder."""
    config = model.config
    # Masked language models and models without a head have no classes, whatever number their configuration holds.
    headless = type(model).__name__.endswith(("Model", "ForMaskedLM"))
    return Dimensions(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        classes=0 if headless else getattr(config, "num_labels", 0),
        attention_width=getattr(config, "true_hidden_size", 0),  # MobileBERT attends inside its bottleneck
    )
