"""The section of the HTML page on what the claims rest on: both comparisons, and every guard with what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autodistill.report import formats, tables
from autodistill.report.markup import Html, details, section, table, tag, term, unbroken
from autodistill.report.tables import Summary


def checks_section(summary: Summary) -> Html:
    """Equal recipe and equal total compute, the guards, and what each model's training cost.

    Empty for a study that has neither yet.
    """
    parts = [part for part in (_comparisons(summary), _guards(summary)) if part]
    if not parts:
        return Html("")
    return section("What the claim rests on", *parts, anchor="checks")


def _comparisons(summary: Summary) -> Html:
    verdict = tables.mapping(summary, "verdict")
    equal = tables.mapping(verdict, "equal_compute")
    if not equal:
        return Html("")
    budget, spent = (formats.scaled(equal.get(name), "FLOP") for name in ("budget_flops", "spent_flops"))
    costs = f"Training all baselines took {budget}; the search and its picks took {spent}."
    return tag(
        "dl",
        tag("dt", term("equal recipe")),
        tag("dd", _state(verdict), " ", unbroken(str(verdict.get("claim", "")))),
        tag("dt", term("equal total compute")),
        tag("dd", _state(equal), " ", unbroken(f"{equal.get('claim', '')} {costs}")),
    )


def _state(claim: Mapping[str, Any]) -> Html:
    words = {True: "Holds.", False: "Does not hold.", None: "Open."}
    return tag("strong", words[claim.get("holds")])


def _guards(summary: Summary) -> Html:
    rows = [
        [check.get("name", ""), check.get("found", ""), tag("strong", "alarm") if check.get("alarm") else "no alarm"]
        for check in tables.entries(summary, "checks")
    ]
    if not rows:
        return Html("")
    alarms = sum(bool(check.get("alarm")) for check in tables.entries(summary, "checks"))
    checks = f"{len(rows)} check{'' if len(rows) == 1 else 's'}"
    title = f"{checks}, {alarms or 'no'} alarm{'' if alarms == 1 else 's'}"
    return details(title, table("Guards, and what they found", ["guard", "found", "state"], rows))
