"""What may be claimed: the rows of a comparison, their paired gains, and the verdict.

A claim of "better" is a paired difference on the final split whose lower bound is above zero, against the strongest
baseline at no more latency. A baseline that is no better than the trivial answer has not learnt the task: it is no
rival, and where none is left nothing is claimed; nor is one whose training failed. Both are named beside the verdict,
because the strongest of the others may be a weaker one. Pure functions of scores and latencies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autodistill.components.latency import half_width_of, times_faster
from autodistill.components.outcome import Score
from autodistill.engine.guards import Learnt, judge_interval
from autodistill.engine.score_statistics import Estimate, difference_over_seeds, estimate, mean_of, over_seeds
from autodistill.engine.statistics import retained_ratio
from autodistill.engine.targets import QUALITY_PRECISION

#: What no interval of the verdict covers where pick and baseline are one training run each.
ONE_RUN = (
    "The interval is that of the test examples: pick and baseline were trained once each, and how much another "
    "training run would change is not in it (picks.seeds=3 trains each of them three times)."
)

#: Why nothing is claimed of a study whose final scores are those of the select split.
NO_TEST_SPLIT = (
    "There is no test split: picks were chosen by the scores that they are compared by, which flatters them, so "
    "nothing is claimed. Give test examples (data.test)."
)

#: The split that claims are made on.
TEST = "test"

#: Why a baseline is void.
TRAINING_FAILED, UNLEARNT = "its training failed", "no better than the trivial answer"

#: What a verdict has where nothing is compared.
_NOTHING = {"holds": None, "baseline": None, "seeds": None}

#: A baseline within this share of a pick's latency counts as no slower, however narrow the intervals of both are.
SAME_LATENCY = 0.03


class Contender:
    """A row of the comparison: scores on the final split, latencies, size.

    Args:
        name: what the report calls it.
        scores: metric -> score.
        latencies: label -> stored latency report.
        parameters: number of parameters, if the word means something.
        repeats: scores of further training runs of it, from other seeds.
        fixed: whether it is what it is (the teacher, a reference) and no run of a recipe, of which another run differs.
    """

    def __init__(
        self,
        name: str,
        scores: Mapping[str, Score],
        latencies: Mapping[str, Any],
        parameters: int | None,
        repeats: Sequence[Mapping[str, Score]] = (),
        *,
        fixed: bool = False,
    ) -> None:
        self.name = name
        self.scores = scores
        self.latencies = latencies
        self.parameters = parameters
        self.repeats = repeats
        self.fixed = fixed
        self._estimates: dict[str, Estimate] = {}
        self._by_run: dict[str, list[Estimate]] = {}

    def runs(self, metric: str) -> list[Score]:
        """Scores of all training runs, that of the model itself first; without those that diverged, unless all did."""
        scores = [self.scores[metric], *(repeat[metric] for repeat in self.repeats)]
        return [score for score in scores if math.isfinite(score.value)] or scores[:1]

    def value(self, metric: str) -> float:
        """The mean over the training runs."""
        return mean_of(self.runs(metric))

    def estimate(self, metric: str) -> Estimate:
        """The same with its interval, which may take a bootstrap."""
        if metric not in self._estimates:
            by_run = self.estimates_by_run(metric)
            self._estimates[metric] = by_run[0] if len(by_run) == 1 else over_seeds(self.runs(metric))
        return self._estimates[metric]

    def estimates_by_run(self, metric: str) -> list[Estimate]:
        """The value of every training run with its own interval."""
        if metric not in self._by_run:
            self._by_run[metric] = [estimate(score) for score in self.runs(metric)]
        return self._by_run[metric]

    def one_run(self) -> Contender:
        """The model itself, without its other training runs."""
        return Contender(self.name, self.scores, self.latencies, self.parameters, fixed=self.fixed)

    def median(self, label: str | None) -> float | None:
        """Median latency in milliseconds; None when it was not timed."""
        return float(self.latencies[label]["median"]) if label is not None and label in self.latencies else None

    def half_width(self, label: str | None) -> float:
        """Half of the 95 % interval of the median latency, relative to it; 0 of what was not timed."""
        report = self.latencies.get(label) if label is not None else None
        return half_width_of(report) if report else 0.0

    def times_faster(self, other: Contender, label: str | None) -> float | None:
        """How many times faster this is than ``other``; see `autodistill.components.latency.times_faster`."""
        mine, theirs = (item.latencies.get(label or "") or {} for item in (self, other))
        return times_faster(mine, theirs)


def metric_entry(score: Score, split: str) -> dict[str, Any]:
    """A final metric: value, 95 % interval, n, seeds and split."""
    return entry_of(estimate(score), split)


def entry_of(found: Estimate, split: str) -> dict[str, Any]:
    """An estimate as the summary has it; the p-value only where there is one."""
    entry = {"value": found.value, "low": found.low, "high": found.high, "n": found.n, "seeds": found.seeds}
    return {**entry, "split": split, **({} if found.p_value is None else {"p_value": found.p_value})}


def gain(ours: Contender, theirs: Contender, metric: str, role: str) -> dict[str, Any]:
    """Paired difference of a metric, with its 95 % interval; McNemar's p-value too for right and wrong answers of one
    training run each.
    """
    found = difference_over_seeds(ours.runs(metric), theirs.runs(metric), fixed=theirs.fixed)
    return entry_of(found, role)


@dataclass(frozen=True, slots=True)
class Judge:
    """What a comparison is judged by.

    Args:
        metric: of the quality that the study was to find.
        direction: of it.
        floor: its value for the trivial answer on the final split.
        label: of the latency backend that counts, or None.
        role: the final split.
    """

    metric: str
    direction: str
    floor: float
    label: str | None
    role: str

    @property
    def sign(self) -> float:
        """1 for a metric to maximise, -1 for one to minimise."""
        return -1.0 if self.direction == "minimize" else 1.0

    def learnt_by_run(self, contender: Contender) -> list[Learnt]:
        """Of every training run whether it is better than the trivial answer beyond its interval."""
        found = contender.estimates_by_run(self.metric)
        return [judge_interval(one.value, one.low, one.high, self.floor, self.direction) for one in found]

    def learnt(self, contender: Contender) -> Learnt:
        """Whether a model is better than the trivial answer: what the best of its training runs is.

        Runs of which some fail scatter so much that the interval of their mean may reach anywhere; a rival that learnt
        the task once is one all the same.
        """
        return min(self.learnt_by_run(contender), key=("learnt", "nothing", "worse").index)

    def has_learnt(self, contender: Contender) -> bool:
        """Whether a training run of a model is better than the trivial answer beyond its interval."""
        return self.learnt(contender) == "learnt"

    def kept(self, ours: Contender, theirs: Contender) -> float | None:
        """Which share of another model's quality a model has; None of a metric to minimise, which is no quality."""
        if self.direction == "minimize":
            return None
        return retained_ratio(ours.value(self.metric), theirs.value(self.metric))

    def holds(self, ahead: Mapping[str, Any]) -> bool | None:
        """Whether a gain is surely one; None without an interval, or without a test split."""
        return None if self.role != TEST else surely_ahead(ahead, self.sign)

    def verb(self, holds: bool | None) -> str:
        """What a model that is ahead by a gain does to its rival, where `holds` said so of it."""
        if holds is not None:
            return "beats" if holds else "does not beat"
        return "has no interval against" if self.role == TEST else "is compared without a test split with"

    def strongest(self, baselines: Sequence[Contender], pick: Contender) -> Contender | None:
        """The best of the baselines that have learnt the task and are no slower than a pick.

        When every one is slower, the pick must beat the best of them all the same.
        """
        able = [item for item in baselines if self.has_learnt(item)]
        rivals = [item for item in able if no_slower(item, pick, self.label)] or able
        return max(rivals, key=lambda item: self.sign * item.value(self.metric), default=None)


