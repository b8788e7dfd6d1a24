"""What the search has found for every target, and what it has learnt: parts of the HTML page and sentences.

Figures are handed in by ``html``, as for ``sections``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autodistill.components.latency import LATENCY_FIELDS
from autodistill.report import formats, tables
from autodistill.report.markup import Html, details, table, tag, term, text
from autodistill.report.tables import Summary
from autodistill.report.targets import TargetRow, target_rows


def targets_part(summary: Summary, draw: Callable[[str, int], Html]) -> Html:
    """A front per target beside the main one, from the same trials; nothing for a study of one target.

    Args:
        summary: of the study.
        draw: makes the picture of a target from the metric of its latency and a number of its own.
    """
    rows = target_rows(summary)
    if len(rows) < 2:
        return Html("")
    main = (tables.main_latency(summary) or "").rpartition(".")[0]
    cells = [
        tag("div", tag("h4", row.target), tag("p", target_sentence(row), class_="lead"), draw(row.metric, place))
        for place, row in enumerate(rows)
        if row.target != main
    ]
    lead = tag(
        "p", "One set of trials serves every ", term("target"), ": each was scored once, as trained.", class_="lead"
    )
    return Html(tag("h3", "Other targets") + lead + tag("div", *cells, class_="pair") + _targets_table(rows))


def target_sentence(row: TargetRow) -> str:
    """How large a target's front is, whether the search aimed at it, and what to bear in mind of its quality."""
    aimed = "an objective of the search" if row.is_objective else "not an objective of the search"
    size = "1 trial on the front" if row.size == 1 else f"{row.size} trials on the front"
    return "; ".join(filter(None, (size, aimed, row.caveat))) + "."


def _targets_table(rows: list[TargetRow]) -> Html:
    body = [
        [
            Html(text(row.target) + tag("small", row.caveat)) if row.caveat else row.target,
            str(row.size),
            *(Html(text(end[0]) + tag("small", end[1])) for end in (row.fastest, row.best)),
            formats.significant(row.hypervolume),
            "yes" if row.is_objective else "no",
        ]
        for row in rows
    ]
    header = [term("target"), "on the front", "fastest", "best", term("hypervolume"), "objective"]
    return details("Fronts of all targets", table("Pareto front of the flash trials per target", header, body))


def savings_sentence(summary: Summary) -> str:
    """What stopping flash runs saved; empty when none was stopped."""
    pruning = tables.mapping(summary, "pruning")
    stopped = int(pruning.get("stopped") or 0)
    if not stopped:
        return ""
    runs = "1 flash run was" if stopped == 1 else f"{stopped} flash runs were"
    if formats.number_of(pruning.get("examples")) is None:
        return f"{runs} stopped early."
    return (
        f"{runs} stopped early, which saved {formats.count(round(pruning['examples']))} examples: "
        f"{formats.share(pruning.get('share_of_examples'))} of what all flash runs would have read."
    )


def importance_parts(summary: Summary, draw: Callable[[Mapping[str, Any], int], Html]) -> list[Html]:
    """One part per objective: which parameters explain it, or why that cannot be told.

    Args:
        summary: of the study.
        draw: makes the picture of the entry at a place in ``analytics.importance``.
    """
    entries = tables.entries(tables.mapping(summary, "analytics"), "importance")
    return [_importance_part(entry, draw(entry, place)) for place, entry in enumerate(entries)]


def _importance_part(entry: Mapping[str, Any], picture: Html) -> Html:
    title = tag("h3", f"What explains {metric_words(str(entry.get('metric', '')))}")
    if entry.get("reason"):
        return tag("div", title, tag("p", term("importance"), f": not told. {_sentence(entry['reason'])}"))
    explained = formats.share(entry.get("explained"))
    lead = tag(
        "p",
        term("importance"),
        f", with 80 % intervals. The model behind it explains {explained} of the variance of trials that it has not "
        f"seen (n = {entry.get('n')}).",
    )
    return tag("div", title, lead, picture)


def metric_words(metric: str) -> str:
    """``onnxruntime.p50_ms`` -> ``median latency (onnxruntime)``; of other metrics the name alone."""
    label, _, name = metric.rpartition(".")
    if name not in LATENCY_FIELDS:
        return tables.metric_label(metric)
    words = {"p50_ms": "median latency", "p90_ms": "latency, 90th percentile", "p99_ms": "latency, 99th percentile"}
    return f"{words.get(name, tables.metric_label(metric))} ({label})"


def prediction_part(summary: Summary, picture: Html) -> Html:
    """How well a model of the trials predicts others; nothing while no trial is scored."""
    prediction = tables.mapping(tables.mapping(summary, "analytics"), "prediction")
    if not prediction:
        return Html("")
    title = tag("h3", "Predicted against observed")
    if prediction.get("reason"):
        return tag("div", title, tag("p", term("prediction"), f": not told. {_sentence(prediction['reason'])}"))
    return tag("div", title, tag("p", term("prediction"), ": ", text(prediction_sentence(summary))), picture)


def prediction_sentence(summary: Summary) -> str:
    """Rank correlation and coverage of the predictions, in words; empty when they are not known."""
    prediction = tables.mapping(tables.mapping(summary, "analytics"), "prediction")
    if not prediction or prediction.get("reason"):
        return ""
    ranks = formats.significant(prediction.get("spearman"), 2)
    inside = formats.share(prediction.get("coverage"))
    judged, folds = prediction.get("n"), prediction.get("folds")
    some = "the latest " if (prediction.get("scored") or 0) > (judged or 0) else ""
    return (
        f"rank correlation {ranks} (Spearman) over {some}{judged} trials; {inside} of them lie inside their "
        f"95 % interval. Each was predicted by one of {folds} models, fitted without one in {folds} of the "
        f"architectures."
    )


def _sentence(reason: Any) -> str:
    return str(reason)[:1].upper() + str(reason)[1:]
