"""Are the metrics those of independent implementations, to the last digit, on real labels and adversarial answers?

    python -m benchmarks.evaluation.metrics --glue GLUE_FOLDER --squad dev-v1.1.json.gz --runs RUNS

GLUE's dev labels are answered by adversaries (always one class, nearly right, random, ties) and scored by our
evaluators and by scikit-learn or SciPy; with ``--runs``, so are the predictions of real models that `glue_protocol` or
`chain` kept there, beside the scores that they reported. SQuAD's dev questions are answered by adversaries too (empty,
articles, a reference in capitals with punctuation, unicode look-alikes) and scored by our rules and by
`official_squad_rules`, derived from their description: those of version 1.1, and those of 2.0 with every third question
made unanswerable. Prints and writes the largest difference of each metric.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from scipy import stats
from sklearn import metrics as sk

from autodistill.components.outcome import Predictions
from autodistill.components.task import DataContext, TaskSpec
from autodistill.evaluators.glue import MISMATCHED, Glue
from autodistill.evaluators.glue_tasks import GLUE_METRICS
from autodistill.evaluators.squad_rules import question_scores
from autodistill.registry import default_registry
from benchmarks.evaluation.fine_tuning_jobs import OUTCOME
from benchmarks.evaluation.results import output_of, write_section
from benchmarks.sections import script_parser

INDEPENDENT: dict[str, Callable[[Any, Any], float]] = {
    "accuracy": lambda labels, answers: float(sk.accuracy_score(labels, answers)),
    "f1": lambda labels, answers: float(sk.f1_score(labels, answers, zero_division=0)),
    "matthews": lambda labels, answers: float(sk.matthews_corrcoef(labels, answers)),
    "pearson": lambda labels, answers: float(stats.pearsonr(labels, answers).statistic),
    "spearman": lambda labels, answers: float(stats.spearmanr(labels, answers).statistic),
}

#: End of the names of metrics that are of MNLI's mismatched examples.
_OF_MISMATCHED = "_mismatched"


def adversaries(labels: Any, width: int) -> Iterator[tuple[str, Any]]:
    """Names and logits of answers to a GLUE dev set."""
    generator = np.random.default_rng(0)
    n = len(labels)
    if width == 1:
        values = labels.astype(np.float64)
        yield "right", values[:, None]
        yield "noisy", (values + generator.normal(size=n))[:, None]
        yield "ties", np.round(values + generator.normal(size=n))[:, None]
        yield "far from zero", (1e6 + values + generator.normal(size=n))[:, None]
        yield "reversed", -values[:, None]
        return
    for one in range(width):
        yield f"always {one}", np.eye(width)[np.full(n, one)]
    yield "right", np.eye(width)[labels]
    yield "wrong", np.eye(width)[(labels + 1) % width]
    yield "ties", np.zeros((n, width))
    for share in (0.5, 0.8, 0.99):
        answers = np.where(generator.random(n) < share, labels, generator.integers(0, width, size=n))
        yield f"right with {share}", np.eye(width)[answers]


def glue_differences(root: Path, tasks: list[str]) -> dict[str, dict[str, float]]:
    """Task -> metric -> largest difference over the adversaries."""
    found: dict[str, dict[str, float]] = {}
    for task in tasks:
        dev = DevSet.read(root, task)
        differences = Differences(f"{task}'s dev set", dev.metrics)
        for _, logits in adversaries(dev.labels, dev.width):
            differences.compare(dev.scores(logits), dev.independent(logits))
        found[task] = differences.largest()
        print(f"{task:6} n = {len(dev.ids):6}", *(f"{name} {value:.1e}" for name, value in found[task].items()))
    return found


class Differences:
    """The largest difference of each metric between two implementations.

    Args:
        where: what is scored, for messages.
        metrics: that are to be compared.
    """

    def __init__(self, where: str, metrics: Iterable[str]) -> None:
        self._where = where
        self._largest: dict[str, float | None] = dict.fromkeys(metrics)

    def compare(self, ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
        """Take note of two values of each of ``theirs``; a difference that is no number ends the program."""
        for metric, expected in theirs.items():
            difference = abs(ours[metric] - expected)
            if math.isnan(difference):
                raise SystemExit(f"{metric} of {self._where} is {ours[metric]} here and {expected} elsewhere.")
            self._largest[metric] = max(self._largest[metric] or 0.0, difference)

    def largest(self) -> dict[str, float]:
        """Metric -> difference; a metric that was never compared ends the program."""
        if missing := [metric for metric, value in self._largest.items() if value is None]:
            raise SystemExit(f"{', '.join(missing)} of {self._where} was not compared with anything.")
        return {metric: value for metric, value in self._largest.items() if value is not None}


@dataclass(frozen=True)
class DevSet:
    """A dev set of GLUE.

    Args:
        task: its specification.
        ids: of the examples.
        labels: of the examples, [n].
        metrics: official ones of the task.
    """

    task: TaskSpec
    ids: list[str]
    labels: Any
    metrics: tuple[str, ...]

    @classmethod
    def read(cls, root: Path, task: str) -> DevSet:
        """Of the task's official files."""
        registry = default_registry()
        parameters = {**vars(registry.get("data", "glue").spec.config()), "task": task, "root": str(root)}
        data = registry.create("data", "glue", parameters, DataContext(root)).load()
        test = data.splits["test"]
        labels = np.asarray(test["label"], dtype=np.float64 if task == "stsb" else np.int64)
        return cls(data.task, list(test["id"]), labels, tuple(GLUE_METRICS[task]))

    @property
    def width(self) -> int:
        """Columns of the logits."""
        return max(1, len(self.task.labels))

    def scores(self, logits: Any) -> dict[str, float]:
        """Metric -> our value."""
        scores = Glue().score(Predictions(self.ids, logits, self.labels, None, self.task))
        return {name: scores[name].value for name in self.metrics if name in scores}

    def independent(self, logits: Any) -> dict[str, float]:
        """Metric -> value of the independent implementation."""
        answers = logits[:, 0] if self.width == 1 else logits.argmax(axis=1)
        parts = {name: self._part(name) for name in self.metrics}
        return {
            name: INDEPENDENT[name.removesuffix(_OF_MISMATCHED)](self.labels[part], answers[part])
            for name, part in parts.items()
            if part.any()
        }

    def _part(self, metric: str) -> Any:
        """The examples that a metric is of: each of MNLI's has a part of its own."""
        mismatched = np.array([identity.startswith(MISMATCHED) for identity in self.ids])
        return mismatched if metric.endswith(_OF_MISMATCHED) else ~mismatched


