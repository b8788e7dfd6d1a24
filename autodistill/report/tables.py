"""Rows: what the summary of a study says, in the order in which a person reads it.

Chooses the main metric and the main latency, lines up teacher, references, baselines and picks, and phrases the
verdict. Words for numbers come from `autodistill.report.formats`; how rows look is the business of ``terminal`` and
``html``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from autodistill.report import formats

#: The content of ``summary.json``.
Summary: TypeAlias = Mapping[str, Any]
Role: TypeAlias = Literal["teacher", "reference", "baseline", "pick"]

#: Metric of a latency report -> its field in the summary.
LATENCY_FIELDS: Mapping[str, str] = {
    "p50_ms": "median",
    "p90_ms": "p90",
    "p99_ms": "p99",
    "throughput": "throughput",
    "peak_memory_bytes": "peak_memory_bytes",
}


@dataclass(frozen=True)
class ComparisonRow:
    """One model of the final comparison.

    Args:
        role: what it is.
        name: as the reader knows it.
        trial: its trial number; None for the teacher and references.
        parameters: number of parameters, or None.
        metrics: final metrics, name -> summary metric; empty until it was evaluated.
        latencies: label -> latency report.
        family: student family, or empty.
        architecture: choices, or empty.
        retained: main metric relative to the teacher's, or None.
        speedup: teacher's latency divided by this one's, or None.
    """

    role: Role
    name: str
    trial: int | None
    parameters: int | None
    metrics: Mapping[str, Any]
    latencies: Mapping[str, Any]
    family: str = ""
    architecture: Mapping[str, Any] = field(default_factory=dict)
    retained: float | None = None
    speedup: float | None = None

    def value(self, metric: str) -> float | None:
        """Final value of ``metric``; latencies and ``size.parameters`` included."""
        return metric_of(metric, self.metrics, self.latencies, self.parameters)


def mapping(container: Summary | None, key: str) -> Mapping[str, Any]:
    """``container[key]`` when it is a mapping, else an empty one."""
    value = (container or {}).get(key)
    return value if isinstance(value, Mapping) else {}


def entries(container: Summary | None, key: str) -> list[Any]:
    """``container[key]`` when it is a list, else an empty one."""
    value = (container or {}).get(key)
    return list(value) if isinstance(value, list | tuple) else []


def metric_of(
    metric: str, metrics: Mapping[str, Any], latencies: Mapping[str, Any], parameters: int | None = None
) -> float | None:
    """Value of ``metric`` (``"<label>.<metric>"``) from whichever of the three holds it, or None."""
    label, _, name = metric.rpartition(".")
    if metric in metrics:
        entry = metrics[metric]
        return formats.number_of(entry.get("value") if isinstance(entry, Mapping) else entry)
    if label in latencies and name in LATENCY_FIELDS:
        return formats.number_of(latencies[label].get(LATENCY_FIELDS[name]))
    return formats.number_of(parameters) if metric == "size.parameters" else None


def main_metric(summary: Summary) -> str:
    """The metric that quality is judged by: the task's, else the first objective to maximise."""
    chosen = mapping(summary, "task").get("metric")
    if isinstance(chosen, str) and chosen:
        return chosen
    labels = latency_labels(summary)
    for objective in entries(summary, "objectives"):
        metric = str(objective.get("metric", ""))
        if objective.get("direction") == "maximize" and metric.rpartition(".")[0] not in labels:
            return metric
    return next(iter(mapping(mapping(summary, "teacher"), "metrics")), "quality")


def metric_label(metric: str) -> str:
    """``classification.macro_f1`` -> ``macro f1``."""
    return metric.rpartition(".")[2].replace("_", " ")


def latency_labels(summary: Summary) -> list[str]:
    """Labels of the latency backends, the one that is an objective first."""
    models = [mapping(summary, "teacher")]
    for kind in ("references", "baselines", "picks", "history"):
        models.extend(entries(summary, kind))
    labels = list(dict.fromkeys(label for model in models for label in mapping(model, "latencies")))
    wanted = [str(objective.get("metric", "")).rpartition(".")[0] for objective in entries(summary, "objectives")]
    return sorted(labels, key=lambda label: label not in wanted)


