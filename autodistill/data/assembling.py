"""From examples of roles to a `TaskData`: select carved from train, a limit, ids, counts and a fingerprint.

What all data sources of ready-made examples share; reading them is their own matter.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import datasets

from autodistill.components.task import TaskData, TaskSpec
from autodistill.data.splits import carve, fingerprint_of, normalised, stable_hash
from autodistill.errors import DataError

Example: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True, slots=True)
class Carving:
    """How ``select`` and a smaller ``train`` are made.

    Args:
        share: of train that becomes select when there is none, in (0, 1).
        maximum: examples of select at most.
        train_limit: examples of train at most, chosen by a stable hash after carving; None keeps all.
    """

    share: float
    maximum: int
    train_limit: int | None


def assemble(
    task: TaskSpec,
    splits: Mapping[str, list[Example]],
    carving: Carving,
    *,
    version: str,
    where: str,
    notes: Mapping[str, Any] | None = None,
) -> TaskData:
    """Carve, limit, count and fingerprint.

    Args:
        task: what is to be learnt.
        splits: role -> examples with ``id`` and the task's columns; ``train`` at least, or ``test`` alone.
        carving: how select is made.
        version: of the reader, part of the fingerprint.
        where: the file or data set of train, for messages.
        notes: counts of the reader.

    Raises:
        DataError: train is too small to carve a select split from it, or an id stands twice in a split.
    """
    found = dict(splits)
    counts: dict[str, Any] = dict(notes or {})
    for role, examples in found.items():
        check_unique(role, examples)
    if "train" in found:  # else a model is scored, and nothing is chosen or trained
        if "select" not in found:
            found["train"], found["select"], carved = _carved(task, found["train"], carving, where)
            counts |= carved
        found["train"] = _limited(found["train"], carving.train_limit)
        counts |= _without_examples(task, found["train"])
    counts |= {f"{role}_examples": len(examples) for role, examples in found.items()}
    counts |= _empty(task, found)
    data = {role: datasets.Dataset.from_list(examples) for role, examples in found.items()}
    fingerprints = {role: _fingerprint(version, task, role, examples) for role, examples in sorted(found.items())}
    return TaskData(task, data, fingerprint_of([*fingerprints.values()]), counts, fingerprints)


def check_unique(role: str, examples: Sequence[Mapping[str, Any]]) -> None:
    """Raise `DataError` when two examples of a split have the same id."""
    seen: set[str] = set()
    for example in examples:
        if example["id"] in seen:
            raise DataError(f"data: the id {example['id']!r} stands twice in the {role} split. Ids must be unique.")
        seen.add(example["id"])


def text_of(task: TaskSpec, example: Mapping[str, Any]) -> str:
    """All texts of an example as one; lists of words are joined."""
    return "\n".join(_texts(task, example))


def in_either_order(task: TaskSpec, example: Mapping[str, Any]) -> str:
    """The texts of an example, normalised: the same for a pair and for the pair the other way round."""
    return "\n".join(sorted(map(normalised, _texts(task, example))))


def _texts(task: TaskSpec, example: Mapping[str, Any]) -> list[str]:
    parts = [example[column] for column in task.text_columns]
    return [part if isinstance(part, str) else " ".join(part) for part in parts]


def _carved(
    task: TaskSpec, examples: list[Example], carving: Carving, where: str
) -> tuple[list[Example], list[Example], dict[str, int]]:
    """What stays in train, the select split with ids of its own, and what was counted."""
    target = min(carving.maximum, round(carving.share * len(examples)))
    # Questions about one context belong together.
    key = "context" if task.kind == "question_answering" else None
    texts = [example[key] if key else text_of(task, example) for example in examples]
    paired = not key and len(task.text_columns) > 1  # of single texts nothing else is the same
    carved = carve(texts, target, [in_either_order(task, example) for example in examples] if paired else None)
    numbered = all(example["id"] == f"train-{place}" for place, example in enumerate(examples))
    train = [example for example, taken in zip(examples, carved.taken, strict=True) if not taken]
    select = [example for example, taken in zip(examples, carved.taken, strict=True) if taken]
    if not train or not select:
        raise DataError(
            f"data.train: {where} with {len(examples)} examples cannot be split into train and select with "
            f"data.select_share={carving.share:g}: select may have {target}, and up to {carved.largest} are "
            "near-duplicates of each other, of which the same texts stay together. Give more examples, another share "
            "or select examples of your own (data.select)."
        )
    if numbered:  # not the user's own ids: they say which split an example is in
        select = [example | {"id": f"select-{example['id'].removeprefix('train-')}"} for example in select]
    counts = {
        "carved_select": len(select),
        "asked_select": target,
        "largest_near_duplicates": carved.largest,
        "divided_near_duplicates": carved.divided,
    }
    return train, select, counts


def _limited(examples: list[Example], limit: int | None) -> list[Example]:
    if limit is None or len(examples) <= limit:
        return examples
    kept = heapq.nsmallest(limit, examples, key=lambda example: stable_hash(example["id"]))
    ids = {example["id"] for example in kept}
    return [example for example in examples if example["id"] in ids]


def _without_examples(task: TaskSpec, train: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many classes no training example has, if any: rare ones may all be carved, or beyond ``train_limit``."""
    if task.label_free or task.kind not in ("classification", "token_classification"):
        return {}
    met: set[int] = set()
    for example in train:
        labels = example["label"]
        met.update(labels if isinstance(labels, list) else [labels])
    unseen = len(task.labels) - len(met)
    return {"classes_without_training_examples": unseen, "classes": len(task.labels)} if unseen else {}


def _empty(task: TaskSpec, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    """How many examples have no text at all, for the splits that have such."""
    counts = {
        f"{role}_empty_texts": sum(not text_of(task, example).strip() for example in examples)
        for role, examples in splits.items()
    }
    return {name: count for name, count in counts.items() if count}


def _fingerprint(version: str, task: TaskSpec, role: str, examples: Sequence[Mapping[str, Any]]) -> str:
    """A digest of every example of a split, whatever file it came from."""
    return fingerprint_of([version, role, *task.labels], *([*example.items()] for example in examples))
