"""Augmentation: training examples that the teacher labels in other words, for tasks with little text.

Every example stands in the stream as it is and in a fixed number of changed forms, so that the teacher's features of
all of them can be computed once. A form is a pure function of (fingerprint of the split, seed, row number).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch

from autodistill.errors import ConfigError
from autodistill.training.seeds import derive_seed, uniform
from autodistill.training.tokenised import StoredSplit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from autodistill.components.training import Batch
    from autodistill.training.tokenised import TokenisedSplit

    IntArray: TypeAlias = "NDArray[np.int64]"

#: Kinds of task whose answer may be another one when words change, so that the labels would lie.
REFUSED = ("mlm", "question_answering", "token_classification")

#: Draws of a word for a changed token: of texts of eight tokens, two of them special, one in 256 stays as it is.
REDRAWN = 4

#: Part of every fingerprint; another one where texts are changed in another way.
_FORMAT = "redrawn/2"


@dataclass(frozen=True)
class Augmentation:
    """How examples are changed.

    Args:
        kind: ``mask`` shows tokens as the mask token; ``replace`` as other tokens, drawn as often as they stand in the
            training texts. TinyBERT (arXiv 1909.10351) replaces words by likely ones, which takes a second model.
        copies: changed forms of each example, >= 0; 0 = no augmentation.
        share: of the tokens that are changed, special ones never, in (0, 1).
        seed: of the choice.
    """

    kind: Literal["mask", "replace"]
    copies: int
    share: float
    seed: int


@dataclass(frozen=True)
class _Words:
    """What the change needs to know of the tokeniser: special tokens and the mask's id (-1: it has none)."""

    special: tuple[int, ...]
    mask: int


class AugmentedSplit(StoredSplit):
    """A split with changed forms of its examples behind them: row ``r + c * len(split)`` is form c of row r.

    Args:
        directory: of the split.
        pad_token_id: id that fills batches.
        augmentation: how examples are changed.
        words: of the tokeniser.
    """

    def __init__(self, directory: Path, pad_token_id: int, augmentation: Augmentation, words: _Words) -> None:
        super().__init__(directory, pad_token_id)
        self._augmentation = augmentation
        self._words = words
        self._key = derive_seed("augmentation", self.fingerprint, augmentation.seed)
        text = f"{self.fingerprint} {augmentation} {words} {_FORMAT}"
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:24]
        self.copies = 1 + augmentation.copies

    def lengths_of(self, rows: IntArray) -> NDArray[np.int32]:
        """Tokens of each of these rows."""
        return super().lengths_of(rows % max(1, len(self)))

    def batch(self, rows: IntArray) -> Batch:
        """Return examples, padded to the longest of them.

        Args:
            rows: ``batch``, int64: row numbers, below ``len(self) * self.copies``.
        """
        rows = np.asarray(rows, dtype=np.int64)
        plain = super().batch(rows % max(1, len(self)))
        tokens = plain.input_ids.numpy()
        columns = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        chosen = uniform(self._key, rows, columns, 0, 1 + REDRAWN) < self._augmentation.share
        chosen &= plain.attention_mask.numpy() & ~np.isin(tokens, self._words.special) & (rows >= len(self))[:, None]
        changed = np.where(chosen, self._shown(tokens, rows, columns), tokens)
        return replace(plain, input_ids=torch.from_numpy(changed), rows=torch.from_numpy(rows))

    def _shown(self, tokens: IntArray, rows: IntArray, columns: IntArray) -> IntArray:
        """What a changed token is shown as: the mask, or a word as frequent as in the texts.

        Special tokens are drawn again; where that is all that is drawn, the token stays.
        """
        if self._augmentation.kind == "mask":
            return np.full_like(tokens, self._words.mask)
        shown, missing = tokens.copy(), np.ones_like(tokens, dtype=bool)
        for draw in range(1, 1 + REDRAWN):
            numbers = uniform(self._key, rows, columns, draw, 1 + REDRAWN)
            places = (numbers * len(self._tokens)).astype(np.int64)
            drawn = np.asarray(self._tokens[places], dtype=np.int64)
            shown = np.where(missing, drawn, shown)
            missing &= np.isin(drawn, self._words.special)
        return np.where(missing, tokens, shown)

    def __reduce__(self) -> tuple[type[AugmentedSplit], tuple[Path, int, Augmentation, _Words]]:  # type: ignore[override]
        return AugmentedSplit, (self.directory, self.pad_token_id, self._augmentation, self._words)


def augmented(split: TokenisedSplit, augmentation: Augmentation, tokenizer: PreTrainedTokenizerBase) -> TokenisedSplit:
    """Return the split with its changed forms, or as it is without any.

    Raises:
        ConfigError: the task is of a kind whose answers follow single words, or the tokeniser has no mask token.
    """
    if not augmentation.copies:
        return split
    if not isinstance(split, StoredSplit) or split.kind in REFUSED:
        raise ConfigError(
            f"augmentation.copies is {augmentation.copies}, but the answers of a task of kind {split.kind!r} change "
            "with single words. Set augmentation.copies=0."
        )
    mask = tokenizer.mask_token_id
    if augmentation.kind == "mask" and mask is None:
        raise ConfigError(
            "augmentation.kind=mask needs a mask token, and the teacher's tokeniser has none. Use "
            "augmentation.kind=replace."
        )
    words = _Words(tuple(sorted(tokenizer.all_special_ids)), -1 if mask is None else int(mask))
    return AugmentedSplit(split.directory, split.pad_token_id, augmentation, words)
