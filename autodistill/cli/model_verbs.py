"""Verbs on models: evaluate, export. They make no study; results are printed and written as JSON.

The verb ``latency`` is in `autodistill.cli.latency_verb`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.configs.settings import Chosen, Settings
from autodistill.errors import ConfigError, StudyInterruptedError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from autodistill.components.outcome import Predictions
    from autodistill.engine.workbench import Workbench
    from autodistill.registry import Registry


#: Columns of a table that is not printed on a terminal; least widths of its first and of its other columns.
WIDTH, NAME_WIDTH, NUMBER_WIDTH = 160, 19, 5


def evaluate(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill evaluate model=DIR``: every evaluator's metrics on the test split, or on select without one.

    Its answers are kept beside the metrics, so that two models can be compared example by example afterwards.
    A model without a head for the task is fine-tuned on it first, by the protocol that ``fine_tuning`` says.
    """
    from autodistill.engine.guards import alarms
    from autodistill.engine.scores import predictions_of, score_all, write_predictions
    from autodistill.engine.verdict import metric_entry
    from autodistill.training.predict import predict

    model = load_saved(settings)
    bench = own_bench(settings, registry, _classes_of(model) if _has_head(model) else None)
    if _is_untaught(model, bench):
        return _fine_tune(settings, _without_teacher(bench))
    _check_same_task(bench, model, settings)
    role = bench.final_role
    teacher_answers = _teacher_logits(settings, registry, bench, role)
    answers = predict(model, bench.splits[role], device=bench.device)
    predictions = predictions_of(bench, role, answers, teacher_answers)
    metrics = {name: metric_entry(score, role) for name, score in score_all(bench, predictions).items()}
    rows = [
        [name, number(item["value"]), _interval(item), str(item["n"] or ""), role] for name, item in metrics.items()
    ]
    print_table(f"{settings.model} on {role}", ["metric", "value", "95 % interval", "n", "split"], rows)
    check = _learnt_check(bench, predictions, metrics)
    for alarm in alarms([check]):
        print(alarm)
    facts = _data_facts(bench)
    facts["checks"] = [check, *facts["checks"]]
    name = own_name(settings)
    kept = settings.study_dir / "evaluate" / f"{name}.parquet"
    write_predictions(kept, predictions, role)
    content = {"model": settings.model, "metrics": metrics, "predictions": kept.name, **facts}
    write_result(settings, f"evaluate/{name}.json", content)
    return 0


