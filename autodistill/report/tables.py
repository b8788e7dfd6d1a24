"""Rows: what the summary of a study says, in the order in which a person reads it.

Chooses the main metric and the main latency, lines up teacher, references, baselines and picks, and phrases the
verdict. Words for numbers come from `autodistill.report.formats`; how rows look is the business of ``terminal`` and
``html``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from autodistill.components.latency import LATENCY_FIELDS, LATENCY_METRICS, times_faster
from autodistill.report import formats

#: The content of ``summary.json``.
Summary: TypeAlias = Mapping[str, Any]
Role: TypeAlias = Literal["teacher", "reference", "baseline", "pick"]

#: Columns of tables of latency reports that are shown where any report has them: title -> field.
LOAD_COLUMNS: Mapping[str, str] = {
    "req/s at p99": "throughput_at_p99",
    "loaded p50 ms": "loaded_p50_ms",
    "loaded p99 ms": "loaded_p99_ms",
    "per million": "cost_per_million",
}

#: State of a full run -> what the reader is told of it.
STATE_WORDS: Mapping[str, str] = {"complete": "", "leased": "in training", "pending": "waiting"}

#: Trials that are looked at for labels of latency backends; every trial is timed on all of them.
FIRST_TRIALS = 100


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
        state: state of its full run when that is not complete, else empty.
        error: why it failed, or empty.
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
    state: str = ""
    error: str = ""

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
    """The metric that quality is judged by: the verdict's, else the task's, else the first objective to maximise."""
    chosen = mapping(summary, "verdict").get("metric") or mapping(summary, "task").get("metric")
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
    """Labels of the latency backends: those of objectives first and in their order, so the first is the main one."""
    models = [mapping(summary, "teacher")]
    for kind in ("references", "baselines", "picks"):
        models.extend(entries(summary, kind))
    models.extend(entries(summary, "history")[:FIRST_TRIALS])
    labels = list(dict.fromkeys(label for model in models for label in mapping(model, "latencies")))
    wanted = [str(objective.get("metric", "")).rpartition(".")[0] for objective in entries(summary, "objectives")]
    return sorted(labels, key=lambda label: wanted.index(label) if label in wanted else len(wanted))


def main_latency(summary: Summary) -> str | None:
    """The latency metric that is an objective, else the median of the first backend, else None."""
    labels = latency_labels(summary)
    for objective in entries(summary, "objectives"):
        metric = str(objective.get("metric", ""))
        if metric.rpartition(".")[0] in labels:
            return metric
    return f"{labels[0]}.p50_ms" if labels else None


def special_latencies(summary: Summary) -> list[str]:
    """Latency metrics that are objectives but no medians; they are shown beside the medians, which always are."""
    labels = latency_labels(summary)
    metrics = [str(objective.get("metric", "")) for objective in entries(summary, "objectives")]
    parts = [(metric, *metric.rpartition(".")[::2]) for metric in metrics]
    return [metric for metric, label, name in parts if label in labels and name in LATENCY_FIELDS and name != "p50_ms"]


def load_columns(reports: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Those of `LOAD_COLUMNS` that any of the reports has."""
    reports = list(reports)
    return {
        title: name for title, name in LOAD_COLUMNS.items() if any(report.get(name) is not None for report in reports)
    }


def flags(report: Mapping[str, Any]) -> list[str]:
    """The flags of a latency report in words: reasons to trust it less."""
    return [str(flag).replace("_", " ") for flag in entries(report, "flags")]


def care(report: Mapping[str, Any]) -> str:
    """The flags of a latency report, as text; empty when there are none."""
    return ", ".join(flags(report))


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
        parameters=student.get("parameters") or None,
        metrics=mapping(student, "final"),
        latencies=mapping(student, "latencies"),
        family=str(student.get("family") or ""),
        architecture=mapping(student, "architecture"),
        retained=formats.number_of(versus.get("retained")),
        speedup=formats.number_of(versus.get("speedup")),
        state=STATE_WORDS.get(str(student.get("state") or ""), str(student.get("state") or "")),
        error=str(student.get("error") or ""),
    )


