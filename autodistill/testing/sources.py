"""Tiny data in the layouts of published data sets: GLUE, SQuAD and corpora, made of the tiny task's words.

For tests of data sources, evaluators and presets; `autodistill.testing.tiny.write_tiny_teacher` knows all the words.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from autodistill.data.glue_tasks import TASKS
from autodistill.testing.tiny import CLUES, FILLERS

#: Every word of the tiny teacher's vocabulary.
VOCABULARY = (*(word for words in CLUES.values() for word in words), *FILLERS)


def _sentence(rng: np.random.Generator, words: int = 8) -> str:
    return " ".join(map(str, rng.choice(VOCABULARY, size=words)))


def write_tiny_glue(root: Path, task: str, train: int = 120, test: int = 40, seed: int = 0) -> Path:
    """Write the official files of one task of GLUE; the label follows from the first text's first word.

    Args:
        root: gets a folder named as the task's official one.
        task: name of the task.
        train: examples of the training file.
        test: examples of each dev file.
        seed: of the texts.

    Returns:
        ``root``.
    """
    layout = TASKS[task]
    folder = root / layout.folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    header = list(layout.header) or ["index", *layout.texts, layout.label]
    for stem, rows in (("train", train), *((stem, test) for _, stem in layout.tests)):
        lines = [] if layout.header else ["\t".join(header)]
        for index in range(rows):
            texts = [_sentence(rng) for _ in layout.texts]
            place = VOCABULARY.index(texts[0].split()[0])
            values = layout.values or layout.classes
            label = values[place % len(values)] if values else f"{place % 11 / 2:.3f}"
            known = {"index": str(index), **dict(zip(layout.texts, texts, strict=True)), layout.label: label}
            lines.append("\t".join(known.get(column, "-") for column in header))
        (folder / f"{stem}.tsv").write_text("\n".join(lines) + "\n")
    return root


def write_tiny_squad(path: Path, paragraphs: int = 30, seed: int = 0, impossible: bool = False) -> Path:
    """Write a file in the layout of SQuAD: the answer is the word after the one that is asked for.

    Args:
        path: of the JSON file.
        paragraphs: with two questions each.
        seed: of the texts; it is part of the questions' ids.
        impossible: whether every other question has no answer (version 2.0).

    Returns:
        ``path``.
    """
    rng = np.random.default_rng(seed)
    found = []
    for number in range(paragraphs):
        words = list(map(str, rng.permutation(VOCABULARY)[:24]))
        questions: list[dict[str, Any]] = []
        for place in map(int, rng.choice(23, size=2, replace=False)):
            start = len(" ".join(words[: place + 1])) + 1
            answers = [{"text": words[place + 1], "answer_start": start}]
            unanswerable = impossible and len(questions) % 2 == 1
            questions.append(
                {
                    "id": f"q{seed}-{number}-{place}",
                    "question": words[place],
                    "answers": [] if unanswerable else answers,
                    **({"is_impossible": unanswerable} if impossible else {}),
                }
            )
        found.append({"context": " ".join(words), "qas": questions})
    version = "2.0" if impossible else "1.1"
    path.write_text(json.dumps({"version": version, "data": [{"title": "words", "paragraphs": found}]}))
    return path


def write_tiny_corpus(path: Path, documents: int = 200, seed: int = 0) -> Path:
    """Write a text file: one to four lines per document, an empty line between documents.

    Args:
        path: of the file.
        documents: how many.
        seed: of the texts.

    Returns:
        ``path``.
    """
    rng = np.random.default_rng(seed)
    texts = [
        "\n".join(_sentence(rng, int(rng.integers(5, 15))) for _ in range(rng.integers(1, 5))) for _ in range(documents)
    ]
    path.write_text("\n\n".join(texts) + "\n")
    return path