def export(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill export model=DIR``: every chosen format, each checked against the model."""
    from autodistill.components.outcome import ExportSubject
    from autodistill.engine.finals import parity_sample_of

    model = load_saved(settings)
    bench = own_bench(settings, registry)
    subject = ExportSubject(str(settings.model), model, bench.tokenizer, bench.task, parity_sample_of(bench))
    rows = []
    for label, chosen in settings.several["export"].items():
        folder = settings.study_dir / "exports" / own_name(settings)
        directory = folder / ("hf" if chosen.name == "huggingface" else label)
        report = bench.create(chosen).export(subject, directory)
        difference = number(report.parity["max_abs_difference"])
        rows.append([report.format, str(report.path), f"{report.bytes / 1e6:.1f} MB", difference, report.sha256[:12]])
    print_table(f"exports of {settings.model}", ["format", "path", "size", "largest difference", "sha256"], rows)
    return 0


# -- parts -------------------------------------------------------------------------------------------------------


def own_bench(settings: Settings, registry: Registry, classes: tuple[str, ...] | None = None) -> Workbench:
    """The shared parts with tokeniser and vocabulary of the saved model.

    They are the teacher's where one is given and the model's directory has none.

    Args:
        settings: name the model.
        registry: what exists.
        classes: of the model, where it is scored alone: then a test split is enough.

    Raises:
        TeacherError: the model has no tokeniser, or one of another model, and no teacher is given.
    """
    from autodistill.engine.environment import prepare_process
    from autodistill.engine.workbench import Workbench
    from autodistill.teachers.files import TOKENIZER_FILES

    prepare_process(settings.trainer)
    directory = Path(str(settings.model)).expanduser()
    has_own = any((directory / name).is_file() for name in TOKENIZER_FILES)
    is_given = settings.one("teacher").parameters.get("path") is not None
    own = settings if is_given and not has_own else as_teacher(settings, registry)
    return Workbench(own, registry, model_classes=classes)


def as_teacher(settings: Settings, registry: Registry) -> Settings:
    """The settings in which the saved model is the teacher."""
    given, registered = settings.one("teacher"), registry.get("teacher", "huggingface")
    base = given.parameters if given.name == "huggingface" else vars(registered.spec.config())
    own = Chosen("teacher", registered, {**base, "path": str(settings.model), "sha256": None})
    return replace(settings, components={**settings.components, "teacher": own})


def _has_head(model: PreTrainedModel) -> bool:
    """Whether the model was trained for a task with labels."""
    return type(model).__name__.endswith(("Classification", "QuestionAnswering"))


def _classes_of(model: PreTrainedModel) -> tuple[str, ...]:
    """The names of a model's classes, index = class id."""
    return tuple(str(model.config.id2label[index]) for index in range(model.config.num_labels))


def _is_untaught(model: PreTrainedModel, bench: Workbench) -> bool:
    """Whether the model, which is the workbench's teacher, has no head for the labelled task, nor for another one.

    To give a model that was trained for another task is a mistake, no reason to train it anew.
    """
    wanted = not _has_head(model) and not bench.data.task.label_free and bench.data.task.kind != "mlm"
    is_teacher = bench.settings.one("teacher").parameters.get("path") == str(bench.settings.model)
    return wanted and is_teacher and bench.teacher.needs_fine_tuning(bench.task)


def _without_teacher(bench: Workbench) -> Workbench:
    """The workbench without the evaluators that compare with a teacher, which are named on the terminal: a model that
    is fine-tuned has none, and would be compared with itself. That of the task's own metric stays.
    """
    from autodistill.components.outcome import compares_with_teacher
    from autodistill.engine.workbench import Workbench

    chosen, own = bench.settings.several["evaluator"], bench.task.metric.partition(".")[0]
    comparing = {label for label, one in bench.evaluators.items() if label != own and compares_with_teacher(one)}
    kept = {label: one for label, one in chosen.items() if label not in comparing}
    left_out = [f"evaluator.{label}" for label in chosen if label not in kept]
    if not left_out:
        return bench
    verb = "compares" if len(left_out) == 1 else "compare"
    print(
        f"{' and '.join(left_out)} {verb} with a teacher's answers and cannot score fine-tuning on the task's labels: "
        "left out. Evaluate the fine-tuned model to compare it."
    )
    several = {**bench.settings.several, "evaluator": kept}
    return Workbench(replace(bench.settings, several=several), bench.registry, data=bench.data)


def _fine_tune(settings: Settings, bench: Workbench) -> int:
    """Fine-tune the model by the protocol and print what came of it."""
    from autodistill.engine.fine_tuning import FineTuner
    from autodistill.engine.guards import failed_seeds_words, split_check
    from autodistill.engine.number_scale import check_numbers
    from autodistill.engine.stop import StopSignal
    from autodistill.training.protocol import read_protocol

    protocol = read_protocol(settings.fine_tuning, bench.task.benchmark)
    check_numbers(bench, [point.recipe(bench.teacher.fine_tuning) for point in protocol.points])
    points = "1 point" if len(protocol.points) == 1 else f"{len(protocol.points)} points"
    print(
        f"{settings.model} has no head for this task and is fine-tuned: {points} on the select "
        f"split, then {protocol.seeds} seeds of the best."
    )
    with StopSignal() as stop:
        tuner = FineTuner(bench, protocol, settings.study_dir / "fine_tuning", stop_requested=lambda: stop.requested)
        try:
            found = tuner.run()
        except StudyInterruptedError as error:
            raise StudyInterruptedError(f"{error} The same command goes on.") from error
    rows = [
        [name, number(item["value"]), _interval(item), str(item["n"] or ""), _seeds(found, item), found["split"]]
        for name, item in found["metrics"].items()
    ]
    header = ["metric", "value", "95 % interval", "n", "seeds", "split"]
    print_table(f"{settings.model}, fine-tuned, on {found['split']}", header, rows)
    row = split_check(found, "data.test")
    for alarm in (failed_seeds_words(found), found["check"]["alarm"], row and row["alarm"]):
        if alarm:
            print(alarm)
    facts = _data_facts(bench)
    facts["checks"] += [row] if row else []
    write_result(settings, f"evaluate/{own_name(settings)}.json", {"model": settings.model, **found, **facts})
    return 0


def _learnt_check(bench: Workbench, predictions: Predictions, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The guard's row on whether the model is better than one that answers every example alike."""
    from autodistill.engine.guards import judge_interval, score_check
    from autodistill.engine.trivial import trivial_scores

    metric = bench.task.metric
    floor, entry = trivial_scores(bench, predictions)[metric], metrics[metric]
    learnt = judge_interval(entry["value"], entry["low"], entry["high"], floor, bench.directions[metric])
    return score_check("The model", metric, entry["value"], floor, learnt)


def _data_facts(bench: Workbench) -> dict[str, Any]:
    """What the data source counted and what the guards found in it; their alarms are printed."""
    from autodistill.engine.guards import alarms, data_checks, data_notes

    notes = data_notes(bench)
    checks = data_checks(notes)
    for alarm in alarms(checks):
        print(alarm)
    return {"notes": notes, "checks": checks}


def _seeds(found: dict[str, Any], item: dict[str, Any]) -> str:
    """How many seeds a metric is the mean of, and of how many when some failed."""
    return f"{item['seeds']} of {found['seeds_asked']}" if found["failed_seeds"] else str(item["seeds"])


def load_saved(settings: Settings) -> PreTrainedModel:
    """The model of ``model=DIR``."""
    from autodistill.engine.finals import load_model

    return load_model(Path(str(settings.model)))


def _teacher_logits(settings: Settings, registry: Registry, bench: Workbench, role: str) -> Any:
    """The teacher's logits when an evaluator compares with them, else None.

    A teacher that the task needs fine-tuned comes from the cache, where a study has left it, or is fine-tuned now.

    Raises:
        ConfigError: its tokeniser or classes are not the model's.
    """
    from autodistill.components.outcome import compares_with_teacher
    from autodistill.engine.teacher import prepare_teacher, take_cached
    from autodistill.engine.workbench import Workbench
    from autodistill.training.tokenised import tokenizer_fingerprint

    comparing = [f"evaluator.{label}" for label, item in bench.evaluators.items() if compares_with_teacher(item)]
    if not comparing:
        return None
    theirs = Workbench(settings, registry, data=bench.data)
    who = f"the teacher {theirs.teacher.name}, with which {' and '.join(comparing)} compares"
    if tokenizer_fingerprint(theirs.teacher.tokenizer) != tokenizer_fingerprint(bench.teacher.tokenizer):
        raise ConfigError(
            f"{settings.model} has another tokeniser than {who}. Give the teacher it was distilled from: "
            "teacher.path=DIR."
        )
    if theirs.task.labels != bench.task.labels:
        raise ConfigError(
            f"{settings.model} knows other classes ({', '.join(bench.task.labels[:8])}) than {who} "
            f"({', '.join(theirs.task.labels[:8])}). Give the teacher it was distilled from: teacher.path=DIR."
        )
    if "train" not in bench.data.splits and theirs.teacher.needs_fine_tuning(theirs.task):
        raise ConfigError(
            f"{settings.model} cannot be compared with {who}: that teacher does not know the task, and there are no "
            "training examples to fine-tune it on. Give them (data.train), or teacher.path=DIR of one that knows it."
        )
    take_cached(theirs)
    return prepare_teacher(theirs).logits(theirs, role)


def _check_same_task(bench: Workbench, model: PreTrainedModel, settings: Settings) -> None:
    """Raise `ConfigError` when the model's answers would mean something else than the data's labels."""
    from autodistill.students.heads import head_of

    task, config, suffix = bench.task, model.config, head_of(bench.task).suffix
    if not type(model).__name__.endswith(suffix):
        raise ConfigError(
            f"{settings.model} is a {type(model).__name__}, and this data's task is {task.kind}, for which a model's "
            f"class ends in {suffix}. Give data of the task that it was trained for."
        )
    numbers = task.kind in ("classification", "regression") and config.problem_type == "regression"
    if task.kind in ("classification", "regression") and numbers != (task.kind == "regression"):
        raise ConfigError(
            f"{settings.model} was trained for {'regression' if numbers else 'classification'}, and this data's task "
            f"is {task.kind}. Give data of the task that it was trained for."
        )
    if task.kind not in ("classification", "token_classification"):
        return
    labels = _classes_of(model)
    if labels != task.labels:
        raise ConfigError(
            f"{settings.model} was trained for other classes than this data, or for the same in another order: it "
            f"knows {', '.join(labels[:8])}, the data has {', '.join(task.labels[:8])}."
        )
    if (config.problem_type == "multi_label_classification") != task.multi_label:
        given, wanted = ("several labels", "one") if not task.multi_label else ("one label", "several")
        raise ConfigError(
            f"{settings.model} was trained to give an example {given}, and this data has {wanted}. Set "
            f"data.multi_label={str(not task.multi_label).lower()} or give data of the task that it was trained for."
        )


def number(value: float | None) -> str:
    """Four digits, nothing for None."""
    return "" if value is None else f"{value:.4g}"


def _interval(item: dict[str, Any]) -> str:
    return "" if item["low"] is None else f"{item['low']:.4g} to {item['high']:.4g}"


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table on the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # As texts: a path or label in square brackets is no markup.
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, name in enumerate(header):
        # The first column names the row and gives way least; no number is cut off while there is room for a few.
        longest = max([len(name), *(len(row[place]) for row in rows)])
        table.add_column(
            Text(name), overflow="fold", min_width=min(longest, NAME_WIDTH if place == 0 else NUMBER_WIDTH)
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width
        console.width = max(console.width, WIDTH)
    console.print(table)


def own_name(settings: Settings, workloads: Sequence[Mapping[str, Any]] = ()) -> str:
    """What the results of a verb on models are called, so that those of other models, and workloads, stay.

    The end of the model's path, or what else is worked on, and a digest that tells apart what looks alike.
    """
    from autodistill.engine.cache import cache_key

    path = None if settings.model is None else Path(settings.model).expanduser().resolve()
    what = {"model": path, "architecture": settings.architecture, "subjects": settings.timing.get("subjects")}
    if not any(what.values()):
        what["baselines"] = sorted(settings.several["baseline"])
    what["workloads"] = list(workloads)
    words = "_".join(path.parts[-3:]) if path else "architecture" if settings.architecture else "models"
    readable = re.sub(r"[^A-Za-z0-9._+-]+", "_", words)[-80:]  # the names of files may have 255 characters
    return f"{readable}-{cache_key(what)[:8]}"


def write_result(settings: Settings, name: str, content: Any) -> None:
    """Write a JSON file into the study's folder and say where."""
    from autodistill.engine.summary import without_nan
    from autodistill.folders import write_json

    path = settings.study_dir / name
    write_json(path, without_nan(content))
    print(f"Written: {path}")
