"""Tokenised splits: unpadded token ids in memory-mapped files, written once and shared by studies and processes.

How rows become tokens is in `autodistill.training.encoding`, masked language models are in `.packed`, and the order of
examples is in `.stream`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from autodistill.components.task import IGNORED, Masking
from autodistill.components.training import Batch
from autodistill.folders import InUse, build_once
from autodistill.training.arrays import ArrayWriter, open_array
from autodistill.training.encoding import SEGMENTS, Encoded, encode, labelled
from autodistill.training.packed import PackedSplit, RowMasking, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import datasets
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from autodistill.components.task import TaskData, TaskSpec

    IntArray: TypeAlias = "NDArray[np.int64]"

#: A split as tokens, whatever its task.
TokenisedSplit: TypeAlias = "StoredSplit | PackedSplit"

#: Changes when the files' layout does.
FORMAT = 4

#: Changes when the rows of a corpus do, or their files' layout.
PACKED_FORMAT = 2

#: Examples that are tokenised at a time.
CHUNK = 1000


class StoredSplit:
    """One split as tokens, read from a directory that `tokenise` wrote.

    Small to pickle: another process maps the same files.

    Args:
        directory: of this split.
        pad_token_id: id that fills batches.
    """

    def __init__(self, directory: Path, pad_token_id: int) -> None:
        self.directory = directory
        self.pad_token_id = pad_token_id
        self._in_use = InUse(directory)
        meta = json.loads((directory / "meta.json").read_text())
        #: Digest of content and tokeniser.
        self.fingerprint: str = meta["fingerprint"]
        #: Kind of the task, which says what the labels are.
        self.kind: str = meta["kind"]
        #: Examples that were cut to the longest allowed length.
        self.truncated: int = meta["truncated"]
        #: Of labelled words: how many there are, and how many have no token, so that no answer to them is scored.
        self.words: int = meta["words"]
        self.unscored: int = meta["unscored"]
        #: Answered questions whose answer no window holds.
        self.unheld: int = meta["unheld"]
        #: Tokens per example: ``examples``, int32.
        self.lengths: NDArray[np.int32] = np.load(directory / "lengths.npy", allow_pickle=False)
        #: None when there are none. ``examples``, int64 (float32 for a regression); ``examples x classes``, uint8, for
        #: several labels; ``windows x 2``, int64, for questions; for labelled tokens ``tokens of all examples``, int32.
        self.labels: NDArray[Any] | None = open_array(directory / "labels.npy") if meta["labels"] else None
        #: Whether there are labels.
        self.labelled = self.labels is not None
        self._starts: IntArray = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        self._tokens = open_array(directory / "tokens.npy")
        self._types = open_array(directory / "types.npy")

    @functools.cached_property
    def ids(self) -> list[str]:
        """The examples' ids, in order."""
        return list(json.loads((self.directory / "ids.json").read_text()))

    def __len__(self) -> int:
        return len(self.lengths)

    #: Different forms in which each example stands in the stream; more than one for masked language models only.
    copies = 1

    def lengths_of(self, rows: IntArray) -> NDArray[np.int32]:
        """Tokens of each of these rows."""
        lengths: NDArray[np.int32] = self.lengths[rows]
        return lengths

    def batch(self, rows: IntArray) -> Batch:
        """Return examples, padded to the longest of them.

        Args:
            rows: ``batch``, int64: positions in the split.

        Returns:
            Tensors on the CPU.
        """
        lengths = self.lengths[rows].astype(np.int64)
        columns = np.arange(lengths.max(initial=1))
        mask = columns < lengths[:, None]
        positions = (self._starts[rows][:, None] + columns)[mask]
        input_ids = np.full(mask.shape, self.pad_token_id, dtype=np.int64)
        input_ids[mask] = self._tokens[positions]
        token_type_ids = np.zeros(mask.shape, dtype=np.int64)
        token_type_ids[mask] = self._types[positions]
        return Batch(
            input_ids=torch.from_numpy(input_ids),
            attention_mask=torch.from_numpy(mask),
            token_type_ids=torch.from_numpy(token_type_ids),
            labels=self._labels_of(rows, mask, positions),
            rows=torch.from_numpy(np.array(rows, dtype=np.int64)),
        )

    def _labels_of(self, rows: IntArray, mask: NDArray[np.bool_], positions: IntArray) -> torch.Tensor | None:
        """The batch's labels, padded with `IGNORED` where tokens have them."""
        if self.labels is None:
            return None
        if self.kind == "token_classification":
            labels = np.full(mask.shape, IGNORED, dtype=np.int64)
            labels[mask] = self.labels[positions]
            return torch.from_numpy(labels)
        chosen = np.array(self.labels[rows])
        return torch.from_numpy(chosen.astype(np.float32) if chosen.dtype == np.uint8 else chosen)

    @functools.cached_property
    def owners(self) -> IntArray:
        """Question answering: for each window the row of its question in the data set."""
        owners: IntArray = np.load(self.directory / "owners.npy", allow_pickle=False)
        return owners

    def offsets(self, row: int) -> NDArray[np.int32]:
        """Question answering: ``tokens x 2``, the characters of the context that each token of a window covers.

        Args:
            row: the window.

        Returns:
            First character and the one after the last; -1 for tokens that are not of the context.
        """
        stored = open_array(self.directory / "offsets.npy")
        start = int(self._starts[row])
        return np.array(stored[start : start + int(self.lengths[row])])

    def __reduce__(self) -> tuple[type[StoredSplit], tuple[Path, int]]:
        return StoredSplit, (self.directory, self.pad_token_id)


