"""Masked-language-model examples: rows of tokens that were written once, masked anew each time they are read.

What is masked is a pure function of (fingerprint, seed, row), so it depends neither on batches nor on processes, and
the teacher's answers to a masked row can be cached. Writing the rows is in `autodistill.training.packing`.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from autodistill.components.task import IGNORED, Masking
from autodistill.components.training import Batch
from autodistill.data.part_workers import cores, map_parts
from autodistill.errors import ConfigError, DataError
from autodistill.folders import InUse
from autodistill.training.arrays import open_array
from autodistill.training.packing import SMALL_VOCABULARY, Packing, part_directory
from autodistill.training.seeds import derive_seed, uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from autodistill.components.task import TextStream

    IntArray: TypeAlias = "NDArray[np.int64]"

#: Of the tokens that are to be predicted: shown as the mask, shown as another token; the rest is shown as it is
#: (Devlin et al. 2019, arXiv 1810.04805).
SHOWN_AS_MASK, SHOWN_AS_ANOTHER = 0.8, 0.1

#: Rows that are masked at a time when all labels are wanted.
_CHUNK = 1024

#: Of so many rows the place of one among the tokens is kept, and lengths are added up from there: of all rows it would
#: take eight bytes each.
_STRIDE = 64


@dataclass(frozen=True, slots=True)
class RowMasking:
    """How the rows of a split are masked; small, while the rows themselves serve every masking and seed.

    Args:
        fingerprint: of the rows, masked so.
        copies: different maskings of each row.
        seed: of the choice.
        share: of the tokens that are to be predicted.
        mask_token: id of the mask.
        vocabulary: number of tokens, from which other tokens are drawn.
        special: ids that are never predicted.
        continues: ids that continue a word, for whole words; empty: tokens are chosen one by one.
    """

    fingerprint: str
    copies: int
    seed: int
    share: float
    mask_token: int
    vocabulary: int
    special: tuple[int, ...]
    continues: tuple[int, ...]

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, masking: Masking, *, fingerprint: str, copies: int, seed: int
    ) -> RowMasking:
        """For a tokeniser's tokens.

        Raises:
            ConfigError: the tokeniser cannot do it.
        """
        size = vocabulary_size(tokenizer)
        unused = set(range(size)) - set(tokenizer.get_vocab().values())  # never shown in place of a token
        return cls(
            fingerprint=fingerprint,
            copies=copies,
            seed=derive_seed("masking", fingerprint, seed),
            share=masking.share,
            mask_token=_special(tokenizer)["mask"],
            vocabulary=size,
            special=tuple(sorted({*tokenizer.all_special_ids, *unused})),
            continues=tuple(continuing_tokens(tokenizer)) if masking.whole_word else (),
        )


class PackedSplit:
    """One split of a corpus, in the manner of `autodistill.training.tokenised.StoredSplit`.

    A row number below ``len(split) * copies`` means the row ``number % len(split)`` in its masking
    ``number // len(split)``.

    Args:
        directory: that `write_rows` wrote.
        masking: how rows are masked.
    """

    kind = "mlm"
    #: Whether there is something to learn from; `labels` are dear to make.
    labelled = True

    def __init__(self, directory: Path, masking: RowMasking) -> None:
        self.directory = directory
        self._in_use = InUse(directory)
        meta = json.loads((directory / "meta.json").read_text())
        self.pad_token_id: int = meta["pad"]
        #: Digest of content, tokeniser and masking.
        self.fingerprint = masking.fingerprint
        #: Nothing is cut: long documents fill several rows.
        self.truncated = 0
        #: Different maskings of each row.
        self.copies = masking.copies
        self._masking, self._masker = masking, Masker.of(masking)
        self._second_type = min(1, meta["type_size"] - 1)
        parts = [part_directory(directory, part) for part in range(meta["parts"])]
        sizes = [json.loads((part / "counts.json").read_text())["rows"] for part in parts]
        filled = [part for part, size in zip(parts, sizes, strict=True) if size]
        #: Tokens per row: ``rows``, int32.
        self.lengths: NDArray[np.int32] = _joined([open_array(part / "lengths.npy") for part in filled], "<i4")
        self._borders: IntArray = np.cumsum([0, *(size for size in sizes if size)], dtype=np.int64)
        self._parts = [_Part(part) for part in filled]
        self._token_borders: IntArray = np.cumsum([0, *(len(part.tokens) for part in self._parts)], dtype=np.int64)
        strides = self.lengths[: len(self) // _STRIDE * _STRIDE].reshape(-1, _STRIDE).sum(axis=1, dtype=np.int64)
        self._strides: IntArray = np.concatenate([[0], np.cumsum(strides)])

    def __len__(self) -> int:
        return len(self.lengths)

    @functools.cached_property
    def ids(self) -> list[str]:
        """The rows' ids, in order."""
        return [f"row-{row}" for row in range(len(self))]

    @functools.cached_property
    def documents(self) -> IntArray:
        """``rows``: the document in which each row begins, numbered from 0; rows of one are no independent examples."""
        found, first = [np.empty(0, dtype=np.int64)], 0
        for part in self._parts:
            _, numbers = np.unique(part.documents(), return_inverse=True)
            found.append(first + numbers)
            first += int(numbers.max()) + 1
        return np.concatenate(found)

    @functools.cached_property
    def labels(self) -> IntArray:
        """The tokens that are to be predicted in the first masking, all rows one after another.

        For held-out splits; of a training split this is large.
        """
        found = [np.empty(0, dtype=np.int64)]
        for start in range(0, len(self), _CHUNK):
            labels = self.batch(np.arange(start, min(start + _CHUNK, len(self)), dtype=np.int64)).labels
            found.append(np.empty(0, np.int64) if labels is None else labels[labels != IGNORED].numpy())
        return np.concatenate(found)

    def lengths_of(self, rows: IntArray) -> NDArray[np.int32]:
        """Tokens of each of these row numbers."""
        lengths: NDArray[np.int32] = self.lengths[rows % max(1, len(self))]
        return lengths

    def batch(self, rows: IntArray) -> Batch:
        """Return rows, masked, padded to the longest of them.

        Args:
            rows: ``batch``, int64: row numbers, below ``len(self) * self.copies``.

        Returns:
            Tensors on the CPU; ``labels`` are `IGNORED` where nothing is to be predicted.
        """
        rows = np.asarray(rows, dtype=np.int64)
        places = rows % max(1, len(self))
        lengths = self.lengths[places].astype(np.int64)
        columns = np.arange(lengths.max(initial=1))
        mask = columns < lengths[:, None]
        tokens = np.full(mask.shape, self.pad_token_id, dtype=np.int64)
        types = np.zeros(mask.shape, dtype=np.int64)
        owners = np.searchsorted(self._borders, places, side="right") - 1
        within = places - self._borders[owners], self._first_tokens(places) - self._token_borders[owners]
        found = np.stack([owners, *within, lengths], axis=1).tolist()
        for index, (owner, place, start, length) in enumerate(found):
            tokens[index, :length], second = self._parts[owner].row(place, start, length)
            if second:
                types[index, second:length] = self._second_type
        shown, labels = self._masker.masked(tokens, mask, rows)
        return Batch(
            input_ids=torch.from_numpy(shown),
            attention_mask=torch.from_numpy(mask),
            token_type_ids=torch.from_numpy(types),
            labels=torch.from_numpy(labels),
            rows=torch.from_numpy(rows),
        )

    def _first_tokens(self, places: IntArray) -> IntArray:
        """Where each of these rows begins among the tokens of all parts."""
        strides = places // _STRIDE
        earlier = strides[:, None] * _STRIDE + np.arange(_STRIDE)
        counts = earlier < places[:, None]
        lengths = self.lengths[np.where(counts, earlier, 0)]
        first: IntArray = self._strides[strides] + np.where(counts, lengths, 0).sum(axis=1, dtype=np.int64)
        return first

    def __reduce__(self) -> tuple[type[PackedSplit], tuple[Path, RowMasking]]:
        return PackedSplit, (self.directory, self._masking)