def surely_ahead(ahead: Mapping[str, Any], sign: float = 1.0) -> bool | None:
    """Whether the interval of a gain is beyond 0; None without an interval.

    Args:
        ahead: the gain.
        sign: 1 for a metric to maximise, -1 for one to minimise.
    """
    worst = ahead["low"] if sign > 0 else ahead["high"]
    return None if worst is None or math.isnan(worst) else bool(sign * worst > 0)


def void_in_words(reasons: Mapping[str, str], lead: str = "Void") -> str:
    """Baselines that are void, each with the reason, in a sentence."""
    named = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
    return f"{lead}: {named}. Well trained, it may be the strongest."


def strongest_in_words(voided: Sequence[str]) -> str:
    """The strongest baseline, and which are none: the names of those that are void."""
    return "the strongest baseline" if not voided else f"the strongest baseline but {', '.join(voided)} (void)"


def void_reasons(judge: Judge, baselines: Sequence[Contender], failed: Sequence[str]) -> dict[str, str]:
    """Name of a baseline that is void -> why: its training failed, or it is no better than the trivial answer."""
    unlearnt = [item.name for item in baselines if not judge.has_learnt(item)]
    return dict.fromkeys(failed, TRAINING_FAILED) | dict.fromkeys(unlearnt, UNLEARNT)