def tokenise(
    data: TaskData,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    cache_dir: Path,
    seed: int = 0,
    type_size: int = SEGMENTS,
    waiting: Callable[[], None] | None = None,
) -> dict[str, TokenisedSplit]:
    """Return the splits as tokens, from the cache where it has them.

    Args:
        data: named splits.
        tokenizer: the teacher's, which is every student's.
        max_length: tokens per example at most, special tokens included.
        cache_dir: files are kept under ``tokenised/<key>``, a key per split.
        seed: of the masking of an mlm task.
        type_size: segments (token types) that the models tell apart. Tokenisers may write more than their model has:
            DistilBERT's and DeBERTa's write BERT's. Those beyond are 0.
        waiting: see `autodistill.folders.locked`, of a process that waits while another tokenises.

    Returns:
        Role -> split.

    Raises:
        ConfigError: the tokeniser, the lengths and the task do not go together.
        DataError: a column is missing or a value is not what it should be.
    """
    if data.task.kind == "mlm":
        return _packed_splits(data, tokenizer, max_length, cache_dir, seed, type_size, waiting)
    task = data.task
    made_of = [task.kind, list(task.text_columns), task.stride, tokenizer_fingerprint(tokenizer), max_length, type_size]
    pad = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    found: dict[str, TokenisedSplit] = {}
    for role, split in data.splits.items():
        key = _digest(FORMAT, role, data.fingerprint_of(role), *made_of)
        build = functools.partial(_write_split, split, task, tokenizer, max_length, type_size, key)
        with closing(InUse(cache_dir / "tokenised" / key)):  # until the split has it in use
            found[role] = StoredSplit(build_once(cache_dir / "tokenised" / key, build, waiting=waiting), pad)
    return found


def _packed_splits(
    data: TaskData,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    cache_dir: Path,
    seed: int,
    type_size: int,
    waiting: Callable[[], None] | None,
) -> dict[str, TokenisedSplit]:
    """The splits of a corpus; a build that was killed goes on with the parts that are missing.

    The rows are the same for every masking and seed, so they are written once for all of them.
    """
    masking = data.task.masking or Masking()
    made_of = [masking.pairs, tokenizer_fingerprint(tokenizer), max_length, type_size]
    found: dict[str, TokenisedSplit] = {}
    for role, stream in data.splits.items():
        key = _digest(PACKED_FORMAT, role, data.fingerprint_of(role), *made_of)
        masked = RowMasking.of(
            tokenizer,
            masking,
            fingerprint=_digest(key, asdict(masking), seed),
            copies=masking.copies if role == "train" else 1,
            seed=seed,
        )
        build = functools.partial(
            write_rows, stream, tokenizer, max_length=max_length, pairs=masking.pairs, type_size=type_size
        )
        with closing(InUse(cache_dir / "tokenised" / key)):  # until the split has it in use
            directory = build_once(cache_dir / "tokenised" / key, build, resumable=True, waiting=waiting)
            found[role] = PackedSplit(directory, masked)
    return found


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a digest of what decides the tokens; truncation and padding settings left from earlier calls do not."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        content = json.loads(backend.to_str())
        content.pop("truncation", None)
        content.pop("padding", None)
    else:  # in Python: what it was made with decides too, but for where its files lie
        made = {name: value for name, value in tokenizer.init_kwargs.items() if isinstance(value, str | int | float)}
        told = {"model_max_length", "is_local", "local_files_only", *tokenizer.special_tokens_map}  # by saving, too
        own = {name: made[name] for name in made if name not in told and not name.endswith(("_file", "name_or_path"))}
        content = [dict(tokenizer.get_vocab()), own]
    side = [] if tokenizer.truncation_side == "right" else [tokenizer.truncation_side]  # the usual one needs no word
    return _digest(type(tokenizer).__name__, content, str(tokenizer.special_tokens_map), *side)