def _relative_to_teacher(summary: Summary, row: ComparisonRow, teacher: ComparisonRow | None) -> ComparisonRow:
    if teacher is None or row.role == "teacher":
        return row
    retained, speedup = row.retained, row.speedup
    if retained is None and is_maximised(summary, main_metric(summary)):
        retained = _quotient(row.value(main_metric(summary)), teacher.value(main_metric(summary)))
    if speedup is None:
        label = (main_latency(summary) or "").rpartition(".")[0]
        speedup = times_faster(mapping(row.latencies, label), mapping(teacher.latencies, label))
    return ComparisonRow(**{**vars(row), "retained": retained, "speedup": speedup})


def _quotient(numerator: float | None, denominator: float | None) -> float | None:
    if numerator is None or denominator is None or denominator <= 0:
        return None
    return numerator / denominator


def is_maximised(summary: Summary, metric: str) -> bool:
    """Whether more of ``metric`` is better: as verdict or objective say, else not of latencies and sizes: costs."""
    told = [mapping(summary, "verdict"), *entries(summary, "objectives")]
    directions = {item.get("metric"): item["direction"] for item in told if "direction" in item}
    label, _, name = metric.rpartition(".")
    usual = LATENCY_METRICS.get(name, "minimize" if label == "size" else "maximize")
    return bool(directions.get(metric, usual) == "maximize")


def best_pick(summary: Summary) -> Mapping[str, Any] | None:
    """The pick that the verdict is about: named by it, else the first that is final, else the first.

    Picks come in the order in which they were chosen on the select split; to choose by the test split would flatter.
    """
    picks = entries(summary, "picks")
    named = mapping(summary, "verdict").get("pick")
    chosen = [pick for pick in picks if named is not None and named in (pick.get("trial"), pick.get("name"))]
    final = [pick for pick in picks if mapping(pick, "final")]
    return next(iter([*chosen, *final, *picks]), None)


def verdict_heading(summary: Summary) -> str:
    """The verdict in a few words."""
    holds = mapping(summary, "verdict").get("holds")
    if holds is None:
        final = any(mapping(pick, "final") for pick in entries(summary, "picks"))
        return "No verdict" if final else "No verdict yet"
    return "The search paid off" if holds else "Not shown to beat the strongest baseline"


def verdict_sentence(summary: Summary) -> str:
    """One sentence: best pick, its speed, strongest baseline, and the paired gain with its interval."""
    pick, verdict, metric = best_pick(summary), mapping(summary, "verdict"), main_metric(summary)
    entry = mapping(mapping(pick, "final"), metric)
    if pick is None or not entry:
        return str(verdict.get("claim") or "The study has no final results yet.")
    name, teacher = _capital(student_name("pick", pick)), mapping(mapping(pick, "versus"), "teacher")
    split = f"on the {entry.get('split', 'test')} split"
    text = f"{name} reaches {formats.metric_with_interval(metric, entry)} {metric_label(metric)} {split}"
    if formats.number_of(teacher.get("retained")) is not None:
        text += f", {formats.share(teacher['retained'])} of the teacher's"
    if formats.number_of(teacher.get("speedup")) is not None:
        text += f", at {formats.significant(teacher['speedup'])} times its speed"
    return f"{text}{_against_baseline(summary, pick)}."


def runs_note(summary: Summary) -> str:
    """Over how many training runs final values are means, in a sentence; empty where each is of one."""
    metric = main_metric(summary)
    models = [*entries(summary, "picks"), *entries(summary, "baselines")]
    found = {model.get("name"): mapping(mapping(model, "final"), metric).get("seeds") for model in models}
    counts = {name: int(seeds) for name, seeds in found.items() if seeds}
    most = max(counts.values(), default=1)
    if most == 1:
        return ""
    fewer = ", ".join(f"{name} of {seeds}" for name, seeds in counts.items() if seeds < most)
    return f"Picks and baselines are means over {most} training runs each{fewer and f', but for {fewer}'}."


def verdict_limits(summary: Summary) -> list[str]:
    """What the verdict leaves out, in sentences: baselines that are void, the spread between training runs."""
    return [str(limit) for limit in entries(mapping(summary, "verdict"), "limits")]