def verdict(
    judge: Judge,
    picks: Sequence[Contender],
    baselines: Sequence[Contender],
    teacher: Contender,
    failed: Sequence[str] = (),
) -> dict[str, Any]:
    """Whether the best pick beats the strongest baseline, and how sure that is: everything with the same recipe.

    Args:
        judge: what it is judged by.
        picks: the best on the select split first.
        baselines: those that were trained.
        teacher: what quality is relative to.
        failed: names of the baselines whose training failed.

    Returns:
        ``claim``, ``holds``, ``baseline`` (the rival), ``seeds`` (training runs of each, of the one with fewer; None
        without a rival), ``voided`` (baselines that are no rivals) and ``limits``: what the verdict leaves out, in
        sentences.
    """
    if not picks:
        return {"claim": "No pick was trained in full, so nothing is claimed.", **_NOTHING}
    void = void_reasons(judge, baselines, failed)
    found = _verdict(judge, picks, baselines, teacher, list(void))
    rival = next((item for item in baselines if item.name == found["baseline"]), None)
    limits = [_of_runs(judge, picks[0], rival)] if rival is not None and found["holds"] is not None else []
    limits += [NO_TEST_SPLIT] if judge.role != TEST else []
    limits += _of_another_precision(picks[0], judge.label)
    if void:
        limits.insert(0, void_in_words(void, "Void, and not compared with"))
    return {**found, "voided": list(void), "limits": limits}


def _verdict(
    judge: Judge,
    picks: Sequence[Contender],
    baselines: Sequence[Contender],
    teacher: Contender,
    voided: Sequence[str],
) -> dict[str, Any]:
    best = picks[0]  # chosen on the select split; choosing by the test split would flatter it
    about = f"{best.name} {_beside(judge, best, teacher)}{_speed(best, teacher, judge.label)}"
    rival = judge.strongest(baselines, best)
    if rival is None:
        none = f"has learnt the task ({', '.join(voided)})" if voided else "was trained"
        claim = f"{about}. No baseline {none}, so nothing is compared."
        return {"claim": claim, **_NOTHING}
    ahead = gain(best, rival, judge.metric, judge.role)
    holds = judge.holds(ahead)
    speed = _speed(best, rival, judge.label).replace(" at", ", at", 1)
    rivals = f"{strongest_in_words(voided)}, {rival.name}"
    claim = f"{about}; it {judge.verb(holds)} {rivals} ({gain_in_words(ahead)}{speed})."
    return {"claim": claim, "holds": holds, "baseline": rival.name, "seeds": ahead["seeds"]}


def _of_runs(judge: Judge, pick: Contender, rival: Contender) -> str:
    """What the interval of the verdict covers, and what it does not."""
    ours, theirs = len(pick.runs(judge.metric)), len(rival.runs(judge.metric))
    if ours == theirs == 1:
        return ONE_RUN
    each = f"Pick and baseline are means over {ours} training runs each"
    unlike = f"The pick is the mean over {_runs(ours)}, the baseline over {_runs(theirs)}"
    alone = ""
    if ours != theirs and 1 in (ours, theirs):
        alone = ", of which the single one is taken to scatter as the others do"
    return (
        f"{each if ours == theirs else unlike}, and the interval is that of examples and runs{alone}. The run by which "
        "the picks were put in order is among them."
    )


def _runs(count: int) -> str:
    return f"{count} training run{'s' if count > 1 else ''}"


def _of_another_precision(pick: Contender, label: str | None) -> list[str]:
    """That a pick's latency is not that of the model that was scored; nothing where it is, or was not timed."""
    report = pick.latencies.get(label) if label is not None else None
    precision = str(report.get("precision", QUALITY_PRECISION)) if report else QUALITY_PRECISION
    if precision == QUALITY_PRECISION:
        return []
    return [
        f"Latency is that of the {precision} model, quality that of the {QUALITY_PRECISION} model; what {precision} "
        "changes is told per model."
    ]


def gain_in_words(ahead: Mapping[str, Any]) -> str:
    """``+0.0123, 95 % interval +0.0010 to +0.0240, n = 872``."""
    numbers = f"{ahead['value']:+.4f}"
    if ahead["low"] is not None:
        numbers += f", 95 % interval {ahead['low']:+.4f} to {ahead['high']:+.4f}, n = {ahead['n']}"
    if ahead["seeds"] > 1:
        numbers += f", {ahead['seeds']} seeds"
    return numbers


def no_slower(baseline: Contender, pick: Contender, label: str | None) -> bool:
    """Whether a baseline is not slower than a pick beyond what both timings are sure of: doubt counts for it."""
    faster = pick.times_faster(baseline, label)
    doubt = math.hypot(pick.half_width(label), baseline.half_width(label))
    return faster is None or faster <= 1 + max(SAME_LATENCY, doubt)


def _beside(judge: Judge, ours: Contender, teacher: Contender) -> str:
    """A model's quality beside the teacher's, in words; both values where it is no share."""
    kept = judge.kept(ours, teacher)
    if kept is not None:
        return f"keeps {kept:.1%} of the teacher's {judge.metric}"
    mine, theirs = (item.value(judge.metric) for item in (ours, teacher))
    return f"has {judge.metric} {mine:.4f} (the teacher {theirs:.4f})"


def _speed(ours: Contender, theirs: Contender, label: str | None) -> str:
    faster = ours.times_faster(theirs, label)
    return f" at {faster:.2f}x its speed" if faster else ""