def run_differences(root: Path, runs: Path) -> dict[str, dict[str, Any]]:
    """Folder of a fine-tuned model -> task, kept predictions, and largest differences.

    ``metrics`` holds those between our evaluator and the independent one on the same predictions, ``reported`` those
    between the reported scores of the seeds and the independent ones.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(runs.glob(f"*/{OUTCOME}")):
        outcome = json.loads(path.read_text())
        dev = DevSet.read(root, outcome["task"]["benchmark"].removeprefix("glue/"))
        metrics, reported = (Differences(str(path.parent), dev.metrics) for _ in range(2))
        kept = sorted((path.parent / "fine_tuning").glob("*/predictions.parquet"), key=_seed_of)
        if outcome["failed_seeds"] or len(kept) != len(outcome["seeds"]):
            raise SystemExit(f"{path.parent} has {len(kept)} kept predictions of {len(outcome['seeds'])} seeds.")
        for predictions, scores in zip(kept, outcome["seeds"], strict=True):
            table = parquet.read_table(predictions).to_pydict()
            logits = dict(zip(table["id"], table["logits"], strict=True))
            answers = np.array([logits[identity] for identity in dev.ids], dtype=np.float64)
            expected = dev.independent(answers)
            metrics.compare(dev.scores(answers), expected)
            reported.compare({name: scores[f"glue.{name}"] for name in expected}, expected)
        found[path.parent.name] = {
            "task": outcome["task"]["benchmark"],
            "predictions": len(kept),
            "metrics": metrics.largest(),
            "reported": reported.largest(),
        }
        print(
            f"{path.parent.name:12} {len(kept)} x {len(dev.ids)}",
            *(f"{name} {value:.1e}" for name, value in reported.largest().items()),
        )
    return found


def _seed_of(predictions: Path) -> int:
    """Of the run whose folder holds the predictions."""
    return int(predictions.parent.name.split("-seed")[1].split("-")[0])


def official_squad_rules(answer: str, accepted: list[str], version_2: bool) -> tuple[float, float]:
    """From their description: lower case, no punctuation, no articles, single blanks; F1 of word bags.

    In version 2.0, where no accepted answer has a word left, the right answer is the empty one; it is wrong elsewhere.
    """

    def tokens(text: str) -> list[str]:
        kept = "".join(character for character in text.lower() if character not in set(string.punctuation))
        words, word = [], ""
        for character in kept + " ":
            if character.isalnum() or character == "_":
                word += character
                continue
            words.append(" " if word in ("a", "an", "the") else word)
            words.append(character)
            word = ""
        return "".join(words).split()

    def overlap(given: list[str], right: list[str]) -> float:
        if version_2 and (not given or not right):
            return 1.0 if given == right else 0.0
        same = sum(min(count, Counter(right)[token]) for token, count in Counter(given).items())
        if not same:
            return 0.0
        precision, recall = same / len(given), same / len(right)
        return 2 * precision * recall / (precision + recall)

    given = tokens(answer)
    rights = [tokens(text) for text in accepted]
    if version_2:
        rights = [right for right in rights if right] or [[]]
    return max(float(given == right) for right in rights), max(overlap(given, right) for right in rights)


def squad_answers(context: str, accepted: list[str], index: int) -> Iterator[tuple[str, str]]:
    """Names and texts of adversarial answers."""
    yield "empty", ""
    yield "reference", accepted[index % len(accepted)]
    yield "dressed", f"  The {accepted[0].upper()}!?, an "
    yield "articles", "the a an"
    yield "look-alike", accepted[0].replace("e", "\u0435").replace("'", "\u2019")
    yield "half", accepted[0][: max(1, len(accepted[0]) // 2)]
    yield "first words", " ".join(context.split()[:8])


def squad_differences(path: Path, limit: int | None, version_2: bool = False) -> dict[str, Any]:
    """Largest differences over questions and adversaries, and how many were compared.

    Args:
        path: the dev set of version 1.1.
        limit: questions at most.
        version_2: score by the rules of 2.0; every third question counts as unanswerable, every fifth accepts an
            article beside its answers.
    """
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    articles = json.loads(content)["data"]
    worst, compared, different = {"exact_match": 0.0, "f1": 0.0}, 0, 0
    questions = (
        (paragraph["context"], [answer["text"] for answer in question["answers"]])
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    )
    for index, (context, accepted) in enumerate(questions):
        if limit is not None and index >= limit:
            break
        rights = accepted
        if version_2:
            rights = [] if index % 3 == 0 else ["The", *accepted] if index % 5 == 0 else accepted
        for _, answer in squad_answers(context, accepted, index):
            ours = question_scores(answer, rights, version_2=version_2)
            theirs = official_squad_rules(answer, rights, version_2)
            compared += 1
            different += ours != theirs
            for name, mine, other in zip(worst, ours, theirs, strict=True):
                worst[name] = max(worst[name], abs(mine - other))
    version = "2.0" if version_2 else "1.1"
    print(f"squad {version}  {compared} answers compared, {different} differ, largest differences {worst}")
    return {"answers": compared, "different": different, "largest_difference": worst}


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    compared = [name for name in ("glue", "runs", "squad") if vars(given)[name]]
    return {"compared": compared, "tasks": given.tasks, "limit": given.limit}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--glue", type=Path, help="folder of GLUE's official files")
    parser.add_argument("--tasks", nargs="+", default=["cola", "sst2", "mrpc", "stsb", "rte", "wnli"])
    parser.add_argument("--squad", type=Path, help="SQuAD 1.1's dev set, .json or .json.gz")
    parser.add_argument("--runs", type=Path, help="folder of `glue_protocol` or `chain`; needs --glue")
    parser.add_argument("--limit", type=int, help="questions at most")
    return parser


def main() -> None:
    """Compare, print and write."""
    parser = make_parser()
    given = parser.parse_args()
    if given.runs and not given.glue:
        parser.error("--runs needs --glue, whose labels the kept predictions are scored against.")
    output = output_of(parser, given, "metrics", settings_of)
    results: dict[str, Any] = {}
    if given.glue:
        results["glue"] = glue_differences(given.glue, given.tasks)
    if given.runs:
        results["runs"] = run_differences(given.glue, given.runs)
    if given.squad:
        results["squad"] = squad_differences(given.squad, given.limit)
        results["squad_2"] = squad_differences(given.squad, given.limit, version_2=True)
    write_section(output, "metrics", settings_of(given), results)


if __name__ == "__main__":
    main()
