"""Answers of a model on a whole split, and what they are compared with.

What the rows of an answer are depends on the kind of task; see `autodistill.components.outcome.Predictions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from autodistill.evaluators.spans import best_span
from autodistill.losses.masking import TOKEN_KINDS, counted_tokens
from autodistill.training.batches import columns_of, evaluating, on_device
from autodistill.training.devices import placed
from autodistill.training.features import forward_features
from autodistill.training.health import give_back_memory, halved
from autodistill.training.softened import logits_of
from autodistill.training.tokenised import StoredSplit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch
    from autodistill.training.tokenised import TokenisedSplit

#: Logits of a batch at most, 4 bytes each: a vocabulary's worth for every token fills memory quickly.
MOST_LOGITS = 64_000_000


def predict(
    model: PreTrainedModel, split: TokenisedSplit, batch_size: int = 64, device: str | torch.device = "cpu"
) -> NDArray[np.float32]:
    """Return the answers for every row, in the split's order.

    Examples of like length share a batch, so that little is padded. The model runs in evaluation mode on ``device``
    and is given back in its mode, on its device. Where memory runs out, batches are halved.

    Args:
        model: with logits.
        split: what to answer.
        batch_size: examples per forward pass; fewer where a model has many logits per example.
        device: where to run.

    Returns:
        ``rows x columns``, float32; see `autodistill.components.outcome.Predictions`.

    Raises:
        OutOfMemoryTrialError: memory does not suffice for one example at a time.
    """
    batch_size = _fitting(model, split, batch_size)
    while True:
        try:
            return _predict(model, split, batch_size, device)
        except Exception as error:
            batch_size = halved(batch_size, error, "a model answered")
        give_back_memory()


def _predict(
    model: PreTrainedModel, split: TokenisedSplit, batch_size: int, device: str | torch.device
) -> NDArray[np.float32]:
    if not len(split) and split.kind != "question_answering":
        return np.empty((0, int(model.config.num_labels)), dtype=np.float32)

    order = _by_length(split, batch_size)

    def answers() -> Iterator[list[NDArray[np.float32]]]:
        key = logits_of(split.kind)
        for rows in order:
            batch = on_device(split.batch(rows), torch.device(device))
            logits = forward_features(model, batch, frozenset({key}))[key]
            yield _rows(split.kind, logits.float(), batch)

    # Moved outside of inference mode: weights that move within it could not be trained or exported any more.
    with placed(model, device), evaluating(model), torch.inference_mode():
        return _in_order(split, order, answers())


def predict_elsewhere(
    answer: Callable[[Iterable[Mapping[str, NDArray[np.int64]]]], Iterable[NDArray[np.float32]]],
    split: TokenisedSplit,
    batch_size: int,
) -> NDArray[np.float32]:
    """The same, of a model that another process holds.

    Args:
        answer: batches, column -> ``batch x tokens``, -> the outputs of its head for each of them.
        split: what to answer; not empty, and not of kind ``mlm``, whose outputs would fill the memory.
        batch_size: examples per batch.
    """
    order = _by_length(split, batch_size)
    batches = [split.batch(rows) for rows in order]
    outputs = answer(columns_of(batch) for batch in batches)
    answers = (_rows(split.kind, torch.from_numpy(one), batch) for one, batch in zip(outputs, batches, strict=True))
    return _in_order(split, order, answers)


def _by_length(split: TokenisedSplit, batch_size: int) -> list[NDArray[np.int64]]:
    """Rows of every batch; longest first: lack of memory shows at once."""
    order = np.argsort(-split.lengths, kind="stable").astype(np.int64)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _in_order(
    split: TokenisedSplit, order: Sequence[NDArray[np.int64]], answers: Iterable[list[NDArray[np.float32]]]
) -> NDArray[np.float32]:
    """The answers of every batch, each of the rows that ``order`` says, as `predict` returns them."""
    in_order: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)] * len(split)
    for rows, answered in zip(order, answers, strict=True):
        for place, answer in zip(rows, answered, strict=True):
            in_order[place] = answer
    if isinstance(split, StoredSplit) and split.kind == "question_answering":
        return _spans(split, in_order)
    return np.concatenate(in_order) if split.kind in TOKEN_KINDS else np.stack(in_order)


def _fitting(model: PreTrainedModel, split: TokenisedSplit, batch_size: int) -> int:
    """``batch_size``, or what a vocabulary of logits for every token leaves of it."""
    if split.kind != "mlm" or not len(split):
        return batch_size
    return max(1, min(batch_size, MOST_LOGITS // (int(split.lengths.max()) * int(model.config.vocab_size))))


def _rows(kind: str, logits: Tensor, batch: Batch) -> list[NDArray[np.float32]]:
    """The answers of a batch, example by example; of a masked language model ``logits`` are those of masked tokens."""
    if kind == "question_answering":
        lengths = batch.attention_mask.sum(dim=1).tolist()
        return [one[:length] for one, length in zip(logits.cpu().numpy(), lengths, strict=True)]
    if kind not in TOKEN_KINDS:
        return list(logits.cpu().numpy())
    counted = counted_tokens(batch)
    chosen = _masked_scores(logits, batch.labels, counted) if kind == "mlm" else logits[counted]
    return list(np.split(chosen.cpu().numpy(), np.cumsum(counted.sum(dim=1).cpu().numpy())[:-1]))


def _masked_scores(logits: Tensor, labels: Tensor | None, counted: Tensor) -> Tensor:
    """Loss in nats and correctness of each masked token: ``masked x 2``."""
    truth = labels[counted] if labels is not None else logits.argmax(dim=-1)
    loss = torch.nn.functional.cross_entropy(logits, truth, reduction="none")
    return torch.stack([loss, (logits.argmax(dim=-1) == truth).float()], dim=1)


def _spans(split: StoredSplit, windows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One span per question out of its windows: ``questions x 4``."""
    questions: dict[int, list[tuple[Any, Any]]] = {}
    for window, (owner, logits) in enumerate(zip(split.owners.tolist(), windows, strict=True)):
        questions.setdefault(owner, []).append((logits, split.offsets(window)))
    spans = (best_span(questions[owner]) for owner in sorted(questions))
    return np.array([(one.start, one.stop, one.score, one.null) for one in spans], dtype=np.float32).reshape(-1, 4)


@dataclass(frozen=True)
class Targets:
    """What the rows of a split's predictions are compared with.

    Args:
        labels: one per row; None without labels, and for questions, whose answers are texts.
        owners: rows: the example of each; None where rows are examples.
    """

    labels: NDArray[Any] | None
    owners: NDArray[np.int64] | None


def targets_of(split: TokenisedSplit) -> Targets:
    """Labels and owners of the rows that `predict` answers for."""
    if split.kind not in TOKEN_KINDS:
        known = None if split.labels is None or split.kind == "question_answering" else np.asarray(split.labels)
        return Targets(known, None)
    owners, labels = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    unlabelled = False
    for start in range(0, len(split), 256):  # 256: a batch without a model
        rows = np.arange(start, min(start + 256, len(split)), dtype=np.int64)
        batch = split.batch(rows)
        counted = counted_tokens(batch)
        owners.append(np.repeat(rows, counted.sum(dim=1).numpy()))
        unlabelled = batch.labels is None
        if batch.labels is not None:
            labels.append(batch.labels[counted].numpy())
    return Targets(None if unlabelled else np.concatenate(labels), np.concatenate(owners))
