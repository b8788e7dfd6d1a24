"""Checks of a whole configuration before anything is trained: every chosen component is built once and thrown away.

What is wrong with data, teacher, space, metrics and losses shows in `autodistill.engine.workbench` already; here are
the parts that would otherwise be built for the first time after the teacher has been fine-tuned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from numbers import Real
from typing import TYPE_CHECKING, Any

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyBackend, formats_taken, metrics_given
from autodistill.components.pruning import PrunerContext
from autodistill.components.search import EarlierStudy, History, SearchContext
from autodistill.components.students import Initialisation, NamedArchitecture
from autodistill.configs.targets import instantiate
from autodistill.engine.records import TrialRecord
from autodistill.engine.teacher import trainer_arguments
from autodistill.engine.timed_on import calibrations, timed_on
from autodistill.engine.workbench import Workbench
from autodistill.errors import ConfigError, PluginError
from autodistill.search.candidates import Candidates, generator
from autodistill.training.runner import DEFAULTS, RESERVED, quiet_lightning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from autodistill.configs.settings import Settings

#: What picks are called.
_PICK = re.compile(r"pick \d+")


def check_components(
    bench: Workbench, teacher: PreTrainedModel, earlier: tuple[EarlierStudy, ...] = ()
) -> dict[str, dict[str, Any]]:
    """Build search strategy, latency backends, pruner, optimiser, exporters and baselines once.

    Returns:
        How and where the latency backends time; see `autodistill.engine.timed_on`.

    Raises:
        UserError: one of them refuses its parameters or what it is used with.
    """
    import torch

    from autodistill.training.optimisers import make_optimiser

    settings = bench.settings
    with ExitStack() as stack:
        backends = bench.make_backends(None)
        for backend in backends.values():
            stack.callback(backend.close)
        _check_latency_metrics(bench, backends)
        _check_operator_sets(settings, backends, bench.main_latency)
        known = bench.known(backends)
        context = bench.search_context(known, earlier)
        check_candidates(context)
        bench.create(settings.one("search"), context)
        times = timed_on(backends)
        bench.calibrations |= calibrations(times)
    bench.create(settings.one("pruner"), PrunerContext(bench.objectives, bench.constraints))
    make_optimiser(torch.nn.Linear(1, 1), (), bench.schedule.optimisation, fused=False)
    for label, chosen in settings.several["export"].items():
        if label == "hf" and chosen.name != "huggingface":
            raise ConfigError(
                f"export.hf is {chosen.name!r}, but hf is the folder of the trained model itself, which would be "
                f"replaced. Give it another label: ~export.hf +export.{chosen.name}.name={chosen.name}."
            )
        bench.create(chosen)
    baselines = bench.baselines(teacher)
    _check_names(settings, baselines)
    check_initialisation(bench, teacher, baselines)
    return times


def _check_names(settings: Settings, baselines: Sequence[NamedArchitecture]) -> None:
    """Rows of the comparison are told apart by their names, so that each must have its own.

    Raises:
        ConfigError: a reference or a baseline is called as the teacher, a pick or, of these two, the other one is.
    """
    taken = {named.name: "a baseline" for named in baselines}
    for label in settings.several["reference"]:
        _check_name("reference", label, taken.get(label))
    for name in taken:
        _check_name("baseline", name, None)


def _check_name(kind: str, name: str, owner: str | None) -> None:
    owner = "the teacher" if name == "teacher" else "a pick" if _PICK.fullmatch(name) else owner
    if owner is not None:
        raise ConfigError(
            f"A {kind} is called {name!r}, as {owner} is, and what is compared is told apart by its name. Give it "
            f"another label: +{kind}.LABEL.name=NAME."
        )


def check_baselines(baselines: Iterable[NamedArchitecture], trials: Iterable[TrialRecord]) -> None:
    """A baseline's name is that of its folder and of its row in the comparison, so it stands for one architecture.

    Args:
        baselines: as they are configured.
        trials: of the study that goes on.

    Raises:
        ConfigError: the study has a baseline of that name already, of another architecture.
    """
    stored = [trial for trial in trials if trial.origin == "baseline"]
    known = {trial.architecture for trial in stored}
    names = {trial.label: trial.architecture for trial in stored}
    for named in baselines:
        if named.name in names and named.architecture not in known:
            raise ConfigError(
                f"The baseline {named.name!r} is {named.architecture}, but in this study that name belongs to "
                f"{names[named.name]}. Give the new one another label: +baseline.LABEL.name=NAME."
            )


def check_candidates(context: SearchContext) -> None:
    """Find one architecture that keeps the constraints on what is known before training.

    Raises:
        ConfigError: there is none.
    """
    candidates = Candidates(context)
    if not candidates.constraints or candidates.drawn(History(), 1, generator(context, History())):
        return
    raise ConfigError(
        f"The constraints leave no architecture of student.space to be trained: {candidates.out_of_reach()}. Loosen "
        "or leave out a constraint (constraints.LABEL.bound=VALUE), or widen student.space."
    )


def check_initialisation(bench: Workbench, teacher: PreTrainedModel, baselines: Sequence[NamedArchitecture]) -> None:
    """Start one student of every family from the teacher, which a family may refuse, e.g. for its activation.

    It is the narrowest one: wider students may take nothing of the teacher, and then nothing is refused.

    Args:
        bench: the study's shared parts.
        teacher: the teacher's model.
        baselines: of the study, of any families.

    Raises:
        ConfigError: a family cannot start from this teacher.
        PluginError: a family gives what no family may give.
    """
    import torch

    narrowest: dict[str, tuple[int, Architecture]] = {}
    for architecture in (*bench.some_architectures, *(named.architecture for named in baselines)):
        family = bench.family_of(architecture.family)
        check_lr_factor(bench, architecture)
        width = family.dimensions(architecture, bench.task).hidden
        if architecture.family not in narrowest or width < narrowest[architecture.family][0]:
            narrowest[architecture.family] = width, architecture
    with torch.random.fork_rng(devices=[]):
        for name, (_, architecture) in narrowest.items():
            try:
                check_start(bench, teacher, architecture)
            except ConfigError as error:
                if name == bench.family_name:
                    raise
                of_it = ", ".join(named.name for named in baselines if named.architecture.family == name)
                raise ConfigError(
                    f"The baselines of the family {name!r} ({of_it}) cannot start from this teacher, and as the study "
                    f"searches {bench.family_name!r} they have the defaults of their family, which no key changes. "
                    f"Leave them out ('~baseline.LABEL'). The reason: {error}"
                ) from error


def check_lr_factor(bench: Workbench, architecture: Architecture) -> None:
    """Raise `PluginError` where a family's factor would stop the training, or turn it into its opposite."""
    factor: Any = bench.family_of(architecture.family).lr_factor(architecture)
    if not (isinstance(factor, Real) and 0 < float(factor) < float("inf")):
        raise PluginError(
            f"lr_factor must return a finite number > 0, but that of {_described(bench, architecture)} returned "
            f"{factor!r} for {architecture}."
        )


