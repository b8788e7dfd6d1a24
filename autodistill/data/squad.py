"""The data source `squad`: extractive question answering from the official JSON of SQuAD 1.1 and 2.0, or the hub.

Windows over long contexts are made when the data is tokenised (`autodistill.training.encoding`); scores are the
evaluator's. The dev set is ``test``; ``select`` is carved from train, whole paragraphs at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autodistill.components.task import OF, DataContext, TaskData, TaskSpec
from autodistill.data.assembling import Carving, Example, assemble
from autodistill.data.hub import load_from_hub
from autodistill.data.tables import check_characters, count_one, opened_text, reading_errors
from autodistill.errors import DataError

#: Part of every fingerprint; raise it when reading or carving changes.
FORMAT = "squad/1"

#: What is counted of training questions.
DROPPED = "dropped_answers_not_in_context"

#: Version -> data set on the hub.
HUB_NAMES = {"1.1": "rajpurkar/squad", "2.0": "rajpurkar/squad_v2"}


class Squad:
    """Questions about paragraphs; the answer is a piece of the paragraph, or (2.0) there is none.

    Args:
        context: says whether a model is scored, for which ``test`` alone will do.
        version: ``"1.1"`` or ``"2.0"``.
        train: path of the official training file, also .gz; None reads from the hub.
        test: path of the official dev file; None reads from the hub, or has no test when ``train`` is a file.
        allow_hub: whether the hub may be asked.
        revision: of the data set on the hub.
        stride: tokens of the context that neighbouring windows share.
        select_share: share of train that becomes select.
        select_max: questions of select at most.
        train_limit: training questions at most; None keeps all.
        max_length: tokens per window at most.
    """

    def __init__(
        self,
        context: DataContext,
        *,
        version: str,
        train: str | None,
        test: str | None,
        allow_hub: bool,
        revision: str | None,
        stride: int,
        select_share: float,
        select_max: int,
        train_limit: int | None,
        max_length: int,
    ) -> None:
        self.max_length = max_length
        self._version = version
        self._paths = {"train": train, "test": test}
        self._is_scored = context.model_classes is not None
        self._allow_hub, self._revision = allow_hub, revision
        self._stride = stride
        self._carving = Carving(select_share, select_max, train_limit)
        self._notes = {DROPPED: 0}

    def load(self) -> TaskData:
        """Read both files, check the answers, and carve select.

        Raises:
            DataError: a file is not what the official layout says; names the place in it.
        """
        local = self._paths["train"] is not None or (self._is_scored and self._paths["test"] is not None)
        roles = [role for role in ("train", "test") if self._paths[role] is not None or not local]
        splits = {role: list(self._examples(role)) for role in roles}
        for role, examples in splits.items():
            if not examples:
                raise DataError(f"data.{role}: {self._source(role)} has no questions.")
        task = TaskSpec(
            "question_answering",
            (),
            ("question", "context"),
            "squad.f1",
            benchmark=f"squad/{self._version}",
            stride=self._stride,
        )
        where = self._source("train")
        return assemble(task, splits, self._carving, version=FORMAT, where=where, notes=self._notes)

    def _source(self, role: str) -> str:
        return self._paths[role] or HUB_NAMES[self._version]

    def _examples(self, role: str) -> Iterator[Example]:
        path = self._paths[role]
        raw = self._from_hub(role) if path is None else read_squad(Path(path).expanduser(), f"data.{role}")
        places: dict[str, str] = {}
        for where, example in raw:
            if (first := places.setdefault(example["id"], where)) != where:
                raise DataError(
                    f"{where}: the question id {example['id']!r} stands in {first} too. Ids must be unique."
                )
            if self._version == "1.1" and not example["answers"]["text"]:
                raise DataError(f"{where}: the question {example['id']!r} has no answer. Set data.version=2.0.")
            if role == "train":
                count_one(self._notes, DROPPED + OF)
                if not self._matches(example):
                    count_one(self._notes, DROPPED)
                    continue
            yield example

    def _matches(self, example: Example) -> bool:
        """Whether the answer that is trained on stands in the context where it should; run_squad.py skips others."""
        text, start = example["answers"]["text"], example["answers"]["start"]
        if not text:
            return True
        # From -10 on Python would take the text ten characters before the end.
        return start[0] >= 0 and bool(text[0].strip()) and example["context"].startswith(text[0], start[0])

    def _from_hub(self, role: str) -> Iterator[tuple[str, Example]]:
        split = {"train": "train", "test": "validation"}[role]
        name = HUB_NAMES[self._version]
        for index, row in enumerate(load_from_hub(name, None, split, self._allow_hub, self._revision, "data.train")):
            where = f"{name}, {split}, row {index + 1}"
            answers = {"text": list(row["answers"]["text"]), "start": list(row["answers"]["answer_start"])}
            texts = {column: _field(where, row, column, str) for column in ("id", "question", "context")}
            yield where, {**texts, "answers": answers}


def read_squad(path: Path, key: str) -> Iterator[tuple[str, Example]]:
    """Read an official file.

    Args:
        path: JSON, unzipped if its name ends in .gz.
        key: the configuration key that named it, for messages.

    Yields:
        Where a question stands, and the example.

    Raises:
        DataError: no such file, no JSON, or another structure.
    """
    with reading_errors(path, key), opened_text(path, key) as file:
        content = file.read()
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:  # the latter: nested more deeply than Python's parser goes
        raise DataError(f"{key}: {path} is not JSON ({error}).") from error
    articles = _field(f"{key}: {path}", data, "data", list)
    for number, article in enumerate(articles, start=1):
        for place, paragraph in enumerate(_field(f"{key}: {path}, article {number}", article, "paragraphs", list), 1):
            yield from _paragraph(f"{key}: {path}, article {number}, paragraph {place}", paragraph)


def _paragraph(where: str, paragraph: Any) -> Iterator[tuple[str, Example]]:
    context = _field(where, paragraph, "context", str)
    for number, question in enumerate(_field(where, paragraph, "qas", list), start=1):
        here = f"{where}, question {number}"
        impossible = question.get("is_impossible") if isinstance(question, dict) else None
        if not isinstance(impossible, bool | None):
            raise DataError(f"{here}: expected 'is_impossible' to be true or false, got {impossible!r:.80}.")
        if impossible and question.get("answers"):
            raise DataError(f"{here}: 'is_impossible' is true, but there are answers. Correct one of them.")
        answers = [] if impossible else _field(here, question, "answers", list)
        yield (
            here,
            {
                "id": _field(here, question, "id", str),
                "question": _field(here, question, "question", str),
                "context": context,
                "answers": {
                    "text": [_field(here, answer, "text", str) for answer in answers],
                    "start": [_field(here, answer, "answer_start", int) for answer in answers],
                },
            },
        )


def _field(where: str, record: Any, name: str, kind: type[Any]) -> Any:
    """A field of an object, of the type that the official layout gives it."""
    if not isinstance(record, Mapping) or not isinstance(record.get(name), kind) or isinstance(record[name], bool):
        raise DataError(f"{where}: expected {name!r} ({kind.__name__}), as in the official files of SQuAD.")
    if kind is str:
        check_characters(record[name], lambda: f"{where}: {name!r}")
    return record[name]
