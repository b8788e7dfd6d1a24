"""From rows of a data set to tokens and labels, one chunk at a time, for every kind of task with examples of its own.

What is written where is in `autodistill.training.tokenised`; masked language models are in `.packed`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from autodistill.components.task import IGNORED, TaskSpec
from autodistill.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Chunk: TypeAlias = "Mapping[str, list[Any]]"

#: Segments (token types) of BERT.
SEGMENTS = 2

#: Tokens of a question at most, as in BERT's own run_squad.py (its max_query_length).
QUESTION_TOKENS = 64

#: First and last token of an answer that is not there: the first token of a window, which is no text.
NO_ANSWER = (0, 0)


@dataclass
class Encoded:
    """Some examples (of question answering: windows) as tokens.

    Args:
        ids: one per row, unique.
        input_ids: tokens of each row.
        token_type_ids: as long.
        labels: one per row, as the table in `TaskSpec` says but with class ids still in lists; empty without labels.
        token_labels: one list per row, as long as its tokens; empty unless the task labels tokens.
        offsets: first and last character of each token's text in the context, -1 outside; questions only.
        owners: the row of the data set that a row belongs to; questions only.
        truncated: examples that were cut.
        words: of all rows, where words are labelled.
        unscored: of these, words without a token, which no model can answer for: beyond the longest allowed length, or
            nothing to the tokeniser.
        unheld: answered questions whose answer no window holds, so that they are learnt as if they had none.
    """

    ids: list[str]
    input_ids: list[list[int]]
    token_type_ids: list[list[int]]
    labels: list[Any] = field(default_factory=list)
    token_labels: list[list[int]] = field(default_factory=list)
    offsets: list[list[tuple[int, int]]] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    truncated: int = 0
    words: int = 0
    unscored: int = 0
    unheld: int = 0


def encode(
    tokenizer: PreTrainedTokenizerBase, chunk: Chunk, task: TaskSpec, max_length: int, first_row: int = 0
) -> Encoded:
    """Encode some rows of a data set, unpadded.

    Args:
        tokenizer: the teacher's.
        chunk: column -> values.
        task: what the columns mean.
        max_length: tokens per row at most, special tokens included.
        first_row: of the chunk in its data set.

    Raises:
        ConfigError: the tokeniser or the lengths do not allow it.
        DataError: a column is missing or a value is not what it should be.
    """
    if task.kind == "token_classification":
        return _encode_words(tokenizer, chunk, task, max_length)
    if task.kind == "question_answering":
        return _encode_questions(tokenizer, chunk, task, max_length, first_row)
    encoded = _tokens(tokenizer, texts_of(chunk, task), max_length)
    return Encoded(
        ids=[str(value) for value in chunk["id"]],
        input_ids=encoded["input_ids"],
        token_type_ids=encoded["token_type_ids"],
        labels=list(_column(chunk, "label")) if labelled(task, chunk) else [],
        truncated=_truncated(tokenizer, texts_of(chunk, task), encoded["input_ids"], max_length),
    )


def labelled(task: TaskSpec, columns: Collection[str]) -> bool:
    """Whether a split has labels: a label-free task may have a labelled test split."""
    return "label" in columns if task.label_free else task.kind not in ("embedding", "mlm")


def texts_of(chunk: Chunk, task: TaskSpec) -> list[list[Any]]:
    """The text columns of a chunk, checked.

    Raises:
        DataError: a column is missing or a value is no text (no list of words for token classification).
    """
    words = task.kind == "token_classification"
    columns = []
    for name in task.text_columns:
        values = _column(chunk, name)
        for row, value in zip(chunk["id"], values, strict=True):
            if words and not (isinstance(value, list) and all(isinstance(word, str) for word in value)):
                raise DataError(f"Column {name!r} of example {row!r} must be a list of words, got {value!r}.")
            if not words and not isinstance(value, str):
                raise DataError(f"Column {name!r} of example {row!r} must be text, got {type(value).__name__}.")
        columns.append(values)
    return columns


def _column(chunk: Chunk, name: str) -> list[Any]:
    if name not in chunk:
        raise DataError(f"Column {name!r} is missing; the data has {', '.join(sorted(chunk))}.")
    return chunk[name]


def _tokens(
    tokenizer: PreTrainedTokenizerBase, columns: Sequence[list[Any]], max_length: int | None, **options: Any
) -> Any:
    """Encode, unpadded; ``max_length`` None means whole."""
    return tokenizer(
        *columns,
        truncation=options.pop("truncation", max_length is not None),
        max_length=max_length,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=True,
        verbose=False,  # "longer than the model's maximum": that is what truncation is for
        **options,
    )


def _truncated(
    tokenizer: PreTrainedTokenizerBase,
    columns: Sequence[list[Any]],
    encoded: list[list[int]],
    max_length: int,
    **options: Any,
) -> int:
    """How many examples of a chunk were cut: those of full length are encoded again, whole."""
    full = [index for index, tokens in enumerate(encoded) if len(tokens) >= max_length]
    if not full:
        return 0
    rows = [[values[index] for index in full] for values in columns]
    return sum(len(tokens) > max_length for tokens in _tokens(tokenizer, rows, None, **options)["input_ids"])


# -- token classification --------------------------------------------------------------------------------------------


def _encode_words(tokenizer: PreTrainedTokenizerBase, chunk: Chunk, task: TaskSpec, max_length: int) -> Encoded:
    """Words with a label each; the first piece of a word carries it."""
    _need_fast(tokenizer, "token classification")
    words = texts_of(chunk, task)
    encoded = _tokens(tokenizer, words, max_length, is_split_into_words=True)
    answered = sum(len({word for word in encoded.word_ids(row) if word is not None}) for row in range(len(words[0])))
    total = sum(map(len, words[0]))
    token_labels = []
    for row, labels in enumerate(_column(chunk, "label") if labelled(task, chunk) else []):
        if len(labels) != len(words[0][row]):
            raise DataError(f"Example {chunk['id'][row]!r} has {len(words[0][row])} words but {len(labels)} labels.")
        token_labels.append(_first_pieces(encoded.word_ids(row), labels))
    return Encoded(
        ids=[str(value) for value in chunk["id"]],
        input_ids=encoded["input_ids"],
        token_type_ids=encoded["token_type_ids"],
        token_labels=token_labels,
        truncated=_truncated(tokenizer, words, encoded["input_ids"], max_length, is_split_into_words=True),
        words=total,
        unscored=total - answered,
    )


def _first_pieces(words: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    """The label of each token: its word's for a word's first piece, else `IGNORED`."""
    previous: int | None = None
    found = []
    for word in words:
        found.append(IGNORED if word is None or word == previous else int(labels[word]))
        previous = word
    return found


# -- question answering ----------------------------------------------------------------------------------------------


def _encode_questions(
    tokenizer: PreTrainedTokenizerBase, chunk: Chunk, task: TaskSpec, max_length: int, first_row: int
) -> Encoded:
    """Windows over the contexts, each after its question; neighbours share ``task.stride`` tokens."""
    _need_fast(tokenizer, "question answering")
    questions, contexts = texts_of(chunk, task)
    questions, cut = _short_questions(tokenizer, questions, task, max_length)
    encoded = _tokens(
        tokenizer,
        [questions, contexts],
        max_length,
        truncation="only_second",
        stride=task.stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    found = Encoded([], encoded["input_ids"], encoded["token_type_ids"], truncated=cut)
    answers = _column(chunk, "answers") if not task.label_free else None
    numbers: dict[int, int] = {}
    unheld = {row for row, item in enumerate(answers or ()) if item["start"]}
    for window, row in enumerate(encoded["overflow_to_sample_mapping"]):
        number = numbers[row] = numbers.get(row, -1) + 1
        found.ids.append(f"{chunk['id'][row]}:{number}")
        found.owners.append(first_row + row)
        places = [
            (int(start), int(stop)) if sequence == 1 else (-1, -1)
            for (start, stop), sequence in zip(
                encoded["offset_mapping"][window], encoded.sequence_ids(window), strict=True
            )
        ]
        found.offsets.append(places)
        if answers is not None:
            found.labels.append(answer_tokens(places, answers[row]))
            if found.labels[-1] != NO_ANSWER:
                unheld.discard(row)
    found.unheld = len(unheld)
    return found


def answer_tokens(places: Sequence[tuple[int, int]], answers: Mapping[str, Sequence[Any]]) -> tuple[int, int]:
    """First and last token of the first answer in a window.

    Args:
        places: first and last character (excluded) of each token in the context; -1 outside it.
        answers: ``text`` and ``start`` (characters of the context).

    Returns:
        `NO_ANSWER` when there is none or the window does not hold all of it.
    """
    if not answers["start"]:
        return NO_ANSWER
    text = str(answers["text"][0])
    start = int(answers["start"][0]) + len(text) - len(text.lstrip())
    stop = start + len(text.strip())
    shown = [index for index, (first, _) in enumerate(places) if first >= 0]
    inside = [index for index in shown if places[index][0] < stop and places[index][1] > start]
    # What no token covers at an end, such as a space, is not missing; what another window has is.
    if not inside or places[shown[0]][0] > start or places[shown[-1]][1] < stop:
        return NO_ANSWER
    return inside[0], inside[-1]


def _short_questions(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[str], task: TaskSpec, max_length: int
) -> tuple[list[str], int]:
    """Questions cut to `QUESTION_TOKENS`, or to what leaves room for the context, and how many were cut."""
    taken = tokenizer.num_special_tokens_to_add(pair=True) + 1  # a window moves by one token at least
    limit = min(QUESTION_TOKENS, max_length // 2, max_length - task.stride - taken)
    if limit < 1:
        most = min(max_length // 4, max_length - taken - 1)
        raise ConfigError(
            f"data.stride={task.stride} leaves no room for a question in data.max_length={max_length} tokens, "
            f"{taken - 1} of them special ones. Give "
            + (f"data.stride={most} or less." if most >= 0 else "a larger data.max_length.")
        )
    encoded = tokenizer(list(questions), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    short, cut = [], 0
    for question, places in zip(questions, encoded["offset_mapping"], strict=True):
        cut += len(places) > limit
        # Leading white space made some recorded questions longer than their window in run_squad.py.
        short.append(question.strip() if len(places) <= limit else question[: places[limit - 1][1]].strip())
    return short, cut


def _need_fast(tokenizer: PreTrainedTokenizerBase, what: str) -> None:
    if not tokenizer.is_fast:
        raise ConfigError(
            f"{what.capitalize()} needs a fast tokeniser, which knows where in the text a token stands, and the "
            f"teacher's {type(tokenizer).__name__} is not one. Put its tokenizer.json beside the teacher's weights."
        )