def check_start(bench: Workbench, teacher: PreTrainedModel, architecture: Architecture) -> Initialisation:
    """Build a student and start it from the teacher; returns how its weights started.

    Raises:
        ConfigError: the family cannot start from this teacher.
        PluginError: the family returns something else than it must, or counts other parameters than it builds.
    """
    family, whose = bench.family_of(architecture.family), _described(bench, architecture)
    student = bench.build(architecture)
    built = sum(parameter.numel() for parameter in student.parameters())
    told = family.parameters(architecture, bench.task, bench.vocabulary)
    if told != built:
        raise PluginError(
            f"parameters must return how many the model of build has, {built}, but that of {whose} returned {told} for "
            f"{architecture}."
        )
    started = family.initialise(student, teacher)
    if not isinstance(started, Initialisation):
        raise PluginError(
            f"initialise must return an Initialisation, but that of {whose} returned {type(started).__name__} for "
            f"{architecture}."
        )
    return started


def _described(bench: Workbench, architecture: Architecture) -> str:
    return bench.registry.get("student", architecture.family).described


def _check_latency_metrics(bench: Workbench, backends: Mapping[str, LatencyBackend]) -> None:
    """An objective or a constraint on what a backend never gives would be without a value in every trial."""
    wanted = [(f"objectives.{item.label}.metric", item.metric) for item in bench.objectives]
    wanted += [(f"constraints.{item.label}.metric", item.metric) for item in bench.constraints]
    for where, name in wanted:
        label, _, metric = name.partition(".")
        if label in backends and metric not in (given := metrics_given(backends[label])):
            raise ConfigError(
                f"{where} is {name}, which latency.{label} ({bench.settings.several['latency'][label].name}) does not "
                f"give. It gives: {', '.join(sorted(f'{label}.{item}' for item in given)) or 'nothing'}."
            )


