"""The last sections of the HTML page: how to go on, cost, latency in detail, and everything a study rests on.

The sections before them are in `autodistill.report.sections`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autodistill.report import formats, tables
from autodistill.report.learnt import savings_sentence
from autodistill.report.markup import (
    TERMS,
    Html,
    code,
    details,
    facts,
    model_name,
    section,
    table,
    tag,
    term,
    text,
    unbroken,
    wide,
)
from autodistill.report.tables import Summary

# Folded facts of the background: what they are called, and their key in the summary.
_FACTS = (("Search space", "space"), ("Data", "notes"), ("Environment", "environment"), ("Versions", "versions"))


def closing(summary: Summary) -> list[Html]:
    """Cost, latency in detail, data, environment, configuration, glossary and how to go on."""
    command = summary.get("command")
    follow = section("How to go on", code(str(command)), anchor="next") if command else Html("")
    return [follow, _cost_section(summary), _latency_section(summary), _background_section(summary)]


def _cost_section(summary: Summary) -> Html:
    cost = tables.mapping(summary, "cost")
    rows = [
        [
            name,
            formats.count(spent.get("examples")),
            formats.scaled(spent.get("flops"), "FLOP"),
            formats.duration(spent.get("device_seconds")),
        ]
        for name, spent in cost.items()
    ]
    spent_on = table("Training cost", ["spent on", "examples", "arithmetic", "device time"], rows)
    times = [[name, formats.duration(value), formats.share(part)] for name, value, part in tables.seconds_rows(summary)]
    where = table("Where the time went", ["activity", "time", "share"], times)
    saved = savings_sentence(summary)
    return section(
        "Cost",
        tag("div", spent_on, where, class_="pair"),
        *([tag("p", unbroken(saved))] if saved else []),
        anchor="cost",
    )


def _latency_section(summary: Summary) -> Html:
    found = list(tables.model_latencies(summary))
    extra = tables.load_columns(report for _, _, report in found)
    rows = [
        [
            Html(model_name(row.name) + tag("small", label)),
            formats.milliseconds(report.get("median")),
            formats.spread(report.get("relative_half_width")) or formats.MISSING,
            *(formats.milliseconds(report.get(name)) for name in ("p90", "p99")),
            formats.latency_value("throughput", report.get("throughput")),
            *(formats.significant(report.get(name)) for name in extra.values()),
            formats.significant(report.get("ratio_to_reference")),
            formats.readable(report.get("n")),
            formats.scaled(report.get("peak_memory_bytes"), "B"),
            f"{report.get('kind')}, {report.get('precision')}",
            tables.care(report),
            wide(_workload(report)),
        ]
        for row, label, report in found
    ]
    if not rows:
        return Html("")
    header = ["model", term("median"), term("spread"), term("p90"), term("p99"), term("throughput"), *extra]
    header += [term("of teacher"), "n", "memory", "kind", term("care"), wide("workload")]
    grid = table("Every latency of the final comparison", header, rows)
    return section(
        "Latency in detail", details(f"{len(rows)} measurement{'' if len(rows) == 1 else 's'}", grid), anchor="latency"
    )


def _workload(report: Mapping[str, Any]) -> str:
    workload = {name: value for name, value in tables.mapping(report, "workload").items() if name != "precision"}
    return f"{report.get('device', '?')}; {formats.readable(workload)}"


def _background_section(summary: Summary) -> Html:
    folded = [
        details(title, facts(tables.mapping(summary, key))) for title, key in _FACTS if tables.mapping(summary, key)
    ]
    folded += [
        details(f"Data of {label}", facts(notes))
        for label, task in tables.mapping(tables.mapping(summary, "tasks"), "tasks").items()
        if (notes := tables.mapping(task, "notes"))
    ]
    written = [
        details(title, code(_written(tables.mapping(summary, key))))
        for title, key in (("Plan", "plan"), ("Resolved configuration", "config"))
        if tables.mapping(summary, key)
    ]
    components = [*_environments(summary), *_components(summary)]
    goals = [details("Objectives and constraints", tag("ul", *(tag("li", goal) for goal in tables.goals(summary))))]
    words = details("Words used here", tag("dl", *(Html(tag("dt", k) + tag("dd", v)) for k, v in TERMS.items())))
    return section("Background", *goals, *folded, *components, *written, words, anchor="background")


def _environments(summary: Summary) -> list[Html]:
    """What differs between those that the study was worked on in; nothing where it was one."""
    found = tables.mapping(summary, "environments")
    differing = tables.mapping(found, "differences")
    rows = [[name, *(formats.readable(value) for value in values)] for name, values in differing.items()]
    header = ["first used", *(str(when)[:19] for when in tables.entries(found, "first_used"))]
    return [details("Other environments before", table("What was not the same", header, rows))] if rows else []


def _components(summary: Summary) -> list[Html]:
    chosen = tables.entries(summary, "components")
    keys = ("kind", "label", "name", "distribution", "version")
    rows = [[str(component.get(key, "")) for key in keys] for component in chosen]
    return [details("Components", table("What the study is made of", keys, rows))] if rows else []


def _written(values: Mapping[str, Any]) -> str:
    return json.dumps(formats.without_secrets(values), indent=2, ensure_ascii=False, default=str)


def footer(summary: Summary) -> Html:
    """Which program wrote the page."""
    versions, environment = tables.mapping(summary, "versions"), tables.mapping(summary, "environment")
    version = versions.get("autodistill") or environment.get("autodistill")
    return text(f"AutoDistill {version}" if version else "AutoDistill")