def _digest(*parts: object) -> str:
    """First 24 hexadecimal digits of a SHA-256: long enough that no two caches collide."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _write_split(
    split: datasets.Dataset,
    task: TaskSpec,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    type_size: int,
    fingerprint: str,
    directory: Path,
) -> None:
    """Write one split as a stream; only ids, lengths and the owners of windows are held in memory."""
    ids: list[str] = []
    lengths: list[int] = []
    owners: list[int] = []
    counts = {"truncated": 0, "words": 0, "unscored": 0, "unheld": 0}
    with ExitStack() as stack:

        def writer(name: str, dtype: str, row_shape: tuple[int, ...] = ()) -> ArrayWriter:
            return stack.enter_context(ArrayWriter(directory / name, dtype, row_shape))

        tokens, types = writer("tokens.npy", "<i4"), writer("types.npy", "|u1")
        offsets = writer("offsets.npy", "<i4", (2,)) if task.kind == "question_answering" else None
        labels = writer("labels.npy", *_label_layout(task)) if labelled(task, split.column_names) else None
        for first, chunk in _chunks(split):
            encoded = encode(tokenizer, chunk, task, max_length, first)
            segments = _flat(encoded.token_type_ids)
            for name in counts:
                counts[name] += getattr(encoded, name)
            tokens.append(_flat(encoded.input_ids))
            types.append(np.where(segments < type_size, segments, 0))
            lengths.extend(map(len, encoded.input_ids))
            ids.extend(encoded.ids)
            owners.extend(encoded.owners)
            if offsets is not None:
                offsets.append(_flat(encoded.offsets))
            if labels is not None:
                labels.append(_label_array(task, encoded))
    np.save(directory / "lengths.npy", np.asarray(lengths, dtype=np.int32))
    if owners:
        np.save(directory / "owners.npy", np.asarray(owners, dtype=np.int64))
    (directory / "ids.json").write_text(json.dumps(ids))
    meta = {"fingerprint": fingerprint, "kind": task.kind, "labels": labels is not None, **counts}
    (directory / "meta.json").write_text(json.dumps(meta))


def _label_layout(task: TaskSpec) -> tuple[str, tuple[int, ...]]:
    """Type and row shape of the file of labels."""
    if task.multi_label:
        return "|u1", (task.num_labels,)
    return {
        "regression": ("<f4", ()),
        "token_classification": ("<i4", ()),
        "question_answering": ("<i8", (2,)),
    }.get(task.kind, ("<i8", ()))


def _label_array(task: TaskSpec, encoded: Encoded) -> NDArray[Any]:
    """The labels of a chunk as they are stored."""
    if task.kind == "token_classification":
        return _flat(encoded.token_labels)
    if not task.multi_label:
        return np.asarray(encoded.labels)
    marked = np.zeros((len(encoded.labels), task.num_labels), dtype=np.uint8)
    for row, classes in enumerate(encoded.labels):
        marked[row, classes] = 1
    return marked


def _chunks(split: datasets.Dataset) -> Iterator[tuple[int, dict[str, list[Any]]]]:
    """The split in columns of `CHUNK` rows, each with its first row."""
    for start in range(0, len(split), CHUNK):
        yield start, split[start : start + CHUNK]


def _flat(lists: list[list[Any]]) -> NDArray[np.int64]:
    """All values of a list of lists, in order."""
    return np.concatenate([np.asarray(values, dtype=np.int64) for values in lists])
