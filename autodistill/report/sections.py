"""The sections of the HTML page, from the summary to escaped markup.

Each function answers one section and copes with a study that has only begun. Rows and phrases come from ``tables``
and ``formats``, elements from ``markup``; the figures are handed in by ``html``. What most readers skip (cost, latency
in detail, configuration) is in ``appendix``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodistill.report import formats, loading, tables
from autodistill.report.learnt import savings_sentence
from autodistill.report.markup import (
    Html,
    code,
    details,
    facts,
    model_name,
    number,
    section,
    table,
    tag,
    term,
    text,
    unbroken,
    wide,
)
from autodistill.report.points import pareto_axes
from autodistill.report.tables import ComparisonRow, Summary
from autodistill.report.targets import answers_rows

#: Rows of the trials table; the rest is in ``summary.json``.
MAX_TRIAL_ROWS = 1000
#: Verdict -> class of its box.
VERDICT_CLASSES = {True: "verdict good", False: "verdict open", None: "verdict"}


def heading(summary: Summary) -> Html:
    """Name of the study, what it is about, and the verdict."""
    task, splits = tables.mapping(summary, "task"), tables.mapping(summary, "splits")
    sizes = ", ".join(f"{formats.count(size)} {role}" for role, size in splits.items())
    holds = tables.mapping(summary, "verdict").get("holds")
    return Html(
        tag("h1", str(summary.get("study", "study")))
        + tag("p", f"{formats.readable(task.get('kind')).replace('_', ' ')}; examples: {sizes}", class_="sub")
        + tag(
            "div",
            tag("strong", tables.verdict_heading(summary)),
            tag("p", unbroken(tables.verdict_sentence(summary))),
            *(tag("p", tag("small", unbroken(limit))) for limit in tables.verdict_limits(summary)),
            class_=VERDICT_CLASSES[holds],
            role="status",
        )
    )


def opening(summary: Summary) -> list[Html]:
    """Alarms and the headline numbers."""
    alarms = tables.entries(summary, "alarms")
    listed = tag("ul", *(tag("li", alarm) for alarm in alarms), class_="alarms", aria_label="What to mind")
    return [*([listed] if alarms else []), _headlines(summary)]


def _headlines(summary: Summary) -> Html:
    pick, metric = tables.best_pick(summary), tables.main_metric(summary)
    cells: list[tuple[Any, Any]] = []
    if pick is not None:
        final, versus = tables.mapping(pick, "final"), tables.mapping(tables.mapping(pick, "versus"), "teacher")
        entry = tables.mapping(final, metric)
        latency = tables.main_latency(summary) or ""
        label, _, name = latency.rpartition(".")
        speed = tables.metric_of(latency, {}, tables.mapping(pick, "latencies"))
        origin = f"{tables.student_name('pick', pick)} {formats.metric_interval(metric, entry)}".strip()
        value = number(formats.metric_value(metric, entry.get("value")), unbroken(origin))
        cells = [
            (text(tables.metric_label(metric)), value),
            (term("kept"), number(formats.share(versus.get("retained")), "of the teacher's")),
            (_latency_title(name), number(formats.latency_value(latency, speed), label)),
            (term("speed-up"), number(formats.ratio(versus.get("speedup")), "against the teacher")),
            (text("parameters"), number(formats.parameters(pick.get("parameters")), _smaller(summary, pick))),
        ]
    trained = tables.trained_trials(summary)
    total = sum(seconds for _, seconds, _ in tables.seconds_rows(summary))
    cells += [(text("trials trained"), number(str(trained))), (text("time"), number(formats.duration(total)))]
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in cells), class_="headlines")


def _latency_title(name: str) -> Html:
    """What a latency metric is called where one number stands for all."""
    return Html(f"{term('median')} latency") if name in ("", "p50_ms") else text(tables.metric_label(name))


def _smaller(summary: Summary, pick: Mapping[str, Any]) -> str:
    teacher = formats.number_of(tables.mapping(summary, "teacher").get("parameters"))
    own = formats.number_of(pick.get("parameters"))
    return "" if not teacher or not own else f"{formats.significant(teacher / own)} times fewer than the teacher"


def pareto_section(summary: Summary, picture: Html, targets: Html) -> Html:
    """Quality against latency; ``targets`` is what there is for further targets."""
    x, y = pareto_axes(summary)
    better = f"{'Up' if y.maximised else 'Down'} and to the {'right' if x.maximised else 'left'}"
    lead = Html(
        f"{better} is better. Small dots are {term('flash')} trials at their score on the {term('select split')}, "
        "which is low because the runs are short; picks, baselines and teacher stand at their final value with its "
        f"{term('95 % interval')}."
    )
    waiting = tag("p", "No model has been scored yet.")
    return section("Quality against latency", picture or waiting, targets, lead=lead, anchor="pareto")


def comparison_section(summary: Summary) -> Html:
    """Teacher, references, baselines and picks with intervals, then the paired gains."""
    rows = tables.comparison_rows(summary)
    metric, labels, special = tables.main_metric(summary), tables.latency_labels(summary), _special(summary)
    header = [
        "model",
        tables.metric_label(metric),
        term("kept"),
        *(Html(f"{text(label)}<small>{term('median')}, {term('spread')}</small>") for label in labels),
        *special.values(),
        term("speed-up"),
        "parameters",
    ]
    body = [_comparison_cells(row, metric, labels, list(special)) for row in rows]
    earlier = [None, *(row.role for row in rows)]
    classes = [row.role + ("" if before in (None, row.role) else " first") for row, before in zip(rows, earlier)]  # noqa: B905
    caption = f"Final values{_split_words(rows, metric)} with 95 % intervals; kept and speed-up against the teacher"
    content = [table(caption, header, body, classes), _further_metrics(summary, rows), _gains(summary)]
    content.append(_answers(summary))
    return section("Final comparison", *content, lead=tables.runs_note(summary) or None, anchor="comparison")


def _special(summary: Summary) -> dict[str, Html]:
    """Latency metrics that have a column of their own, with its title."""
    metrics = {metric: metric.rpartition(".")[0] for metric in tables.special_latencies(summary)}
    return {
        metric: Html(f"{text(label)}<small>{tables.metric_label(metric)}</small>") for metric, label in metrics.items()
    }


def _split_words(rows: list[ComparisonRow], metric: str) -> str:
    splits = sorted({split for row in rows if (split := tables.split_of(row, metric))})
    return f" on the {' and '.join(splits)} split" if splits else ""


def _comparison_cells(row: ComparisonRow, metric: str, labels: list[str], special: list[str]) -> list[Any]:
    role = ", ".join(word for word in (row.role, row.family, row.state) if word)
    return [
        Html(
            model_name(row.name) + tag("small", term(role, row.role)) + (tag("small", row.error) if row.error else "")
        ),
        _metric_cell(row, metric),
        formats.share(row.retained),
        *(_latency_cell(tables.mapping(row.latencies, label)) for label in labels),
        *(formats.latency_value(one, row.value(one)) for one in special),
        formats.ratio(row.speedup),
        number(formats.parameters(row.parameters), title=formats.count(row.parameters)),
    ]


def _further_metrics(summary: Summary, rows: list[ComparisonRow]) -> Html:
    names = tables.other_metrics(summary)
    if not names:
        return Html("")
    body = [[model_name(row.name), *(_metric_cell(row, other) for other in names)] for row in rows if row.metrics]
    caption = "Further final metrics with 95 % intervals"
    return details("Further metrics", table(caption, ["model", *names], body))


def _metric_cell(row: ComparisonRow, metric: str) -> Html:
    entry = tables.mapping(row.metrics, metric)
    origin = f"{entry.get('n')} examples of {entry.get('split')}, seeds: {entry.get('seeds')}" if entry else None
    return number(formats.metric_value(metric, entry.get("value")), formats.metric_interval(metric, entry), origin)


def _latency_cell(report: Mapping[str, Any]) -> Html:
    origin = f"{report.get('kind')}, n = {formats.readable(report.get('n'))}" if report else None
    below = "; ".join(filter(None, (formats.spread(report.get("relative_half_width")), tables.care(report))))
    return number(formats.milliseconds(report.get("median")), below, origin)


def _gains(summary: Summary) -> Html:
    picks, metric = tables.entries(summary, "picks"), tables.main_metric(summary)
    names = list(dict.fromkeys(name for pick in picks for name in tables.versus_names(pick)))
    if not names:
        return Html("")
    verdict = tables.mapping(summary, "verdict")
    rows = [
        [
            Html(model_name(other) + (tag("small", "strongest baseline") if other == verdict.get("baseline") else "")),
            *(_gain_cell(summary, tables.mapping(tables.mapping(pick, "versus"), other), metric) for pick in picks),
        ]
        for other in names
    ]
    header = ["against", *(tables.student_name("pick", pick) for pick in picks)]
    caption = f"Paired gains of the picks in {tables.metric_label(metric)}, with 95 % intervals and speed-up"
    lead = tag("p", term("paired gain"), ": coloured where the interval excludes zero.", class_="lead")
    return Html(tag("h3", "Gain over each alternative") + lead + table(caption, header, rows))


def _gain_cell(summary: Summary, versus: Mapping[str, Any], metric: str) -> Html:
    speedup = f"{formats.ratio(versus.get('speedup'))} as fast" if versus.get("speedup") is not None else ""
    return Html(_difference(summary, tables.mapping(versus, "gain"), metric) + tag("small", speedup))


def _difference(summary: Summary, gain: Mapping[str, Any], metric: str) -> Html:
    """A paired difference with its interval, coloured where that excludes zero."""
    low, high = formats.number_of(gain.get("low")), formats.number_of(gain.get("high"))
    sign = 1 if tables.is_maximised(summary, metric) else -1
    below, above = sorted((sign * (low or 0), sign * (high or 0)))
    style = "up" if below > 0 else "down" if above < 0 else None
    return tag("span", formats.gain_with_interval(metric, gain), class_=style)


def _answers(summary: Summary) -> Html:
    """Models as targets of another precision run them; nothing where there is no such target."""
    rows, metric = answers_rows(summary), tables.main_metric(summary)
    if not rows:
        return Html("")
    body = [
        [
            Html(model_name(row.model) + tag("small", term(row.role, row.role))),
            Html(text(row.target) + tag("small", row.precision)),
            number(formats.metric_value(metric, row.metric.get("value")), formats.metric_interval(metric, row.metric)),
            Html(text(formats.MISSING) + tag("small", row.left_out))
            if row.left_out
            else _difference(summary, row.change, metric),
        ]
        for row in rows
    ]
    header = ["model", term("target"), tables.metric_label(metric), Html(f"change<small>{term('paired gain')}</small>")]
    label = tables.metric_label(metric)
    caption = f"Final {label} as the target runs the exported model, and its change from that model's own"
    lead = tag("p", "Answered by the target's own runtime, in the precision that it times.", class_="lead")
    return Html(tag("h3", "In the precision of the target") + lead + table(caption, header, body))


def picks_section(summary: Summary) -> Html:
    """One card per pick: architecture, start, exports and how to load it."""
    picks = tables.entries(summary, "picks")
    if not picks:
        waiting = "Nothing has been picked yet: picks follow when the search has spent its budget."
        return section("Picks", tag("p", waiting), anchor="picks")
    kind = str(tables.mapping(summary, "task").get("kind", ""))
    metric = tables.main_metric(summary)
    cards = tag("div", *(_card(pick, kind, metric) for pick in picks), class_="cards")
    return section("Picks", cards, lead="Paths are relative to the folder of this report.", anchor="picks")


def _card(pick: Mapping[str, Any], kind: str, metric: str) -> Html:
    runs = tables.entries(tables.mapping(tables.mapping(pick, "final"), metric), "runs")
    own, *others = (formats.metric_value(metric, value) for value in runs or [None])
    known = {
        "folder": tables.mapping(pick, "paths").get("hf"),
        "architecture": f"{pick.get('family', '?')}: {formats.architecture(tables.mapping(pick, 'architecture'))}",
        "initialisation": pick.get("initialisation"),
        "layer maps": pick.get("layer_maps"),
        "trial": pick.get("trial"),
        tables.metric_label(metric): f"{own}; the other training runs {', '.join(others)}" if others else None,
    }
    return tag(
        "article",
        tag("h3", tables.student_name("pick", pick)),
        facts({name: value for name, value in known.items() if value not in (None, "", {})}),
        _exports(pick),
        details("How to load it", *(code(snippet) for snippet in loading.snippets(pick, kind))),
        class_="card",
    )


def _exports(pick: Mapping[str, Any]) -> Html:
    exports = tables.entries(pick, "exports")
    if not exports:
        return Html("")
    title = tag("h4", "Exports, and their ", term("parity"), " with the trained model")
    return Html(title + tag("ul", *(tag("li", *_export_lines(export)) for export in exports)))


def _export_lines(export: Mapping[str, Any]) -> list[Any]:
    name = tag("strong", export.get("label") or export.get("format", "?"))
    if export.get("error"):
        return [name, tag("small", f"failed: {export['error']}")]
    digest = str(export.get("sha256", ""))
    return [
        name,
        f", {formats.scaled(export.get('bytes'), 'B')}",
        tag("small", tag("code", export.get("path", ""))),
        tag("small", _parity(tables.mapping(export, "parity"))),
        tag("small", "SHA-256 ", tag("code", f"{digest[:16]}…", title=digest)),
    ]


def _parity(parity: Mapping[str, Any]) -> str:
    if not parity:
        return "not compared with the trained model"
    largest, tolerance = (formats.significant(parity.get(name), 1) for name in ("max_abs_difference", "tolerance"))
    same, number_of_examples = formats.share(parity.get("same_prediction")), formats.count(parity.get("n"))
    return (
        f"same answer for {same} of {number_of_examples} examples; largest difference {largest} (tolerance {tolerance})"
    )


def search_section(
    summary: Summary, hypervolume: Html | None, device_time: Html | None, fidelity: Html | None, learnt: Sequence[Html]
) -> Html:
    """How the search went: hypervolume, flash against full, what was learnt, and every trial.

    Args:
        summary: of the study.
        hypervolume: picture of the hypervolume over results, or None.
        device_time: picture of the hypervolume over device time, or None.
        fidelity: picture of flash against full scores, or None.
        learnt: further parts: prediction and importance.
    """
    curve = hypervolume or tag("p", "The curve begins with the first results of the search.")
    scatter = fidelity or tag("p", "Shown when picks or baselines have both a flash and a final score.")
    growth = tag("p", term("hypervolume"), " after every result: ", formats.significant(summary.get("hypervolume")))
    ranks = tag("p", term("rank correlation"), ": ", tables.fidelity_sentence(summary), tables.spread_sentence(summary))
    parts = [tag("div", tag("h3", "Progress of the search"), growth, curve)]
    if device_time is not None:
        saved = savings_sentence(summary) or "No run was stopped early."
        parts.append(tag("div", tag("h3", "Progress over device time"), tag("p", unbroken(saved)), device_time))
    parts += [tag("div", tag("h3", "Flash against full"), ranks, scatter), *(part for part in learnt if part)]
    return section("The search", tag("div", *parts, class_="pair"), _trials(summary), anchor="search")


def _trials(summary: Summary) -> Html:
    trials = tables.entries(summary, "history")
    states = ", ".join(f"{count} {state}" for state, count in tables.trial_states(summary)) or "none yet"
    if not trials:
        return tag("p", f"Trials: {states}.")
    front = set(tables.entries(summary, "pareto"))
    metric, latency = tables.main_metric(summary), tables.main_latency(summary)
    shown = trials[-MAX_TRIAL_ROWS:]
    rows = [_trial_cells(trial, metric, latency, trial.get("trial") in front) for trial in shown]
    header = [
        "trial",
        "state",
        f"{tables.metric_label(metric)}, flash",
        *([] if latency is None else [_trials_latency(latency)]),
        "parameters",
        "time",
        tag("div", "architecture", class_="wide"),
    ]
    left_out = f"; the last {len(shown)} of {len(trials)}" if len(shown) < len(trials) else ""
    grid = table(f"Every trial{left_out}; ★: on the Pareto front", header, rows)
    return details(f"All {len(trials)} trials: {states}", grid)


def _trials_latency(latency: str) -> Html:
    """Title of the column of a latency metric: its backend, and what of it where that is not the median."""
    label, _, name = latency.rpartition(".")
    return text(label) if name == "p50_ms" else Html(f"{text(label)}<small>{tables.metric_label(name)}</small>")


def _trial_cells(trial: Mapping[str, Any], metric: str, latency: str | None, on_front: bool) -> list[Any]:
    metrics, latencies = tables.mapping(trial, "metrics"), tables.mapping(trial, "latencies")
    origin = "" if trial.get("origin") in (None, "search") else f"{trial['origin']} {trial.get('name') or ''}".strip()
    error = tag("small", trial["error"]) if trial.get("error") else ""
    reached = f"at {formats.share(trial['stopped_at'])}" if trial.get("stopped_at") is not None else ""
    choices = f"{trial.get('family', '')}: {formats.architecture(tables.mapping(trial, 'architecture'))}"
    return [
        Html(text(f"{trial.get('trial', '?')}{' ★' if on_front else ''}") + (tag("small", origin) if origin else "")),
        Html(term(str(trial.get("state", "?"))) + (tag("small", reached) if reached else "")),
        formats.metric_value(metric, tables.metric_of(metric, metrics, {})),
        *([] if latency is None else [formats.latency_value(latency, tables.metric_of(latency, {}, latencies))]),
        formats.parameters(tables.metric_of("size.parameters", metrics, {})),
        formats.duration(trial.get("seconds")),
        wide(choices, error),
    ]
