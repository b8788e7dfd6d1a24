"""The files of a real table: JSON that says how it was made, CSV with a row per architecture; figures only.

`write_table` makes them from a study, `read_table` reads them back for the benchmark. The columns are documented in
README.md beside this file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodistill.components.architecture import Architecture
from autodistill.components.training import RungReport
from autodistill.engine.environment import describe_environment
from autodistill.engine.records import RunRecord, TrialRecord
from autodistill.engine.session import Session
from benchmarks.search.table_setup import FAMILIES, LENGTHS, REPLICATES, RUNGS, SEED, table_architectures, table_space

#: What `benchmarks.search.make_table` does, in order.
STEPS = ("flash", "repeat", "full", "latency", "write")

#: Step of the study that says which machine its models were trained on.
TRAINED_ON = "trained_on"

TABLES = Path(__file__).parent / "tables"

ACCURACY = "classification.accuracy"
AGREEMENT = "agreement.accuracy"

#: Digits of a measured figure; the noise begins long before.
DIGITS = 6


@dataclass(frozen=True)
class Table:
    """A table as it was written.

    Args:
        family: the student family.
        about: how it was made.
        rows: one mapping per architecture: column -> value, None where there is none.
        choices: names of the columns that make an architecture.
    """

    family: str
    about: Mapping[str, Any]
    rows: Sequence[Mapping[str, float | None]]
    choices: tuple[str, ...]

    def architecture(self, row: int) -> Architecture:
        """The architecture of a row."""
        return Architecture(self.family, {name: int(self.rows[row][name] or 0) for name in self.choices})


def read_table(family: str, folder: Path = TABLES) -> Table:
    """Read a table back.

    Raises:
        FileNotFoundError: it has not been made.
    """
    about = json.loads((folder / f"{family}.json").read_text())
    with (folder / f"{family}.csv").open(newline="") as file:
        rows = [{name: float(text) if text else None for name, text in row.items()} for row in csv.DictReader(file)]
    return Table(family, about, rows, tuple(about["space"]))


def write_table(session: Session, family: str, folder: Path = TABLES) -> str:
    """Write the files of a family; returns one line about what is in them."""
    rows = table_rows(session, family)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{family}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    about = describe_table(session, family, rows)
    (folder / f"{family}.json").write_text(json.dumps(about, indent=1) + "\n")
    return f"{folder / family}.csv: {len(rows)} rows; {about['complete']}"


def table_rows(session: Session, family: str) -> list[dict[str, Any]]:
    """One row per architecture, in the order of the draw; the same columns in each."""
    storage, study = session.storage, session.study.id
    trials = {(trial.architecture, trial.replicate): trial for trial in storage.trials(study)}
    runs: dict[tuple[int, str], RunRecord] = {
        (run.trial, run.kind): run for run in storage.runs(study) if run.state == "complete"
    }
    rungs = {
        (number, index): report
        for index in range(len(RUNGS))
        for number, report in storage.rungs(study, "flash", index)
    }
    rows = []
    for architecture in table_architectures(family):
        row: dict[str, Any] = dict(zip(FAMILIES[family].space, _choices(architecture, family), strict=True))
        known = session.known.exact(architecture)
        row |= {"parameters": int(known["size.parameters"]), "flops": int(known["size.flops"])}
        for replicate in REPLICATES:
            row |= _replicate(trials[architecture, replicate], replicate, runs, rungs)
        row |= _latencies(trials[architecture, 0])
        rows.append(row)
    return rows


def _choices(architecture: Architecture, family: str) -> list[Any]:
    return [architecture.choices[name] for name in FAMILIES[family].space]


def _replicate(
    trial: TrialRecord,
    replicate: int,
    runs: Mapping[tuple[int, str], RunRecord],
    rungs: Mapping[tuple[int, int], RungReport],
) -> dict[str, Any]:
    """Scores and cost of the flash and the full run of one replicate."""
    flash, full = runs.get((trial.number, "flash")), runs.get((trial.number, "full"))
    found: dict[str, Any] = {}
    for index, share in enumerate(RUNGS if replicate == REPLICATES[0] else ()):
        report = rungs.get((trial.number, index)) if flash is not None else None
        found[f"rung{round(100 * share)}_accuracy_{replicate}"] = _round(
            None if report is None else report.metrics[ACCURACY]
        )
    found |= {
        f"flash_accuracy_{replicate}": _metric(flash, ACCURACY),
        f"flash_agreement_{replicate}": _metric(flash, AGREEMENT),
        f"flash_examples_{replicate}": _cost(flash, "examples"),
        f"flash_seconds_{replicate}": _cost(flash, "device_seconds", 1),
        f"full_accuracy_{replicate}": _metric(full, f"select/{ACCURACY}"),
        f"full_test_accuracy_{replicate}": _metric(full, f"test/{ACCURACY}"),
        f"full_examples_{replicate}": _cost(full, "examples"),
        f"full_seconds_{replicate}": _cost(full, "device_seconds", 1),
    }
    return found


def _latencies(trial: TrialRecord) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for label in ("fp32", "int8"):
        report: Mapping[str, Any] = trial.latencies.get(label, {})
        median, half = report.get("median"), report.get("relative_half_width")
        found[f"{label}_p50_ms"] = _round(median)
        found[f"{label}_half_width_ms"] = _round(median * half if median is not None and half is not None else None)
        found[f"{label}_ratio_to_teacher"] = _round(report.get("ratio_to_reference"))
        found[f"{label}_samples"] = report.get("n")
    return found


def _metric(run: RunRecord | None, name: str) -> float | None:
    return None if run is None else _round(float(run.metrics[name]["value"]))


def _cost(run: RunRecord | None, name: str, digits: int = 0) -> float | None:
    return None if run is None else round(run.cost[name], digits) if digits else int(run.cost[name])


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)


def describe_table(session: Session, family: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How the table was made: space, recipe, splits, teacher, machine."""
    chosen, teacher = FAMILIES[family], session.step("teacher")
    module = "python -m benchmarks.search.make_table"
    complete = {name: sum(row[name] is not None for row in rows) for name in _COUNTED}
    return {
        "family": family,
        "commands": [f"{module} --family {family} --step {step}" for step in STEPS],
        "created": session.study.created,
        "trained_on": session.step(TRAINED_ON),
        "timed_on": describe_environment(),
        "seed": SEED,
        "space": dict(chosen.space),
        "rules": dict(chosen.rules),
        "space_size": table_space(family).size,
        "architectures": len(rows),
        "complete": complete,
        "failed": _failed(session),
        "data": {
            "name": "SST-2 (GLUE), 20,000 training examples",
            "splits": session.step("splits"),
            "select": "carved from train, near-duplicates kept together",
            "test": "GLUE's dev set",
            "max_length": session.bench.max_length,
            "median_tokens": session.bench.median_tokens,
            "fingerprint": session.bench.data.fingerprint,
        },
        "teacher": {
            "name": "all-MiniLM-L6-v2, fine-tuned on the training examples for one epoch",
            "parameters": teacher["parameters"],
            "select_accuracy": _round(teacher["values"][ACCURACY]),
            "majority_accuracy": _round(teacher["trivial"][ACCURACY]),
        },
        "recipe": {
            "loss": "logits_kl, temperature 2",
            "flash_examples": chosen.flash_examples,
            "full_examples": chosen.full_examples,
            "batch_size": session.bench.schedule.optimisation.batch_size,
            "lr": chosen.lr,
            "rungs": list(RUNGS),
        },
        "latency": {"runtime": "onnxruntime", "batch_size": 1, "threads": 1, "lengths": list(LENGTHS)},
        "seconds": session.storage.seconds(session.study.id),
    }


def _failed(session: Session) -> list[dict[str, Any]]:
    """Runs that failed, with the reason: their cells stay empty."""
    trials = {trial.number: trial for trial in session.storage.trials(session.study.id)}
    return [
        {
            "architecture": dict(trials[run.trial].architecture.choices),
            "replicate": trials[run.trial].replicate,
            "run": run.kind,
            "error": run.error,
        }
        for run in session.storage.runs(session.study.id)
        if run.state == "failed"
    ]


#: Columns whose filled rows are counted, so that a reader sees what is there.
_COUNTED = (
    *(f"{kind}_accuracy_{replicate}" for kind in ("flash", "full") for replicate in REPLICATES),
    *("fp32_p50_ms", "int8_p50_ms"),
)
