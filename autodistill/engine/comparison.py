"""The comparison on the test split: every row with its interval, paired gains, and the verdict.

Predictions are read back from the files that the full runs and references wrote; nothing is predicted twice but the
teacher. A claim of "better" is a paired difference whose lower bound is above zero, against the strongest baseline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.components.outcome import Score
from autodistill.engine.cache import write_json
from autodistill.engine.finals import complete_full_runs, load_model
from autodistill.engine.places import final_folder, final_name
from autodistill.engine.records import RunRecord, TrialRecord
from autodistill.engine.score_statistics import Estimate, difference, estimate
from autodistill.engine.scores import predictions_of, read_logits, score_all, write_predictions
from autodistill.engine.session import Session
from autodistill.engine.summary import without_nan
from autodistill.training.predict import predict

if TYPE_CHECKING:
    from autodistill.components.outcome import FloatArray

#: A baseline within this share of a pick's latency counts as no slower, however narrow the intervals of both are.
SAME_LATENCY = 0.03


class Contender:
    """A row of the comparison: scores on the final split, latencies, size.

    Args:
        name: what the report calls it.
        scores: metric -> score.
        latencies: label -> stored latency report.
        parameters: number of parameters, if the word means something.
    """

    def __init__(
        self, name: str, scores: Mapping[str, Score], latencies: Mapping[str, Any], parameters: int | None
    ) -> None:
        self.name = name
        self.scores = scores
        self.latencies = latencies
        self.parameters = parameters

    def median(self, label: str | None) -> float | None:
        """Median latency in milliseconds; None when it was not timed."""
        return float(self.latencies[label]["median"]) if label is not None and label in self.latencies else None

    def half_width(self, label: str | None) -> float:
        """Half of the 95 % interval of the median latency, relative to it; 0 when unknown."""
        report = self.latencies.get(label) if label is not None else None
        return float((report or {}).get("relative_half_width") or 0.0)

    def ratio(self, label: str | None) -> float | None:
        """Latency relative to the reference timed in the same session; None when it was not."""
        report = self.latencies.get(label) if label is not None else None
        value = report.get("ratio_to_reference") if report else None
        return None if value is None else float(value)

    def times_faster(self, other: Contender, label: str | None) -> float | None:
        """How many times faster this is than ``other``; ratios to the reference, if both have one, absorb drift."""
        pairs = ((other.ratio(label), self.ratio(label)), (other.median(label), self.median(label)))
        return next((theirs / mine for theirs, mine in pairs if theirs and mine), None)


def compare(session: Session) -> dict[str, Any]:
    """Compare everything that was trained or measured; the result is the stored step ``finals``."""
    session.progress.stage("comparing on the test split")
    with session.timed("evaluate"):
        content = _compare(session)
    session.storage.replace_step(session.study.id, "finals", content)
    _write_metrics(session, content)
    return content


def _write_metrics(session: Session, content: Mapping[str, Any]) -> None:
    """Put the final metrics of every pick and baseline beside its model."""
    for group in ("picks", "baselines"):
        for number, row in content[group].items():
            folder = session.settings.study_dir / group / (number if group == "picks" else row["name"])
            write_json(folder / "metrics.json", without_nan(row))


def _compare(session: Session) -> dict[str, Any]:
    role = session.bench.final_role
    runs = complete_full_runs(session)
    trials = {trial.number: trial for trial in session.storage.trials(session.study.id)}
    stored = session.storage.step(session.study.id, "picks_frozen") or {"trials": []}
    frozen = [int(number) for number in stored["trials"]]
    teacher = _teacher(session, role)
    references = _references(session, role)
    picks = [
        (trials[number], _student(session, role, trials[number], runs[number])) for number in frozen if number in runs
    ]
    baselines = [
        (trial, _student(session, role, trial, runs[number]))
        for number, trial in trials.items()
        if trial.origin == "baseline" and number in runs
    ]
    others = [teacher, *references, *(contender for _, contender in baselines)]
    return {
        "split": role,
        "teacher": _row(teacher, role),
        "references": [_row(contender, role) for contender in references],
        "baselines": {str(trial.number): _row(contender, role) for trial, contender in baselines},
        "picks": {
            str(trial.number): {**_row(contender, role), "versus": _versus(session, contender, others, role)}
            for trial, contender in picks
        },
        "verdict": {
            **_verdict(session, [item for _, item in picks], [item for _, item in baselines], teacher, role),
            "pick": picks[0][0].number if picks else None,
        },
    }


# -- contenders --------------------------------------------------------------------------------------------------


def _scores(session: Session, role: str, logits: FloatArray) -> dict[str, Score]:
    teacher = session.teacher.logits(session.bench, role)
    return score_all(session.bench, predictions_of(session.bench, role, logits, teacher))


def _teacher(session: Session, role: str) -> Contender:
    stored = session.step("teacher")
    scores = session.teacher.scores(session.bench, role)
    return Contender("teacher", scores, stored["latencies"], session.teacher.parameters)


def _references(session: Session, role: str) -> list[Contender]:
    found = []
    for label in session.settings.several["reference"]:
        stored = session.storage.step(session.study.id, f"reference:{label}")
        if stored and "predictions" in stored:
            logits = read_logits(session.settings.study_dir / stored["predictions"])
            scores = _scores(session, role, logits)
            found.append(Contender(stored["name"], scores, stored["latencies"], stored["parameters"]))
    return found


def _student(session: Session, role: str, trial: TrialRecord, run: RunRecord) -> Contender:
    file = session.settings.study_dir / Path(str(run.artifacts["predictions"]))
    if role == "test" and not any(name.startswith("test/") for name in run.metrics):
        file = _answered_test(session, trial, run)
    logits = read_logits(file)
    latencies = session.storage.step(session.study.id, f"latency:{trial.number}") or {}
    family = session.bench.family_of(trial.architecture.family)
    parameters = family.parameters(trial.architecture, session.bench.task, session.bench.vocabulary)
    name = final_name(session.storage, session.study, trial)
    return Contender(name, _scores(session, role, logits), latencies, parameters)


def _answered_test(session: Session, trial: TrialRecord, run: RunRecord) -> Path:
    """Read the test split, once, for a model that was trained before the picks were frozen, when it was not yet to be;
    returns the file of its predictions.
    """
    folder = session.settings.study_dir / final_folder(session.storage, session.study, trial)
    file, name = folder / Path(str(run.artifacts["predictions"])).name, f"tested:{trial.number}"
    if session.storage.step(session.study.id, name) is None:
        model = load_model(session.settings.study_dir / str(run.artifacts["hf"]))
        answers = predict(model, session.bench.splits["test"])
        write_predictions(file, predictions_of(session.bench, "test", answers, None), "test")
        session.storage.set_step(session.study.id, name, {"examples": len(session.bench.splits["test"])})
    return file


# -- rows --------------------------------------------------------------------------------------------------------


def metric_entry(score: Score, split: str) -> dict[str, Any]:
    """A final metric: value, 95 % interval, n, seeds and split."""
    return entry_of(estimate(score), split)


def entry_of(found: Estimate, split: str) -> dict[str, Any]:
    """An estimate as the summary has it; the p-value only where there is one."""
    entry = {"value": found.value, "low": found.low, "high": found.high, "n": found.n, "seeds": found.seeds}
    return {**entry, "split": split, **({} if found.p_value is None else {"p_value": found.p_value})}


def _row(contender: Contender, role: str) -> dict[str, Any]:
    return {
        "name": contender.name,
        "parameters": contender.parameters,
        "metrics": {name: metric_entry(score, role) for name, score in contender.scores.items()},
        "latencies": dict(contender.latencies),
    }


def gain(session: Session, ours: Contender, theirs: Contender, role: str) -> dict[str, Any]:
    """Paired difference of the task's default metric, with its 95 % interval, and McNemar's p-value for answers."""
    metric = session.bench.task.metric
    return entry_of(difference(ours.scores[metric], theirs.scores[metric]), role)


def _versus(session: Session, pick: Contender, others: Sequence[Contender], role: str) -> dict[str, Any]:
    label = main_latency(session)
    metric = session.bench.task.metric
    found = {}
    for other in others:
        base = other.scores[metric].value
        found[other.name] = {
            "gain": gain(session, pick, other, role),
            "retained": pick.scores[metric].value / base if base > 0 else None,
            "speedup": pick.times_faster(other, label),
            "parameter_ratio": pick.parameters / other.parameters if pick.parameters and other.parameters else None,
        }
    return found


def main_latency(session: Session) -> str | None:
    """Label of the latency backend that the objectives name first, else the first one."""
    labels = list(session.settings.several["latency"])
    named = [item.metric.partition(".")[0] for item in session.bench.objectives]
    return next((label for label in named if label in labels), labels[0] if labels else None)


# -- verdict -----------------------------------------------------------------------------------------------------


def _verdict(
    session: Session, picks: Sequence[Contender], baselines: Sequence[Contender], teacher: Contender, role: str
) -> dict[str, Any]:
    """Whether the best pick beats the strongest baseline that is no slower than it, and how sure that is.

    When every baseline is slower than the pick, it must beat the most accurate of them all the same.
    """
    if not picks:
        return {"claim": "No pick was trained in full, so nothing is claimed.", "holds": None, "baseline": None}
    metric, label = session.bench.task.metric, main_latency(session)
    best = picks[0]  # chosen on the select split; choosing by the test split would flatter it
    about = (
        f"{best.name} keeps {_percent(best, teacher, metric)} of the teacher's {metric}{_speed(best, teacher, label)}"
    )
    if not baselines:
        return {"claim": f"{about}. No baseline was trained, so nothing is compared.", "holds": None, "baseline": None}
    rivals = [item for item in baselines if _no_slower(item, best, label)] or list(baselines)
    sign = -1.0 if session.bench.directions[metric] == "minimize" else 1.0
    rival = max(rivals, key=lambda item: sign * item.scores[metric].value)
    ahead = gain(session, best, rival, role)
    worst = ahead["low"] if sign > 0 else ahead["high"]
    holds = None if worst is None or math.isnan(worst) else bool(sign * worst > 0)
    verb = "beats" if holds else "does not beat" if holds is not None else "has no interval against"
    numbers = f"{ahead['value']:+.4f}"
    if ahead["low"] is not None:
        numbers += f", 95 % interval {ahead['low']:+.4f} to {ahead['high']:+.4f}, n = {ahead['n']}"
    speed = _speed(best, rival, label)
    claim = f"{about}; it {verb} the strongest baseline, {rival.name} ({numbers}{speed.replace(' at', ', at', 1)})."
    return {"claim": claim, "holds": holds, "baseline": rival.name}


def _no_slower(baseline: Contender, pick: Contender, label: str | None) -> bool:
    """Whether a baseline is not slower than a pick beyond what both timings are sure of: doubt counts for it."""
    faster = pick.times_faster(baseline, label)
    doubt = math.hypot(pick.half_width(label), baseline.half_width(label))
    return faster is None or faster <= 1 + max(SAME_LATENCY, doubt)


def _percent(ours: Contender, theirs: Contender, metric: str) -> str:
    base = theirs.scores[metric].value
    return f"{ours.scores[metric].value / base:.1%}" if base > 0 else "an unknown share"


def _speed(ours: Contender, theirs: Contender, label: str | None) -> str:
    faster = ours.times_faster(theirs, label)
    return f" at {faster:.2f}x its speed" if faster else ""
