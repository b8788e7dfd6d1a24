"""Are the metrics those of independent implementations, to the last digit, on real labels and adversarial answers?

    python -m benchmarks.evaluation.metrics --glue GLUE_FOLDER --squad dev-v1.1.json.gz

GLUE's dev labels are answered by adversaries (always one class, nearly right, random, ties, constants) and scored by
our evaluators and by scikit-learn or SciPy. SQuAD's dev questions are answered by adversaries too (empty, articles,
a reference in capitals with punctuation, unicode look-alikes) and scored by our rules and by the ones in
`official_squad_rules`, derived from their description. Prints and writes the largest difference of each metric.
"""

from __future__ import annotations

import argparse
import gzip
import json
import string
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics as sk

from autodistill.components.outcome import Predictions
from autodistill.components.task import DataContext
from autodistill.evaluators.glue import Glue
from autodistill.evaluators.glue_tasks import GLUE_METRICS
from autodistill.evaluators.squad_rules import question_scores
from autodistill.registry import default_registry
from benchmarks.evaluation.results import RESULTS, write_section

INDEPENDENT: dict[str, Callable[[Any, Any], float]] = {
    "accuracy": lambda labels, answers: float(sk.accuracy_score(labels, answers)),
    "f1": lambda labels, answers: float(sk.f1_score(labels, answers, zero_division=0)),
    "matthews": lambda labels, answers: float(sk.matthews_corrcoef(labels, answers)),
    "pearson": lambda labels, answers: float(stats.pearsonr(labels, answers).statistic),
    "spearman": lambda labels, answers: float(stats.spearmanr(labels, answers).statistic),
}


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
    registry = default_registry()
    config = registry.get("data", "glue").spec.config
    found: dict[str, dict[str, float]] = {}
    for task in tasks:
        parameters = {**vars(config()), "task": task, "root": str(root)}
        data = registry.create("data", "glue", parameters, DataContext(root)).load()
        test = data.splits["test"]
        labels = np.asarray(test["label"], dtype=np.float64 if task == "stsb" else np.int64)
        width = max(1, len(data.task.labels))
        differences = dict.fromkeys(GLUE_METRICS[task], 0.0)
        for _, logits in adversaries(labels, width):
            scores = Glue().score(Predictions(list(test["id"]), logits, labels, None, data.task))
            answers = logits[:, 0] if width == 1 else logits.argmax(axis=1)
            for metric in differences:
                if metric in scores and metric in INDEPENDENT:
                    expected = INDEPENDENT[metric](labels, answers)
                    differences[metric] = max(differences[metric], abs(scores[metric].value - expected))
        found[task] = differences
        print(f"{task:6} n = {len(labels):6}", *(f"{name} {value:.1e}" for name, value in differences.items()))
    return found


def official_squad_rules(answer: str, accepted: list[str]) -> tuple[float, float]:
    """Version 1.1, from its description: lower case, no punctuation, no articles, single blanks; F1 of word bags."""

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
        same = sum(min(count, Counter(right)[token]) for token, count in Counter(given).items())
        if not same:
            return 0.0
        precision, recall = same / len(given), same / len(right)
        return 2 * precision * recall / (precision + recall)

    given = tokens(answer)
    rights = [tokens(text) for text in accepted]
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


def squad_differences(path: Path, limit: int | None) -> dict[str, Any]:
    """Largest differences over questions and adversaries, and how many were compared."""
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
        for _, answer in squad_answers(context, accepted, index):
            ours = question_scores(answer, accepted, version_2=False)
            theirs = official_squad_rules(answer, accepted)
            compared += 1
            different += ours != theirs
            for name, mine, other in zip(worst, ours, theirs, strict=True):
                worst[name] = max(worst[name], abs(mine - other))
    print(f"squad  {compared} answers compared, {different} differ, largest differences {worst}")
    return {"answers": compared, "different": different, "largest_difference": worst}


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glue", type=Path, help="folder of GLUE's official files")
    parser.add_argument("--tasks", nargs="+", default=["cola", "sst2", "mrpc", "stsb", "rte", "wnli"])
    parser.add_argument("--squad", type=Path, help="SQuAD 1.1's dev set, .json or .json.gz")
    parser.add_argument("--limit", type=int, help="questions at most")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    results: dict[str, Any] = {}
    if given.glue:
        results["glue"] = glue_differences(given.glue, given.tasks)
    if given.squad:
        results["squad"] = squad_differences(given.squad, given.limit)
    write_section(given.output, "metrics", {"tasks": given.tasks, "limit": given.limit}, results)


if __name__ == "__main__":
    main()