def main_latency(summary: Summary) -> str | None:
    """The latency metric that is an objective, else the median of the first backend, else None."""
    labels = latency_labels(summary)
    for objective in entries(summary, "objectives"):
        metric = str(objective.get("metric", ""))
        if metric.rpartition(".")[0] in labels:
            return metric
    return f"{labels[0]}.p50_ms" if labels else None


def split_of(row: ComparisonRow, metric: str) -> str | None:
    """The split that a final metric was read on."""
    split = mapping(row.metrics, metric).get("split")
    return str(split) if split else None


def comparison_rows(summary: Summary) -> list[ComparisonRow]:
    """Teacher, references, baselines and picks; those of a study that still runs have gaps."""
    rows: list[ComparisonRow] = []
    teacher = mapping(summary, "teacher")
    if teacher:
        rows.append(_plain_row("teacher", teacher))
    rows.extend(_plain_row("reference", reference) for reference in entries(summary, "references"))
    rows.extend(_student_row("baseline", student) for student in entries(summary, "baselines"))
    rows.extend(_student_row("pick", student) for student in entries(summary, "picks"))
    return [_relative_to_teacher(summary, row, rows[0] if teacher else None) for row in rows]


def _plain_row(role: Role, model: Mapping[str, Any]) -> ComparisonRow:
    return ComparisonRow(
        role=role,
        name=str(model.get("name") or role),
        trial=None,
        parameters=model.get("parameters"),
        metrics=mapping(model, "metrics"),
        latencies=mapping(model, "latencies"),
    )


def student_name(role: str, student: Mapping[str, Any]) -> str:
    """The name of a pick or baseline, else its trial."""
    return str(student.get("name") or f"{role}, trial {student.get('trial', '?')}")


def _student_row(role: Role, student: Mapping[str, Any]) -> ComparisonRow:
    versus = mapping(mapping(student, "versus"), "teacher")
    return ComparisonRow(
        role=role,
        name=student_name(role, student),
        trial=student.get("trial"),
        parameters=student.get("parameters"),
        metrics=mapping(student, "final"),
        latencies=mapping(student, "latencies"),
        family=str(student.get("family") or ""),
        architecture=mapping(student, "architecture"),
        retained=formats.number_of(versus.get("retained")),
        speedup=formats.number_of(versus.get("speedup")),
    )


def _relative_to_teacher(summary: Summary, row: ComparisonRow, teacher: ComparisonRow | None) -> ComparisonRow:
    if teacher is None or row.role == "teacher":
        return row
    retained, speedup = row.retained, row.speedup
    if retained is None and is_maximised(summary, main_metric(summary)):
        retained = _quotient(row.value(main_metric(summary)), teacher.value(main_metric(summary)))
    if speedup is None:
        latency = f"{(main_latency(summary) or '').rpartition('.')[0]}.p50_ms"
        speedup = _quotient(teacher.value(latency), row.value(latency))
    return ComparisonRow(**{**vars(row), "retained": retained, "speedup": speedup})


def _quotient(numerator: float | None, denominator: float | None) -> float | None:
    if numerator is None or denominator is None or denominator <= 0:
        return None
    return numerator / denominator


def is_maximised(summary: Summary, metric: str) -> bool:
    """Whether more of ``metric`` is better; true unless an objective says otherwise."""
    directions = {objective.get("metric"): objective.get("direction") for objective in entries(summary, "objectives")}
    return directions.get(metric, "maximize") == "maximize"


