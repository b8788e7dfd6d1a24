"""Guards: facts about data and scores that would make a comparison worthless, each one line of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autodistill.components.outcome import Score
from autodistill.engine.workbench import Workbench

#: A model whose score is within this many standard errors of the trivial answer has learnt nothing to speak of.
TRIVIAL_ERRORS = 2.0

#: Share of truncated examples above which the report warns.
TRUNCATED_SHARE = 0.1


def data_notes(bench: Workbench) -> dict[str, Any]:
    """Counts worth knowing: what the data source reports, and how many examples were cut to ``max_length``."""
    notes = dict(bench.data.notes)
    for role, split in bench.splits.items():
        notes[f"truncated_{role}"] = split.truncated
        notes[f"examples_{role}"] = len(split)
    notes["median_tokens"] = bench.median_tokens
    notes["max_length"] = bench.max_length
    return notes


def truncation_alarms(notes: Mapping[str, Any]) -> list[str]:
    """A line per split of which a large share was truncated."""
    found = []
    for role in ("train", "select", "test"):
        count, total = notes.get(f"truncated_{role}", 0), notes.get(f"examples_{role}", 0)
        if total and count / total > TRUNCATED_SHARE:
            found.append(
                f"{count / total:.0%} of the {role} examples are longer than {notes['max_length']} tokens and were "
                "truncated; consider a larger data.max_length."
            )
    return found


def alarms_of(bench: Workbench, who: str, scores: Mapping[str, Score], trivial: Mapping[str, Score]) -> list[str]:
    """A line when a model is hardly better than always giving the same answer."""
    metric = bench.task.metric
    score, floor = scores[metric], trivial[metric]
    spread = TRIVIAL_ERRORS * (score.variance or 0.0) ** 0.5
    if score.value > floor.value + spread:
        return []
    return [
        f"{who} scores {score.value:.3f} on {metric}, no better than the trivial answer ({floor.value:.3f}): "
        "comparisons with it mean nothing."
    ]