def _check_operator_sets(settings: Settings, backends: Mapping[str, LatencyBackend], label: str | None) -> None:
    """Trials and teacher are timed as a backend converts them, picks (by their last export) and references in files of
    their own: the operator set decides of which operators a file is made, and so how fast it is.

    Args:
        settings: of the study.
        backends: label -> backend.
        label: of the one that models are compared by; targets beside it may have other runtimes.
    """
    if label is None or "onnx" not in formats_taken(backends[label]):
        return
    own = settings.several["latency"][label].parameters.get("opset")
    if own is None:
        return
    exports, references = (_operator_sets(settings, kind) for kind in ("export", "reference"))
    files = {**dict(exports[-1:]), **dict(references)}
    for where, other in files.items():
        if other != own:
            everything = {f"latency.{label}": own, **files}
            raise ConfigError(
                f"latency.{label}.opset is {own}, but {where}.opset is {other}: what is timed in the search would be "
                "made of other operators than what is timed in the end. Give all of them one: "
                f"{_all_alike(everything, other)}; or, as a study that exists must, {_all_alike(everything, own)} "
                "(`autodistill export` writes others)."
            )


def _all_alike(operator_sets: Mapping[str, int], wanted: int) -> str:
    """Overrides that give all of them the wanted one."""
    return " ".join(f"{key}.opset={wanted}" for key, number in operator_sets.items() if number != wanted)


def _operator_sets(settings: Settings, kind: str) -> list[tuple[str, int]]:
    """(key, operator set) of the components that write ONNX."""
    chosen = settings.several[kind].items()
    found = [(f"{kind}.{label}", item.parameters.get("opset")) for label, item in chosen]
    return [(key, number) for key, number in found if number is not None]


def check_trainer(settings: Settings) -> None:
    """Build Lightning's Trainer, the loggers and the callbacks once.

    Raises:
        ConfigError: one of them refuses its arguments.
    """
    import pytorch_lightning as lightning
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    for label, node in settings.logger.items():
        if node:
            instantiate(node, f"logger.{label}", save_dir=str(settings.study_dir))
    for label, node in (settings.trainer.get("callbacks") or {}).items():
        if node:
            instantiate(node, f"trainer.callbacks.{label}")
    arguments = trainer_arguments(settings.trainer)
    for name in sorted(set(arguments) & set(RESERVED)):
        raise ConfigError(
            f"trainer.{name} cannot be set: the schedule and the study decide it. Decided there: {', '.join(RESERVED)}."
        )
    try:
        with quiet_lightning():
            lightning.Trainer(**{**DEFAULTS, **arguments}, logger=False, enable_checkpointing=False)
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise ConfigError(f"Lightning's Trainer refused the keys of trainer: {error}") from error
