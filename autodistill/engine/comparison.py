"""The comparison on the test split: every row with its interval, paired gains, and the verdict.

Predictions are read back from the files that the full runs and references wrote; nothing is predicted twice but the
teacher, whose predictions are kept here. What counts as better is in `autodistill.engine.verdict` and
``equal_compute``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.components.outcome import Score
from autodistill.engine.equal_compute import equal_compute, spending
from autodistill.engine.finals import complete_full_runs, load_model
from autodistill.engine.places import final_folder, final_name, picks_of
from autodistill.engine.records import RunRecord, TrialRecord
from autodistill.engine.relative import scored_objective
from autodistill.engine.repeats import repeats_of
from autodistill.engine.scores import predictions_of, read_logits, score_all, write_predictions
from autodistill.engine.session import Session
from autodistill.engine.summary import without_nan
from autodistill.engine.target_answers import stored_answers
from autodistill.engine.trivial import trivial_scores
from autodistill.engine.verdict import Contender, Judge, entry_of, gain, verdict
from autodistill.folders import write_json
from autodistill.training.predict import predict

if TYPE_CHECKING:
    from autodistill.components.outcome import FloatArray

#: Where the teacher's predictions on the final split are kept, below the study's folder.
TEACHER_PREDICTIONS = Path("teacher", "predictions.parquet")


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
    stored_runs, runs = session.storage.runs(session.study.id), complete_full_runs(session)
    trials = {trial.number: trial for trial in session.storage.trials(session.study.id)}
    stored = session.storage.step(session.study.id, "picks_frozen") or {"trials": []}
    frozen = [int(number) for number in stored["trials"]]
    teacher = _teacher(session, role)
    references = _references(session, role)
    trained = [trial for trial in trials.values() if trial.origin == "baseline" and trial.number in runs]
    chosen = [trials[number] for number in frozen if number in runs]
    picks, baselines = (
        [(trial, _student(session, role, trial, trials, runs)) for trial in some] for some in (chosen, trained)
    )
    others = [teacher, *references, *(contender for _, contender in baselines)]
    trivial = trivial_scores(session.bench, session.teacher.predictions(session.bench, role))
    metric, direction = judged_by(session)
    failed = failed_baselines(trials, stored_runs)
    judge = Judge(
        metric=metric,
        direction=direction,
        floor=trivial[metric],
        label=session.bench.main_latency,
        role=role,
    )
    return {
        "split": role,
        "teacher": _row(teacher, role),
        "references": [_row(contender, role) for contender in references],
        "baselines": {
            str(trial.number): _student_row(session, judge, trial, contender) for trial, contender in baselines
        },
        "picks": {
            str(trial.number): {
                **_student_row(session, judge, trial, contender),
                "versus": _versus(judge, contender, others),
            }
            for trial, contender in picks
        },
        "trivial": trivial,
        "direction": judge.direction,
        "verdict": {
            **verdict(
                judge,
                [item for _, item in picks],
                [item for _, item in baselines],
                teacher,
                failed,
            ),
            "metric": metric,
            "pick": picks[0][0].number if picks else None,
            "equal_compute": equal_compute(
                judge,
                [(trial.number, item) for trial, item in picks],
                [item for _, item in baselines],
                spending(stored_runs, trials.values(), picks_of(session.storage, session.study)),
                failed,
            ),
        },
    }


def failed_baselines(trials: Mapping[int, TrialRecord], runs: Iterable[RunRecord]) -> list[str]:
    """Labels of the baselines whose training failed; not of those that wait, or that another process trains."""
    failed = (trials[run.trial] for run in runs if run.kind == "full" and run.state == "failed")
    return [str(trial.label) for trial in failed if trial.origin == "baseline"]


# -- contenders --------------------------------------------------------------------------------------------------


def _scores(session: Session, role: str, logits: FloatArray) -> dict[str, Score]:
    teacher = session.teacher.logits(session.bench, role)
    return score_all(session.bench, predictions_of(session.bench, role, logits, teacher))


def _teacher(session: Session, role: str) -> Contender:
    stored = session.step("teacher")
    answers = session.teacher.predictions(session.bench, role)
    write_predictions(session.settings.study_dir / TEACHER_PREDICTIONS, answers, role)
    scores = score_all(session.bench, answers)
    return Contender("teacher", scores, stored["latencies"], session.teacher.parameters, fixed=True)


def _references(session: Session, role: str) -> list[Contender]:
    found = []
    for label in session.settings.several["reference"]:
        stored = session.storage.step(session.study.id, f"reference:{label}")
        if stored and "predictions" in stored:
            logits = read_logits(session.settings.study_dir / stored["predictions"])
            scores = _scores(session, role, logits)
            found.append(Contender(stored["name"], scores, stored["latencies"], stored["parameters"], fixed=True))
    return found


def _student(
    session: Session, role: str, trial: TrialRecord, trials: Mapping[int, TrialRecord], runs: Mapping[int, RunRecord]
) -> Contender:
    """A pick or baseline with its repeats, of the complete full runs."""
    others = repeats_of(trial, trials.values(), session.settings.picks_seeds)
    repeats = [_scores_of(session, role, other, runs[other.number]) for other in others if other.number in runs]
    latencies = session.storage.step(session.study.id, f"latency:{trial.number}") or {}
    family = session.bench.family_of(trial.architecture.family)
    parameters = family.parameters(trial.architecture, session.bench.task, session.bench.vocabulary)
    name = final_name(session.storage, session.study, trial)
    scores = _scores_of(session, role, trial, runs[trial.number])
    return Contender(name, scores, latencies, parameters, repeats)


def _scores_of(session: Session, role: str, trial: TrialRecord, run: RunRecord) -> dict[str, Score]:
    """Scores of the answers that a full run wrote."""
    file = session.settings.study_dir / Path(str(run.artifacts["predictions"]))
    if role == "test" and not any(name.startswith("test/") for name in run.metrics):
        file = _answered_test(session, trial, run)
    return _scores(session, role, read_logits(file))


def _answered_test(session: Session, trial: TrialRecord, run: RunRecord) -> Path:
    """Read the test split, once, for a model that was trained before the picks were frozen, when it was not yet to be;
    returns the file of its predictions.
    """
    folder = session.settings.study_dir / final_folder(session.storage, session.study, trial)
    file, name = folder / Path(str(run.artifacts["predictions"])).name, f"tested:{trial.number}"
    if session.storage.step(session.study.id, name) is None:
        model = load_model(session.settings.study_dir / str(run.artifacts["hf"]))
        answers = predict(model, session.bench.splits["test"], device=session.bench.device)
        write_predictions(file, predictions_of(session.bench, "test", answers, None), "test")
        session.storage.set_step(session.study.id, name, {"examples": len(session.bench.splits["test"])})
    return file


# -- rows --------------------------------------------------------------------------------------------------------


def _row(contender: Contender, role: str) -> dict[str, Any]:
    return {
        "name": contender.name,
        "parameters": contender.parameters,
        "metrics": {name: _final(contender, name, role) for name in contender.scores},
        "latencies": dict(contender.latencies),
    }


def _final(contender: Contender, metric: str, role: str) -> dict[str, Any]:
    """A final metric; of several training runs with the value of each, that of the model itself first."""
    entry = entry_of(contender.estimate(metric), role)
    if not contender.repeats:
        return entry
    return {**entry, "runs": [scores[metric].value for scores in (contender.scores, *contender.repeats)]}


def _student_row(session: Session, judge: Judge, trial: TrialRecord, contender: Contender) -> dict[str, Any]:
    """A pick or baseline, with whether it has learnt the task and, of several runs, how many of them have not."""
    row = {**_row(contender, judge.role), "learnt": judge.learnt(contender)}
    if contender.repeats:
        row["unlearnt_runs"] = 1 + len(contender.repeats) - judge.learnt_by_run(contender).count("learnt")
    return {**row, "targets": _targets(session, trial, contender, judge.role)}


def _targets(session: Session, trial: TrialRecord, contender: Contender, role: str) -> dict[str, Any]:
    """Target of another precision -> what the model scores there and the paired difference from its fp32 score, or
    ``left_out``, the reason why that is not known.
    """
    metric, _ = judged_by(session)
    found: dict[str, Any] = {}
    for label in contender.latencies:  # the model itself is what runs there
        stored = stored_answers(session, trial, label)
        if stored is None:
            continue
        if "left_out" in stored:
            found[label] = stored
            continue
        scores = _scores(session, role, read_logits(session.settings.study_dir / stored["predictions"]))
        there = Contender(contender.name, scores, contender.latencies, contender.parameters)
        found[label] = {
            "precision": stored["precision"],
            "metrics": _row(there, role)["metrics"],
            "change": gain(there, contender.one_run(), metric, role),
        }
    return found


def _versus(judge: Judge, pick: Contender, others: Sequence[Contender]) -> dict[str, Any]:
    found = {}
    for other in others:
        found[other.name] = {
            "gain": gain(pick, other, judge.metric, judge.role),
            "retained": judge.kept(pick, other),
            "speedup": pick.times_faster(other, judge.label),
            "parameter_ratio": pick.parameters / other.parameters if pick.parameters and other.parameters else None,
        }
    return found


def judged_by(session: Session) -> tuple[str, str]:
    """(metric, direction) that models are compared by: what the picks were chosen by, else the task's own."""
    bench = session.bench
    quality = scored_objective(bench.objectives, session.step("teacher"))
    return (quality.metric, quality.direction) if quality else (bench.task.metric, bench.directions[bench.task.metric])