class _Part:
    """The files of a part; its tokens stay on the disk."""

    def __init__(self, directory: Path) -> None:
        self.tokens = open_array(directory / "tokens.npy")
        self._seconds = open_array(directory / "seconds.npy")
        self._directory = directory

    def documents(self) -> NDArray[Any]:
        """Number within the part of the document in which each row begins."""
        return open_array(self._directory / "documents.npy")

    def row(self, index: int, start: int, length: int) -> tuple[NDArray[Any], int]:
        """Tokens of a row, and where its second piece begins."""
        return self.tokens[start : start + length], int(self._seconds[index])


def _joined(arrays: list[NDArray[Any]], dtype: str) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=dtype), *arrays]).astype(dtype, copy=False)


class Masker:
    """Chooses what is to be predicted and what is shown in its place; without state.

    Args:
        seed: of the choice.
        share: of the tokens.
        mask_token: id of the mask.
        vocabulary: number of tokens, from which other tokens are drawn.
        special: ids that are never predicted.
        continues: ids that continue a word, for whole words; empty: tokens are chosen one by one.
    """

    def __init__(
        self,
        *,
        seed: int,
        share: float,
        mask_token: int,
        vocabulary: int,
        special: Sequence[int],
        continues: Sequence[int],
    ) -> None:
        self._seed = seed
        self._share = share
        self._mask_token = mask_token
        self._vocabulary = vocabulary
        self._special = np.zeros(vocabulary, dtype=bool)
        self._special[list(special)] = True
        self._continues = np.zeros(vocabulary, dtype=bool)
        self._continues[list(continues)] = True
        self._ordinary = np.flatnonzero(~self._special)

    @classmethod
    def of(cls, masking: RowMasking) -> Masker:
        """The one of some rows."""
        return cls(
            seed=masking.seed,
            share=masking.share,
            mask_token=masking.mask_token,
            vocabulary=masking.vocabulary,
            special=masking.special,
            continues=masking.continues,
        )

    def masked(self, tokens: IntArray, mask: NDArray[np.bool_], rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return what is shown, and the labels.

        Args:
            tokens: ``batch x tokens``.
            mask: the same shape, true where there is a token.
            rows: ``batch``: row numbers, on which the choice depends.
        """
        columns = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        # Padding lies behind a row's tokens, so it has no part in their words; and it may be in the vocabulary.
        begins = ~self._continues[tokens] | self._special[tokens]
        words = np.maximum.accumulate(np.where(begins, columns, 0), axis=1)
        chosen = (uniform(self._seed, rows, words, 0) < self._share) & mask & ~self._special[tokens]
        shown_as = uniform(self._seed, rows, columns, 1)
        other = self._ordinary[(uniform(self._seed, rows, columns, 2) * len(self._ordinary)).astype(np.int64)]
        shown = np.where(chosen & (shown_as < SHOWN_AS_MASK), self._mask_token, tokens)
        swapped = chosen & (shown_as >= SHOWN_AS_MASK) & (shown_as < SHOWN_AS_MASK + SHOWN_AS_ANOTHER)
        return np.where(swapped, other, shown), np.where(chosen, tokens, IGNORED)


def write_rows(
    stream: TextStream,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    *,
    max_length: int,
    pairs: bool,
    type_size: int,
) -> None:
    """Tokenise and pack a split, in as many processes as there are cores; parts that are there already stay.

    Args:
        stream: the documents.
        tokenizer: a fast one, with a mask.
        max_length: tokens per row.
        pairs: whether rows are two consecutive pieces of a document.
        type_size: segments (token types) that the models tell apart.
        directory: exists; a build that was killed may have left parts in it.

    Raises:
        ConfigError: the tokeniser cannot do it.
        DataError: there is no text at all.
    """
    special = _special(tokenizer)
    packing = Packing(
        stream=stream,
        tokenizer=tokenizer.backend_tokenizer.to_str(),
        length=max_length,
        start=(special["start"],),
        separator=special["end"],
        pairs=pairs,
        dtype="<u2" if vocabulary_size(tokenizer) <= SMALL_VOCABULARY else "<i4",
        directory=directory,
    )
    parts = range(stream.parts)
    workers = cores() if stream.workers is None else stream.workers
    counts = [found for _, found in map_parts(_PACK, packing, parts, workers)]
    if not sum(found["rows"] for found in counts):
        raise DataError("The corpus has no text for one of its splits: no row of tokens could be made.")
    meta = {"parts": stream.parts, "pad": special["pad"], "type_size": type_size}
    (directory / "meta.json").write_text(json.dumps(meta))


_PACK = "autodistill.training.packing:pack_part"


def vocabulary_size(tokenizer: PreTrainedTokenizerBase) -> int:
    """One more than the largest number of a token; some vocabularies have gaps."""
    return max(int(number) for number in tokenizer.get_vocab().values()) + 1


def _special(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Ids of the special tokens that rows need.

    Raises:
        ConfigError: one is missing, or the tokeniser is not a fast one.
    """
    if not tokenizer.is_fast:
        raise ConfigError(
            f"A corpus needs a fast tokeniser, and the teacher's {type(tokenizer).__name__} is not one. Put its "
            "tokenizer.json beside the teacher's weights."
        )
    wanted = {
        "start": tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id,
        "end": tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id,
        "mask": tokenizer.mask_token_id,
        "pad": tokenizer.pad_token_id,
    }
    missing = [name for name, value in wanted.items() if value is None]
    if missing:
        raise ConfigError(
            f"A masked language model needs a tokeniser with tokens for start, end, mask and pad; the teacher's has "
            f"none for {', '.join(missing)}. Choose a teacher that was trained with masks, such as a BERT."
        )
    return {name: int(value) for name, value in wanted.items() if value is not None}


def continuing_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of the tokens that continue a word: those with WordPiece's prefix, or without the mark of a word's start.

    Raises:
        ConfigError: the tokeniser marks neither.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = tokenizer.get_vocab()
    model = content["model"]
    if model.get("type") == "WordPiece":
        prefix = model.get("continuing_subword_prefix") or "##"
        return sorted(number for token, number in vocabulary.items() if token.startswith(prefix))
    marks = [mark for mark in ("\u0120", "\u2581") if any(token.startswith(mark) for token in vocabulary)]
    if not marks:
        raise ConfigError(
            f"data.whole_word needs a tokeniser that marks where words begin, and the teacher's "
            f"({model.get('type')}) does not. Set data.whole_word=false."
        )
    special = set(tokenizer.all_special_ids)
    return sorted(
        number for token, number in vocabulary.items() if number not in special and not token.startswith(tuple(marks))
    )
