"""What makes a study the study it is, and what must match when it goes on."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, Field, asdict, fields
from pathlib import Path
from typing import Any

from autodistill.configs.paths import path_fields
from autodistill.configs.settings import Chosen
from autodistill.engine.workbench import Workbench
from autodistill.errors import StudyError
from autodistill.exporters.files import sha256_of


def study_identity(bench: Workbench) -> dict[str, Any]:
    """Teacher, data, task, family, space, objectives, constraints, losses, schedule, workloads, and the evaluators that
    trials are judged by, JSON-able.

    Budget, picks, search strategy, baselines, other evaluators, executor and trainer may change between runs of a
    study; these may not, because results would no longer compare.
    """
    settings = bench.settings
    student = settings.one("student")
    identity = {
        "seed": settings.seed,  # of the stream of examples, of every trial and of the teacher's fine-tuning
        "teacher": _teacher(bench),
        "data": {"name": settings.one("data").name, "fingerprint": bench.data.fingerprint},
        "task": asdict(bench.task),
        "max_length": bench.max_length,
        "student": _by_content(student),
        "objectives": {item.label: [item.metric, item.direction] for item in bench.objectives},
        "constraints": {item.label: [item.metric, item.sense, item.bound] for item in bench.constraints},
        "loss": {label: _by_content(item) for label, item in settings.several["loss"].items()},
        "schedule": _by_content(settings.one("schedule")),
        "latency": {
            label: {**_by_content(item), "default_lengths": list(bench.lengths)}
            for label, item in settings.several["latency"].items()
        },
        "evaluator": _evaluators(bench),
    }
    if settings.augmentation.copies:
        identity["augmentation"] = asdict(settings.augmentation)
    plain: dict[str, Any] = json.loads(json.dumps(identity))  # tuples become lists, as they come back from storage
    return plain


def _teacher(bench: Workbench) -> dict[str, Any]:
    """The teacher's content, and how it is fine-tuned where it is: another recipe makes another teacher."""
    found: dict[str, Any] = {"fingerprint": bench.teacher.fingerprint}
    if bench.teacher.needs_fine_tuning(bench.task):
        found["fine_tuning"] = asdict(bench.teacher.fine_tuning)
    return found


def _by_content(chosen: Chosen) -> dict[str, Any]:
    """Name and parameters; with a file that a parameter names goes what is in it, which counts wherever it lies."""
    found = chosen.identity
    for name in path_fields(chosen.registered.spec.config):
        value = found.get(name)
        if isinstance(value, str) and Path(value).is_file():
            found[name] = {"file": value, "sha256": sha256_of(Path(value))}
    return found


def _evaluators(bench: Workbench) -> dict[str, Any]:
    """Label -> what is chosen other than by default, of the evaluators whose metrics trials are judged by."""
    metrics = [bench.task.metric, *(item.metric for item in bench.objectives)]
    metrics += [item.metric for item in bench.constraints]
    found = {}
    for label in {metric.partition(".")[0] for metric in metrics}:
        chosen = bench.settings.several["evaluator"].get(label)
        if chosen is not None:
            defaults = {"name": label, **{item.name: _default(item) for item in fields(chosen.registered.spec.config)}}
            found[label] = {key: value for key, value in _by_content(chosen).items() if value != defaults[key]}
    return {label: changed for label, changed in found.items() if changed}


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def check_identity(
    name: str, stored: Mapping[str, Any], given: Mapping[str, Any], timed: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Raise `StudyError` that lists the differences and the two ways on, unless both are the same.

    Args:
        name: of the study.
        stored: its identity.
        given: of the configuration.
        timed: label of a latency backend -> how it times, as the study knows it. What ``threads`` came to counts
            (`autodistill.engine.timed_on`), not whether they were chosen.
    """
    # What earlier versions did not store is not known of their studies.
    compared = {key: value for key, value in given.items() if key != "evaluator" or key in stored}
    told = {label for label, facts in (timed or {}).items() if "threads" in facts}
    differences = list(_differences(_without_threads(stored, told), _without_threads(compared, told), ""))
    if differences:
        listed = "\n".join(f"  {line}" for line in differences[:20])  # 20: a screenful
        more = f"\n  ... and {len(differences) - 20} more" if len(differences) > 20 else ""
        raise StudyError(
            f"The study {name!r} exists and is about something else:\n{listed}{more}\n"
            "Its results would not compare. Either go on with it as it is (leave these settings out), or give the "
            "new one its own name: study.name=NAME."
        )


def _without_threads(identity: Mapping[str, Any], labels: Collection[str]) -> dict[str, Any]:
    latency = {
        label: {key: value for key, value in chosen.items() if key != "threads"} if label in labels else chosen
        for label, chosen in identity.get("latency", {}).items()
    }
    return {**identity, "latency": latency} if "latency" in identity else dict(identity)


def _differences(stored: Any, given: Any, path: str) -> Iterator[str]:
    if _is_file(given) and isinstance(stored, str):
        given = given["file"]  # earlier versions stored the path alone
    if _is_file(stored) and _is_file(given):
        if stored["sha256"] != given["sha256"]:
            yield f"{path}: the content of the file has changed: the study has {_short(stored)}, now {_short(given)}"
    elif isinstance(stored, Mapping) and isinstance(given, Mapping):
        for key in sorted({*stored, *given}, key=str):
            where = f"{path}.{key}" if path else str(key)
            none = "the default" if where.startswith("evaluator") else "none"
            if key not in stored:
                yield f"{where}: the study has {none}, now {_short(given[key])}"
            elif key not in given:
                yield f"{where}: the study has {_short(stored[key])}, now {none}"
            else:
                yield from _differences(stored[key], given[key], where)
    elif stored != given:
        yield f"{path}: the study has {_short(stored)}, now {_short(given)}"


def _is_file(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"file", "sha256"}


def _short(value: Any) -> str:
    if _is_file(value):
        return f"{value['file']} (SHA-256 {value['sha256'][:12]})"
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."  # 80: one line of a terminal
