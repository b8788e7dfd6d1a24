"""``summary.json``: the machine-readable outcome of a study, schema version 1, from what the storage holds.

A pure function of the storage and the study's identity: it can be made while the study runs, and again later,
without loading a model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from autodistill.components.search import Constraint, History, Objective
from autodistill.engine.analytics import study_analytics
from autodistill.engine.average_claim import average_claim
from autodistill.engine.environments import FIRST_USED, differences, environments_of
from autodistill.engine.explore_clock import BUDGET_STAGE
from autodistill.engine.going_on import command_to_go_on
from autodistill.engine.guards import (
    alarms,
    data_checks,
    failed_check,
    failed_repeat_check,
    learnt_checks,
    picks_checks,
    task_checks,
    unlearnt,
)
from autodistill.engine.picks import averaged, pareto_rows
from autodistill.engine.places import chosen_picks, picks_of
from autodistill.engine.pruning import savings
from autodistill.engine.records import SHOWN_TRIAL_STATES, RunRecord, StudyRecord, TrialRecord
from autodistill.engine.relative import (
    corner_of,
    feasible_rows,
    hypervolume_of,
    reference_point,
    relative,
    relative_matrix,
    scored_objective,
)
from autodistill.engine.repeats import repeats_of
from autodistill.engine.space import Space, stored_space
from autodistill.engine.statistics import rank_correlations
from autodistill.engine.storage import Storage
from autodistill.engine.targets import pareto_sets, quality_caveat
from autodistill.errors import ConfigError
from autodistill.pareto import hypervolume_curve, non_dominated
from autodistill.report.formats import without_secrets

SCHEMA_VERSION = 1

#: Stages whose seconds the schema asks for, zero when nothing was spent.
STAGES = ("teacher", "teacher_cache", "explore", "latency", "distill", "evaluate", "export")


@lru_cache(maxsize=4)  # a report is made several times in one command, and large spaces take a second
def _space(student: str) -> Space | None:
    """The space of a stored configuration ``student``; None where there is none, or it is refused by now."""
    chosen = json.loads(student)
    try:
        return stored_space(chosen) if chosen else None
    except ConfigError:
        return None


class SummaryBuilder:
    """Builds the summary of one study.

    Args:
        storage: where the study lives.
        study: its record.
        output_dir: folder of the folders of studies, as it was given now; by default where the study was last run.
        storage_url: where ``storage`` is, as it was given now; by default where it was then.
    """

    def __init__(
        self, storage: Storage, study: StudyRecord, output_dir: str | None = None, storage_url: str | None = None
    ) -> None:
        self.storage, self.study = storage, study
        config, stored = study.config, study.config.get("storage") or {}
        place = output_dir or str(config.get("output_dir", "outputs"))
        url = storage_url or str(stored.get("url", f"sqlite:///{place}/studies.db"))
        self._command = command_to_go_on(study.name, place, url)
        self.config = without_secrets({**config, "output_dir": place, "storage": {**stored, "url": url}})
        #: ``seen`` as it was observed, ``history`` with replicates averaged, which is what an architecture counts for.
        self.now, states = storage.now(), storage.trial_states(study.id)
        self.trials, self.seen = storage.seen(study.id)
        #: A trial may have ended since its state was read, and is then shown with its result.
        self.states = {
            trial.number: trial.state if trial.state != "pending" else states.get(trial.number, "pending")
            for trial in self.trials
        }
        self.history: History = averaged(self.seen)
        self.runs = {(run.trial, run.kind): run for run in storage.runs(study.id)}
        self.stopped = storage.steps(study.id, "stopped:")
        self.teacher = self.step("teacher") or {
            "values": {},
            "trivial": {},
            "metrics": {},
            "latencies": {},
            "alarms": [],
        }
        self.finals = self.step("finals") or {}
        self.tasks = self.step("tasks") or {}
        identity = study.identity
        self.objectives = tuple(
            Objective(label, metric, direction) for label, (metric, direction) in identity["objectives"].items()
        )
        self.constraints = tuple(
            Constraint(label, metric, sense, bound) for label, (metric, sense, bound) in identity["constraints"].items()
        )
        self.quality = scored_objective(self.objectives, self.teacher)
        self.matrix = relative_matrix(self.history, self.objectives, self.teacher)
        self.point = reference_point(self.objectives, self.constraints, self.teacher)

    def step(self, name: str) -> Any:
        """A stored step of the study."""
        return self.storage.step(self.study.id, name)

    def build(self) -> dict[str, Any]:
        """The summary as a JSON-able mapping without NaN."""
        notes = self.step("notes") or {}
        chosen = [self.step(f"pick:{place}") for place in range(len(chosen_picks(self.storage, self.study)))]
        checks = [
            *data_checks(notes),
            *picks_checks(self.step("picks_frozen") or {}, chosen),
            *self._failed_checks(),
            *self._learnt_checks(),
            *task_checks(self.tasks),
        ]
        content = {
            "schema": SCHEMA_VERSION,
            "study": self.study.name,
            "created": self.study.created,
            "task": self.step("task") or dict(self.study.identity["task"]),
            "splits": self.step("splits") or {"train": 0, "select": 0},
            "seconds": self._seconds(),
            "cost": self._cost(),
            "pruning": savings(self.runs.values()),
            "objectives": [{"label": o.label, "metric": o.metric, "direction": o.direction} for o in self.objectives],
            "constraints": [
                {"label": c.label, "metric": c.metric, "sense": c.sense, "bound": c.bound} for c in self.constraints
            ],
            "space": self.step("space") or {},
            "trials": self._counts(),
            "hypervolume": hypervolume_of(self.matrix[self._usable()], self.point, self.objectives, self.teacher),
            "hypervolume_reference": {label: v for label, v in self.point.items() if math.isfinite(v)},
            "hypervolume_curve": self._curve(),
            "pareto": [self.trials[row].number for row in self._front()],
            "final_pareto": self._final_pareto(self.objectives, self._only_target()),
            "pareto_sets": self._pareto_sets(),
            "teacher": self._teacher(),
            "references": self.finals.get("references", []),
            "baselines": self._students("baselines"),
            "picks": self._students("picks"),
            "verdict": self._verdict(),
            "tasks": self._tasks(),
            "flash_fidelity": self._flash_fidelity(),
            "flash_spread": self._flash_spread(),
            "analytics": study_analytics(
                self.seen,
                self.trials,
                self.runs,
                self.objectives,
                self.constraints,
                self.teacher,
                derived=(self.step("space") or {}).get("derived", ()),
                space=_space(json.dumps(self.study.config.get("student") or {})),
                sizes=(self.study.config.get("search") or {}).get("size_features", True),
            ),
            "history": [self._history_row(trial) for trial in self.trials],
            "checks": checks,
            "alarms": [*self.teacher["alarms"], *alarms(checks)],
            "unlearnt": unlearnt(self.finals, self.teacher, self.metric, self.direction),
            "notes": notes,
            "config": self.config,
            "components": self.study.components.get("components", []),
            "environment": dict(self.study.environment),
            "environments": self._environments(),
            "waste": len(self.storage.waste(self.study.id)),
            "command": self._command,
        }
        cleaned: dict[str, Any] = without_nan(content)
        return cleaned

    # -- parts ---------------------------------------------------------------------------------------------------

    def _environments(self) -> dict[str, Any]:
        """When each was first used, and what is not the same in all of them."""
        found = environments_of(self.storage, self.study.id)
        return {FIRST_USED: [item[FIRST_USED] for item in found], "differences": differences(found)}

    def _verdict(self) -> Mapping[str, Any]:
        """What was claimed when all was compared; nothing before, and nothing while a baseline is not among it."""
        stored: Mapping[str, Any] | None = self.finals.get("verdict")
        if stored is None:
            return self._unclaimed("The study is not finished; nothing is claimed yet.")
        later = [str(trial.label) for trial in self._members("baselines") if self._waits_for_comparison(trial)]
        if not later:
            return {"metric": self.metric, "direction": self.direction, **stored}
        names = ", ".join(later)
        claim = f"Not compared yet: {names}, trained after the comparison. `{self._command}` compares anew."
        return {**self._unclaimed(claim), "limits": [claim]}

    def _unclaimed(self, claim: str) -> dict[str, Any]:
        judged_by = {"metric": self.metric, "direction": self.direction}
        return {"claim": claim, "holds": None, "baseline": None, **judged_by}

    @property
    def metric(self) -> str:
        """What models are compared by; verdicts of earlier versions are by the task's own metric and do not name it."""
        own = str(self.study.identity["task"].get("metric") or self.objectives[0].metric)
        if "verdict" in self.finals:
            return str(self.finals["verdict"].get("metric", own))
        return self.quality.metric if self.quality else own

    @property
    def direction(self) -> str:
        """Whether that metric is to be maximised or minimised."""
        stated = next((item.direction for item in self.objectives if item.metric == self.metric), "maximize")
        return str(self.finals.get("direction", stated))

    def _waits_for_comparison(self, trial: TrialRecord) -> bool:
        """Whether a baseline was trained since the models were compared."""
        full = self.runs.get((trial.number, "full"))
        return full is not None and full.state == "complete" and str(trial.number) not in self.finals["baselines"]

    def _tasks(self) -> dict[str, Any]:
        """What fine-tuning on tasks came to, and the claim on GLUE's average; empty without tasks."""
        if not self.tasks:
            return {}
        tasks, models = self.tasks["tasks"], self.tasks["models"]
        failed = [row["name"] for row in self._students("baselines") if row.get("state") == "failed"]
        return {"tasks": tasks, "models": models, "claim": average_claim(tasks, models, failed)}

    def _seconds(self) -> dict[str, float]:
        return {
            **dict.fromkeys(STAGES, 0.0),
            **{k: max(0.0, v) for k, v in self.storage.seconds(self.study.id).items() if k != BUDGET_STAGE},
        }

    def _cost(self) -> dict[str, Any]:
        """What was spent, by what it was spent on; repeats and models trained by hand only when there are any."""
        groups: dict[str, list[RunRecord]] = {"explore": [], "picks": [], "baselines": []}
        members = {trial.number: "repeats" for trial in self.trials if trial.origin == "repeat"}
        members |= {trial.number: group for group in ("picks", "baselines") for trial in self._members(group)}
        for (number, kind), run in self.runs.items():
            group = "explore" if kind == "flash" else members.get(number, "manual")
            groups.setdefault(group, []).append(run)
        names = ("examples", "flops", "device_seconds")
        spent = {
            group: {name: sum(float(run.cost.get(name, 0.0)) for run in runs) for name in names}
            for group, runs in groups.items()
        }
        return spent | ({"fine_tuning": self.tasks["cost"]} if self.tasks else {})

    def _counts(self) -> dict[str, int]:
        states = [self.states[trial.number] for trial in self.trials if trial.origin == "search"]
        return {state: states.count(state) for state in SHOWN_TRIAL_STATES}

    def _usable(self) -> list[int]:
        feasible = feasible_rows(self.history, self.constraints)
        return [row for row in range(len(self.history)) if feasible[row] and self.history.in_space[row]]

    def _curve(self) -> list[float | None]:
        """After every result that the search was told: models trained by hand and baselines gave it none."""
        told = self.history.told
        searched = (row for row in self._usable() if told[row] >= 0 and self.trials[row].origin == "search")
        usable = sorted(searched, key=lambda row: told[row])
        corner = corner_of(self.point, self.objectives, self.teacher)
        return [None] * len(usable) if corner is None else hypervolume_curve(self.matrix[usable], corner).tolist()

    def _front(self) -> list[int]:
        return pareto_rows(self.history, self.objectives, self.constraints, self.teacher)

    def _pareto_sets(self) -> dict[str, Any]:
        """Target -> its front; see `autodistill.engine.targets`."""
        timed = [self.teacher["latencies"], *(trial.latencies for trial in self.trials)]
        targets = list(dict.fromkeys(label for latencies in timed for label in latencies))
        sets = pareto_sets(self.history, self.objectives, self.constraints, self.teacher, targets)
        precisions = {label: report.get("precision") for latencies in timed for label, report in latencies.items()}
        return {
            target: {
                "metric": next(o.metric for o in found.objectives if o.metric.rpartition(".")[0] == target),
                "is_objective": found.is_objective,
                "precision": precisions[target],
                "caveat": quality_caveat(precisions[target], self._scored_on(target)),
                "trials": [self.trials[row].number for row in found.rows],
                "final": self._final_pareto(found.objectives, target),
                "hypervolume": found.hypervolume,
                "hypervolume_reference": dict(found.reference),
            }
            for target, found in sets.items()
        }

    def _finals(self) -> dict[int, Any]:
        """Trial number -> final row of every pick and baseline."""
        return {int(key): row for group in ("picks", "baselines") for key, row in self.finals.get(group, {}).items()}

    def _only_target(self) -> str | None:
        """The target whose latency is an objective, where there is one such."""
        labels = {item.metric.rpartition(".")[0] for item in self.objectives} & self.teacher["latencies"].keys()
        return labels.pop() if len(labels) == 1 else None

    def _scored_on(self, target: str | None) -> bool:
        """Whether trained models were scored as this target runs them."""
        return any("metrics" in row.get("targets", {}).get(target, {}) for row in self._finals().values())

    def _final_pareto(self, objectives: Sequence[Objective], target: str | None) -> list[int]:
        """Trials on the front of picks and baselines by their final values in these objectives.

        Where models were scored as ``target`` runs them, by those scores, without the models that could not be.
        """
        rows, numbers, scored = [], [], self._scored_on(target)
        for number, row in self._finals().items():
            there = row.get("targets", {}).get(target, {}).get("metrics")
            if scored and there is None:
                continue
            own = {**row, "metrics": {**row["metrics"], **(there or {})}}
            values = [self._final_value(own, objective, number) for objective in objectives]
            if all(math.isfinite(value) for value in values):
                rows.append(values)
                numbers.append(number)
        if not rows:
            return []
        return [number for number, kept in zip(numbers, non_dominated(np.array(rows)), strict=True) if kept]

    def _final_value(self, row: Mapping[str, Any], objective: Objective, number: int) -> float:
        from autodistill.components.latency import LatencyReport

        label, _, metric = objective.metric.partition(".")
        if objective.metric in row["metrics"]:
            value = row["metrics"][objective.metric]["value"]
        elif label in row["latencies"]:
            value = LatencyReport(**row["latencies"][label]).metrics().get(metric, math.nan)
        else:
            trial = next(trial for trial in self.trials if trial.number == number)
            value = trial.known.get(objective.metric, math.nan)
        return float(relative(np.array([float(value)]), objective, self.teacher)[0])

    def _teacher(self) -> dict[str, Any]:
        if "teacher" in self.finals:
            return {**self.finals["teacher"], "source": self.teacher.get("name")}
        metrics = {name: {**_metric(item), "low": None, "high": None} for name, item in self.teacher["metrics"].items()}
        return {
            "name": "teacher",
            "source": self.teacher.get("name"),
            "parameters": self.teacher.get("parameters"),
            "metrics": metrics,
            "latencies": self.teacher["latencies"],
        }

    def _students(self, group: str) -> list[dict[str, Any]]:
        found = []
        for trial in self._members(group):
            row = self.finals.get(group, {}).get(str(trial.number), {})
            full = self.runs.get((trial.number, "full"))
            flash = self.runs.get((trial.number, "flash"))
            entry = {
                "name": trial.label or f"pick {trial.number}",
                "trial": trial.number,
                "family": trial.architecture.family,
                "architecture": dict(trial.architecture.choices),
                "parameters": int(row.get("parameters") or trial.known.get("size.parameters") or 0),
                "initialisation": str((full.initialisation if full else {}).get("summary", "not trained yet")),
                "layer_maps": _layer_map(full.initialisation.get("layer_map", ())) if full else "",
                "flash": self._flash_metrics(flash),
                "final": {**row["metrics"], **self._select_metrics(full)} if row else None,
                "latencies": row.get("latencies") or dict(trial.latencies),
                "targets": row.get("targets", {}),
                "state": full.shown_state(self.now) if full else "waiting",
                "error": full.error if full else None,
            }
            if group == "picks":
                entry["versus"] = row.get("versus") or {"teacher": self._no_versus()}
                entry["exports"] = self._exports(trial)
                entry["paths"] = self._paths(trial, full)
            found.append(entry)
        return found

    def _members(self, group: str) -> list[TrialRecord]:
        if group == "baselines":
            return [trial for trial in self.trials if trial.origin == "baseline"]
        numbers = picks_of(self.storage, self.study)
        by_number = {trial.number: trial for trial in self.trials}
        return [by_number[number] for number in numbers]

    def _repeats(self) -> list[TrialRecord]:
        """Those that count now: of what is compared, and as many as are asked for."""
        seeds = int((self.config.get("picks") or {}).get("seeds", 1))  # earlier versions have none
        members = [*self._members("picks"), *self._members("baselines")]
        found = (repeat for trial in members for repeat in repeats_of(trial, self.trials, seeds))
        return list({repeat.number: repeat for repeat in found}.values())

    def _no_versus(self) -> dict[str, Any]:
        empty = {"value": None, "low": None, "high": None, "n": None, "seeds": 1, "split": "test"}
        return {"gain": empty, "retained": None, "speedup": None, "parameter_ratio": None}

    def _flash_metrics(self, run: RunRecord | None) -> dict[str, Any] | None:
        if run is None or run.state != "complete" or not run.metrics:
            return None
        return {name: _metric(item) for name, item in run.metrics.items()}

    def _select_metrics(self, run: RunRecord | None) -> dict[str, Any]:
        metrics = run.metrics if run else {}
        return {name: _metric(item) for name, item in metrics.items() if name.startswith("select/")}

    def _exports(self, trial: TrialRecord) -> list[dict[str, Any]]:
        steps = (self.step(f"export:{trial.number}:{label}") for label in (self.study.config.get("export") or {}))
        return [step for step in steps if step]

    def _paths(self, trial: TrialRecord, full: RunRecord | None) -> dict[str, str]:
        paths = {"hf": str(full.artifacts.get("hf", "")) if full else ""}
        return paths | {item["format"]: item["path"] for item in self._exports(trial) if "path" in item}

    def _pairs(self) -> list[tuple[float, float]]:
        """(flash score, final score on select) of every trial that has both."""
        if self.quality is None:
            return []
        metric = self.quality.metric
        pairs = []
        for trial in self.trials:
            flash, full = self.runs.get((trial.number, "flash")), self.runs.get((trial.number, "full"))
            scored = flash is not None and flash.state == "complete"  # a stopped run was scored early
            if scored and flash and full and metric in flash.metrics and f"select/{metric}" in full.metrics:
                pairs.append((float(flash.metrics[metric]["value"]), float(full.metrics[f"select/{metric}"]["value"])))
        return pairs

    def _flash_fidelity(self) -> dict[str, Any]:
        pairs = self._pairs()
        spearman, kendall = rank_correlations([a for a, _ in pairs], [b for _, b in pairs])
        return {"spearman": spearman, "kendall": kendall, "n": len(pairs), "pairs": [list(pair) for pair in pairs]}

    def _flash_spread(self) -> dict[str, Any]:
        """Whether flash separates candidates: the scores' standard deviation over trials against their noise."""
        metric = (self.quality or self.objectives[0]).metric
        found = [
            (float(run.metrics[metric]["value"]), float(run.metrics[metric]["variance"] or 0.0))
            for (_, kind), run in self.runs.items()
            if kind == "flash" and run.state == "complete" and metric in run.metrics
        ]
        if len(found) < 2:
            return {
                "metric": metric,
                "n": len(found),
                "standard_deviation": None,
                "standard_error": None,
                "ratio": None,
            }
        deviation = float(np.std([value for value, _ in found], ddof=1))
        error = float(np.sqrt(np.mean([variance for _, variance in found])))
        return {
            "metric": metric,
            "n": len(found),
            "standard_deviation": deviation,
            "standard_error": error,
            "ratio": deviation / error if error > 0 else None,
            "range": max(value for value, _ in found) - min(value for value, _ in found),
        }

    def _failed_checks(self) -> list[dict[str, Any]]:
        """A row for every baseline, pick and repeat whose training failed."""
        members = [trial for group in ("baselines", "picks") for trial in self._members(group)]
        rows = []
        for trial in (*members, *self._repeats()):
            run = self.runs.get((trial.number, "full"))
            if run is not None and run.state == "failed":
                check = failed_repeat_check if trial.origin == "repeat" else failed_check
                rows.append(check(trial.label or f"pick {trial.number}", str(run.error)))
        return rows

    def _learnt_checks(self) -> list[dict[str, Any]]:
        """Whether teacher, references, baselines and picks are better than the trivial answer."""
        return learnt_checks(self.finals, self.teacher, self.metric, self.direction)

    def _history_row(self, trial: TrialRecord) -> dict[str, Any]:
        flash = self.runs.get((trial.number, "flash"))
        stopped = self.stopped.get(f"stopped:{trial.number}", {}) if trial.state == "stopped" else {}
        metrics = {name: {"value": value} for name, value in trial.known.items()}
        if flash is not None:
            metrics |= {name: {"value": i["value"], "variance": i["variance"]} for name, i in flash.metrics.items()}
        return {
            "trial": trial.number,
            "origin": trial.origin,
            "name": trial.label,
            "state": self.states[trial.number],
            "began_training": trial.began_training,
            "replicate": trial.replicate,
            "family": trial.architecture.family,
            "architecture": dict(trial.architecture.choices),
            "metrics": metrics,
            "latencies": dict(trial.latencies),
            "seconds": sum(flash.seconds.values()) if flash and flash.seconds else None,
            "error": trial.error or stopped.get("reason"),
            "stopped_at": stopped.get("share"),
            "note": trial.note,
        }


def _layer_map(layers: Iterable[int]) -> str:
    """Which teacher layer each student layer started from, for people."""
    return ", ".join(f"{student} from {teacher}" for student, teacher in enumerate(layers, start=1))


def _metric(item: Mapping[str, Any]) -> dict[str, Any]:
    """A stored metric; runs of earlier versions have none of the interval."""
    return {
        "value": item["value"],
        **{key: item.get(key) for key in ("low", "high", "n")},
        "seeds": 1,
        "split": item["split"],
    }


def without_nan(value: Any) -> Any:
    """Copy with NaN and infinities as null, which JSON can say."""
    if value is None or isinstance(value, (str, int)):  # most of all, and quickly told
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    if isinstance(value, np.generic):
        return without_nan(value.item())
    return value