def _against_baseline(summary: Summary, pick: Mapping[str, Any]) -> str:
    """The second half of the verdict's sentence, or nothing when there is no baseline."""
    verdict, metric = mapping(summary, "verdict"), main_metric(summary)
    versus = mapping(mapping(pick, "versus"), str(verdict.get("baseline")))
    gain = mapping(versus, "gain")
    if formats.number_of(gain.get("value")) is None:
        return ""
    numbers = formats.gain_with_interval(metric, gain)
    void = " that is not void" if entries(verdict, "voided") else ""
    baseline = f"{verdict['baseline']}, the strongest baseline{void}"
    says = {True: f"it beats {baseline}, by {numbers}", False: f"it does not beat {baseline}: {numbers}"}
    unknown = f"the difference to {baseline}, is {numbers}"
    outcome = unknown if verdict.get("holds") is None else says[bool(verdict["holds"])]
    speed = formats.number_of(versus.get("speedup"))
    speed_words = "" if speed is None else f" at {formats.significant(speed)} times its speed"
    return f"; {outcome}{speed_words}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def versus_names(pick: Mapping[str, Any]) -> list[str]:
    """Everything that a pick is compared with, the teacher first."""
    return sorted(mapping(pick, "versus"), key=lambda name: name != "teacher")


def is_search_trial(trial: Mapping[str, Any]) -> bool:
    """Whether a trial of the history belongs to the search, not to a baseline."""
    return trial.get("origin") != "baseline"


def trained_trials(summary: Summary) -> int:
    """How many trials of the search have ended that were trained, as ``budget.trials`` counts them."""
    return sum(
        bool(trial.get("began_training"))
        for trial in entries(summary, "history")
        if trial.get("origin") == "search" and trial.get("state") in ("complete", "stopped", "failed")
    )


def front_trials(summary: Summary, latency: str | None = None) -> list[Mapping[str, Any]]:
    """The trials on the Pareto front of the search, the fastest first.

    Args:
        summary: of the study.
        latency: a latency metric; the front is that of its target when it is not the study's main one.
    """
    main = main_latency(summary) or ""
    latency = latency or main
    own = mapping(mapping(summary, "pareto_sets"), latency.rpartition(".")[0])
    front = set(entries(own, "trials") if own and latency != main else entries(summary, "pareto"))
    trials = [trial for trial in entries(summary, "history") if is_search_trial(trial) and trial.get("trial") in front]

    sign = -1 if is_maximised(summary, latency) else 1

    def slowness(trial: Mapping[str, Any]) -> float:
        value = metric_of(latency, mapping(trial, "metrics"), mapping(trial, "latencies"))
        return float("inf") if value is None else sign * value

    return sorted(trials, key=slowness)


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


def fidelity_sentence(summary: Summary) -> str:
    """The rank correlation of flash and final scores, in words."""
    fidelity = mapping(summary, "flash_fidelity")
    spearman, number = formats.number_of(fidelity.get("spearman")), fidelity.get("n", 0)
    if spearman is None:
        return f"unknown: both scores known for {number} of at least 8 models"
    kendall = formats.significant(fidelity.get("kendall"), 2)
    return f"{formats.significant(spearman, 2)} (Spearman), {kendall} (Kendall) over {number} models"


def spread_sentence(summary: Summary) -> str:
    """Whether flash scores differ by more than their noise; empty when unknown."""
    ratio = formats.number_of(mapping(summary, "flash_spread").get("ratio"))
    return "" if ratio is None else f"; flash scores spread {formats.significant(ratio, 2)} times their standard error"


def other_metrics(summary: Summary) -> list[str]:
    """Final metrics on the test split besides the main one, as far as any model has them."""
    names = (name for row in comparison_rows(summary) for name in row.metrics)
    hidden = (main_metric(summary), "size.parameters")
    return [name for name in dict.fromkeys(names) if name not in hidden and not name.startswith("select/")]


def goals(summary: Summary) -> list[str]:
    """Objectives and constraints, one phrase each."""
    wanted = [f"{goal.get('direction', '?')} {goal.get('metric', '?')}" for goal in entries(summary, "objectives")]
    for bound in entries(summary, "constraints"):
        limit = formats.readable(bound.get("bound"))
        wanted.append(f"{bound.get('metric', '?')} {bound.get('sense', '?')} {limit}")
    return wanted