def best_pick(summary: Summary) -> Mapping[str, Any] | None:
    """The pick that the verdict is about: named by it, else the surest gain over its baseline at no more latency."""
    picks = entries(summary, "picks")
    verdict = mapping(summary, "verdict")
    for pick in picks:
        if verdict.get("pick") is not None and verdict["pick"] in (pick.get("trial"), pick.get("name")):
            return dict(pick)
    baseline = str(verdict.get("baseline"))
    metric, sign = main_metric(summary), 1 if is_maximised(summary, main_metric(summary)) else -1

    def sureness(pick: Mapping[str, Any]) -> tuple[bool, float, float]:
        versus = mapping(mapping(pick, "versus"), baseline)
        speedup = formats.number_of(versus.get("speedup"))
        low = formats.number_of(mapping(versus, "gain").get("low"))
        final = metric_of(metric, mapping(pick, "final"), {})
        return (
            speedup is not None and speedup >= 1,
            float("-inf") if low is None else low,
            float("-inf") if final is None else sign * final,
        )

    return max(picks, key=sureness, default=None)


def verdict_heading(summary: Summary) -> str:
    """The verdict in a few words."""
    holds = mapping(summary, "verdict").get("holds")
    if holds is None:
        return "No verdict yet" if not entries(summary, "picks") else "No verdict"
    return "The search paid off" if holds else "Not shown to beat the strongest baseline"


def verdict_sentence(summary: Summary) -> str:
    """One sentence: best pick, strongest baseline, the paired gain with its interval, speed and size."""
    pick = best_pick(summary)
    verdict = mapping(summary, "verdict")
    if pick is None:
        return str(verdict.get("claim") or "The study has no picks yet.")
    metric = main_metric(summary)
    baseline = verdict.get("baseline")
    gain = mapping(mapping(mapping(pick, "versus"), str(baseline)), "gain")
    teacher = mapping(mapping(pick, "versus"), "teacher")
    parts = [f"{_capital(student_name('pick', pick))} reaches {_final_text(summary, pick)}"]
    if formats.number_of(teacher.get("retained")) is not None:
        parts.append(f"keeps {formats.share(teacher['retained'])} of the teacher's {metric_label(metric)}")
    if formats.number_of(teacher.get("speedup")) is not None:
        parts.append(f"is {_times(teacher['speedup'])} as fast as the teacher")
    text = _joined(parts)
    if formats.number_of(gain.get("value")) is None:
        return f"{text}."
    return f"{text}; against {baseline}, the strongest baseline, it gains {formats.gain_with_interval(metric, gain)}."


def _final_text(summary: Summary, pick: Mapping[str, Any]) -> str:
    metric = main_metric(summary)
    entry = mapping(mapping(pick, "final"), metric)
    if not entry:
        return "its final training soon"
    split = entry.get("split", "test")
    return f"{formats.metric_with_interval(metric, entry)} {metric_label(metric)} on the {split} split"


def _times(value: Any) -> str:
    return f"{formats.significant(value)} times"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def versus_names(pick: Mapping[str, Any]) -> list[str]:
    """Everything that a pick is compared with, the teacher first."""
    return sorted(mapping(pick, "versus"), key=lambda name: name != "teacher")


def seconds_rows(summary: Summary) -> list[tuple[str, float, float]]:
    """(activity, seconds, share of all) for every activity that took time, longest first."""
    spent = {name: formats.number_of(value) or 0.0 for name, value in mapping(summary, "seconds").items()}
    total = sum(spent.values())
    ranked = sorted(spent.items(), key=lambda item: -item[1])
    return [(name.replace("_", " "), value, value / total) for name, value in ranked if value > 0]


def trial_states(summary: Summary) -> list[tuple[str, int]]:
    """(state, number of trials), empty states left out."""
    return [(str(state), int(number)) for state, number in mapping(summary, "trials").items() if number]


def model_latencies(summary: Summary) -> Iterator[tuple[ComparisonRow, str, Mapping[str, Any]]]:
    """Every latency report of the final comparison with its model and label."""
    for row in comparison_rows(summary):
        for label, report in row.latencies.items():
            yield row, str(label), report
