"""A tiny task and a tiny teacher: a whole study in seconds, for tests of plugins and of AutoDistill itself.

The texts are made of a few words per class and words that mean nothing; a bag of words solves the task. The teacher
is a BERT of two layers with random weights that learns it in a second or two.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

#: Classes of the tiny task and the words that give them away.
CLUES = {"animal": ("cat", "dog", "horse"), "colour": ("red", "green", "blue"), "number": ("one", "two", "three")}

#: Words that say nothing about the class.
FILLERS = tuple(f"w{index}" for index in range(40))


def write_tiny_task(directory: Path, train: int = 240, test: int = 120, seed: int = 0) -> tuple[Path, Path]:
    """Write ``train.tsv`` and ``test.tsv`` with the columns ``text`` and ``label``.

    Args:
        directory: made if need be.
        train: examples in the training file.
        test: examples in the test file.
        seed: of the texts.

    Returns:
        Paths of both files.
    """
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = (directory / "train.tsv", directory / "test.tsv")
    for path, rows in zip(paths, (train, test), strict=True):
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(["text", "label"])
            for _ in range(rows):
                label = str(rng.choice(list(CLUES)))
                words = [*rng.choice(FILLERS, size=int(rng.integers(3, 12))), str(rng.choice(CLUES[label]))]
                rng.shuffle(words)
                writer.writerow([" ".join(map(str, words)), label])
    return paths


def write_tiny_teacher(directory: Path, layers: int = 2, hidden: int = 32, seed: int = 0) -> Path:
    """Write a BERT without a task's head: config, safetensors and tokeniser, as a model hub would hold it.

    Args:
        directory: made if need be.
        layers: transformer blocks.
        hidden: width; heads are 4, the feed-forward width is twice this.
        seed: of the weights.

    Returns:
        ``directory``.
    """
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    directory.mkdir(parents=True, exist_ok=True)
    words = [*(word for words in CLUES.values() for word in words), *FILLERS]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tokenizer = BertTokenizerFast(str(directory / "vocab.txt"), model_max_length=64)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def tiny_overrides(directory: Path) -> list[str]:
    """Write task and teacher below ``directory`` and return overrides of a study on them.

    The study takes seconds: six architectures at most, a hundred steps or so in all; latency is measured by
    ``torch`` unless the caller chooses otherwise.
    """
    train, test = write_tiny_task(directory / "data")
    teacher = write_tiny_teacher(directory / "teacher")
    return [
        "data=text_classification",
        "teacher=huggingface",  # components anew, in case an experiment has chosen presets
        "student=bert",
        "schedule=one_phase",
        "loss=[logits_kl]",
        f"data.train={train}",
        f"data.test={test}",
        "data.max_length=32",
        f"teacher.path={teacher}",
        "teacher.fine_tune_epochs=6",
        "teacher.fine_tune_lr=3e-3",
        "student.space={num_layers: [1, 2], hidden_size: [32], num_heads: [4], intermediate_size: [16, 32, 64]}",
        "schedule.examples=640",
        "schedule.flash_fidelity=0.25",
        "schedule.lr=3e-3",
        "schedule.scale_lr=false",  # the families' references are far above these sizes
        "search=random",
        "trainer.threads=1",  # the models are too small for more
        "budget.trials=3",
        "picks.max=1",
        f"output_dir={directory / 'outputs'}",
    ]
