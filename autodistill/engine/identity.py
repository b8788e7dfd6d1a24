"""What makes a study the study it is, and what must match when it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from autodistill.engine.workbench import Workbench
from autodistill.errors import StudyError


def study_identity(bench: Workbench) -> dict[str, Any]:
    """Teacher, data, task, family, space, objectives, constraints, losses, schedule and workloads, JSON-able.

    Budget, picks, search strategy, baselines, evaluators, executor and trainer may change between runs of a study;
    these may not, because results would no longer compare.
    """
    settings = bench.settings
    student = settings.one("student")
    identity = {
        "seed": settings.seed,  # of the stream of examples, of every trial and of the teacher's fine-tuning
        "teacher": _teacher(bench),
        "data": {"name": settings.one("data").name, "fingerprint": bench.data.fingerprint},
        "task": asdict(bench.task),
        "max_length": bench.max_length,
        "student": student.identity,
        "objectives": {item.label: [item.metric, item.direction] for item in bench.objectives},
        "constraints": {item.label: [item.metric, item.sense, item.bound] for item in bench.constraints},
        "loss": {label: item.identity for label, item in settings.several["loss"].items()},
        "schedule": settings.one("schedule").identity,
        "latency": {
            label: {**item.identity, "default_lengths": list(bench.lengths)}
            for label, item in settings.several["latency"].items()
        },
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


def check_identity(name: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise `StudyError` that lists the differences and the two ways on, unless both are the same."""
    differences = list(_differences(stored, given, ""))
    if differences:
        listed = "\n".join(f"  {line}" for line in differences[:20])  # 20: a screenful
        more = f"\n  ... and {len(differences) - 20} more" if len(differences) > 20 else ""
        raise StudyError(
            f"The study {name!r} exists and is about something else:\n{listed}{more}\n"
            "Its results would not compare. Either go on with it as it is (leave these settings out), or give the "
            "new one its own name: study.name=NAME."
        )


def _differences(stored: Any, given: Any, path: str) -> Iterator[str]:
    if isinstance(stored, Mapping) and isinstance(given, Mapping):
        for key in sorted({*stored, *given}, key=str):
            where = f"{path}.{key}" if path else str(key)
            if key not in stored:
                yield f"{where}: the study has none, now {_short(given[key])}"
            elif key not in given:
                yield f"{where}: the study has {_short(stored[key])}, now none"
            else:
                yield from _differences(stored[key], given[key], where)
    elif stored != given:
        yield f"{path}: the study has {_short(stored)}, now {_short(given)}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."  # 80: one line of a terminal
