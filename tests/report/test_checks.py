from __future__ import annotations

from typing import Any

from autodistill.report.checks import checks_section


def test_both_comparisons_and_every_guard_are_shown(summary: dict[str, Any]) -> None:
    page = checks_section(summary)
    assert "What the claim rests on" in page
    assert "<strong>Holds.</strong> pick 12 beats the strongest baseline" in page
    assert "<strong>Does not hold.</strong> At equal total compute the search has 21 trials" in page
    assert "Training all baselines took 4.10 PFLOP; the search and its picks took 9.30 PFLOP." in page
    assert "2 checks, 1 alarm" in page
    assert "truncated inputs, test" in page
    assert page.count("<strong>alarm</strong>") == 1


def test_a_young_study_has_no_such_section(bare_summary: dict[str, Any]) -> None:
    assert checks_section(bare_summary) == ""


def test_guards_stand_alone_before_the_comparison(bare_summary: dict[str, Any]) -> None:
    check = {"name": "truncated inputs, train", "found": "0 of 10", "alarm": None}
    page = checks_section({**bare_summary, "checks": [check]})
    assert "1 checks, no alarms" not in page
    assert "1 check, no alarms" in page
    assert "equal recipe" not in page


def test_what_a_study_says_is_escaped(summary: dict[str, Any]) -> None:
    summary["checks"][0]["found"] = "<script>"
    assert "<script>" not in checks_section(summary)
