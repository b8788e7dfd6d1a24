"""Evaluation against a bare loop: how long do answers to a split take?

    python -m benchmarks.evaluation.throughput --rounds 5 [--texts texts.tsv --output FILE]

The model is the packaged teacher with a head for two classes; the texts are those of a tab-separated file with the
column ``text`` (without one: made-up texts of 4 to 120 words). Three ways answer them, in turn, several
times:

- `predict`: ours, length-bucketed, with the evaluator's scores on top;
- `bare`: a plain loop over the same length-bucketed batches, prepared before, that does nothing but run the model;
- `unsorted`: a plain loop over batches in the order of the file, as a data loader gives them.

Prints and writes the median seconds of each, and their ratio to `bare`. The machine must be idle.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch

from autodistill.components.outcome import Predictions
from autodistill.components.task import TaskData, TaskSpec
from autodistill.evaluators.classification import Classification
from autodistill.exporters.auto_classes import load_pretrained
from autodistill.teachers.packaged import packaged_directory
from autodistill.training.features import model_inputs
from autodistill.training.predict import predict
from autodistill.training.tokenised import tokenise
from benchmarks.evaluation.results import output_of, write_section
from benchmarks.sections import script_parser

TASK = TaskSpec("classification", ("0", "1"), ("text",), "classification.accuracy")
BATCH = 64


def made_up(count: int) -> tuple[list[str], list[int]]:
    """Texts of mixed lengths, and labels."""
    generator = np.random.default_rng(0)
    words = "the of a model small large teacher student learns quickly slowly from text and then answers".split()
    lengths = generator.integers(4, 121, size=count)
    return [" ".join(generator.choice(words, size=n)) for n in lengths], generator.integers(0, 2, size=count).tolist()


def read(path: Path, count: int) -> tuple[list[str], list[int]]:
    """Texts of a file with a header, their labels all 0."""
    lines = path.read_text(encoding="utf-8").splitlines()
    place = lines[0].split("\t").index("text")
    texts = [line.split("\t")[place] for line in lines[1 : count + 1]]
    return texts, [0] * len(texts)


def loop(model: Any, batches: list[Any]) -> None:
    """Run the model on every batch and collect what it answers."""
    with torch.inference_mode():
        answers = [model(**model_inputs(model, batch)).logits.numpy() for batch in batches]
    np.concatenate(answers)


def ways(model: Any, split: Any) -> dict[str, Callable[[], None]]:
    """Name -> what is timed."""
    order = np.argsort(-split.lengths, kind="stable").astype(np.int64)
    rows = np.arange(len(split), dtype=np.int64)
    bucketed = [split.batch(order[start : start + BATCH]) for start in range(0, len(order), BATCH)]
    unsorted = [split.batch(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]

    def ours() -> None:
        logits = predict(model, split, BATCH)
        Classification().score(Predictions(split.ids, logits, split.labels, None, TASK))

    return {"predict": ours, "bare": lambda: loop(model, bucketed), "unsorted": lambda: loop(model, unsorted)}


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    return {
        **{name: vars(given)[name] for name in ("examples", "rounds", "threads")},
        "batch": BATCH,
        "texts": given.texts.name if given.texts else "made up",
        "model": given.model.name if given.model else "packaged teacher",
    }


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--model", type=Path, help="directory of a classifier; the packaged teacher by default")
    parser.add_argument("--examples", type=int, default=2000, help="at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser


def main() -> None:
    """Time, print and write."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, "throughput", settings_of)
    torch.set_num_threads(given.threads)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    directory = given.model or packaged_directory()
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    model: Any = load_pretrained(directory) if given.model else None
    if model is None:
        model = AutoModelForSequenceClassification.from_pretrained(directory, local_files_only=True).eval()
    texts, labels = read(given.texts, given.examples) if given.texts else made_up(given.examples)
    rows = datasets.Dataset.from_dict({"id": [str(i) for i in range(len(texts))], "text": texts, "label": labels})
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        split = tokenise(TaskData(TASK, {"test": rows}, "throughput"), tokenizer, 128, Path(folder))["test"]
        timed = ways(model, split)
        for turn in range(given.rounds + 1):  # the first warms up
            for name, way in timed.items():
                started = time.perf_counter()
                way()
                if turn:
                    seconds.setdefault(name, []).append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    results = {
        name: {"median_seconds": medians[name], "n": len(values), "ratio_to_bare": medians[name] / medians["bare"]}
        for name, values in seconds.items()
    }
    for name, row in results.items():
        print(f"{name:9} {row['median_seconds']:.3f} s, {row['ratio_to_bare']:.3f} of bare (n = {row['n']})")
    write_section(output, "throughput", {**settings_of(given), "examples_read": len(texts)}, results)


if __name__ == "__main__":
    main()
