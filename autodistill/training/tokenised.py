"""Tokenised splits: unpadded token ids in memory-mapped files, written once and shared by studies and processes.

Masking for masked language models and the order of examples are not here; see `autodistill.training.stream`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from autodistill.components.training import Batch
from autodistill.errors import ConfigError, DataError
from autodistill.folders import build_once
from autodistill.training.arrays import ArrayWriter, open_array

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from autodistill.components.task import TaskData, TaskSpec

    IntArray: TypeAlias = "NDArray[np.int64]"

#: Changes when the files' layout does.
FORMAT = 1

#: Examples that are tokenised at a time.
CHUNK = 1000

#: Kinds of task with at most one label per example.
_KINDS = ("classification", "regression", "embedding")


class TokenisedSplit:
    """One split as tokens, read from a directory that `tokenise` wrote.

    Small to pickle: another process maps the same files.

    Args:
        directory: of this split.
        pad_token_id: id that fills batches.
    """

    def __init__(self, directory: Path, pad_token_id: int) -> None:
        self.directory = directory
        self.pad_token_id = pad_token_id
        meta = json.loads((directory / "meta.json").read_text())
        #: Digest of content and tokeniser.
        self.fingerprint: str = meta["fingerprint"]
        #: Examples that were cut to the longest allowed length.
        self.truncated: int = meta["truncated"]
        #: Tokens per example: ``examples``, int32.
        self.lengths: NDArray[np.int32] = np.load(directory / "lengths.npy", allow_pickle=False)
        #: ``examples``, int64 (float32 for a regression); None when there are none.
        self.labels: NDArray[Any] | None = (
            np.load(directory / "labels.npy", allow_pickle=False) if meta["labels"] else None
        )
        self._starts: IntArray = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        self._tokens = open_array(directory / "tokens.npy")
        self._types = open_array(directory / "types.npy")

    @functools.cached_property
    def ids(self) -> list[str]:
        """The examples' ids, in order."""
        return list(json.loads((self.directory / "ids.json").read_text()))

    def __len__(self) -> int:
        return len(self.lengths)

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
            labels=None if self.labels is None else torch.from_numpy(self.labels[rows]),
            rows=torch.from_numpy(np.array(rows, dtype=np.int64)),
        )

    def __reduce__(self) -> tuple[type[TokenisedSplit], tuple[Path, int]]:
        return TokenisedSplit, (self.directory, self.pad_token_id)


def tokenise(
    data: TaskData, tokenizer: PreTrainedTokenizerBase, max_length: int, cache_dir: Path
) -> dict[str, TokenisedSplit]:
    """Return the splits as tokens, from the cache where it has them.

    Args:
        data: named splits of one or two text columns.
        tokenizer: the teacher's, which is every student's.
        max_length: tokens per example at most, special tokens included.
        cache_dir: files are kept under ``tokenised/<key>/<role>``.

    Returns:
        Role -> split.

    Raises:
        ConfigError: a kind of task that has no single label per example.
        DataError: a column is missing or a text is not a string.
    """
    if data.task.kind not in _KINDS:
        raise ConfigError(f"Tasks of kind {data.task.kind!r} cannot be trained; possible: {', '.join(_KINDS)}.")
    parts = [FORMAT, data.fingerprint, data.task.kind, list(data.task.text_columns)]
    key = _digest(*parts, tokenizer_fingerprint(tokenizer), max_length)
    build = functools.partial(_write_splits, data, tokenizer, max_length, key)
    directory = build_once(cache_dir / "tokenised" / key, build)
    pad = tokenizer.pad_token_id
    return {role: TokenisedSplit(directory / role, 0 if pad is None else pad) for role in data.splits}


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a digest of what decides the tokens; truncation and padding settings left from earlier calls do not."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = json.loads(backend.to_str()) if backend is not None else dict(tokenizer.get_vocab())
    if backend is not None:
        content.pop("truncation", None)
        content.pop("padding", None)
    return _digest(type(tokenizer).__name__, content, str(tokenizer.special_tokens_map))


def _digest(*parts: object) -> str:
    """First 24 hexadecimal digits of a SHA-256: long enough that no two caches collide."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _write_splits(
    data: TaskData, tokenizer: PreTrainedTokenizerBase, max_length: int, key: str, directory: Path
) -> None:
    """Write every split into its own directory."""
    for role, split in data.splits.items():
        (directory / role).mkdir(mode=0o700)
        _write_split(split, data.task, tokenizer, max_length, directory / role, _digest(key, role))


def _write_split(
    split: datasets.Dataset,
    task: TaskSpec,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    directory: Path,
    fingerprint: str,
) -> None:
    """Write one split as a stream; only ids, lengths and labels are held in memory."""
    ids: list[str] = []
    lengths: list[int] = []
    labels: list[float] = []
    truncated = 0
    with (
        ArrayWriter(directory / "tokens.npy", "<i4") as tokens,
        ArrayWriter(directory / "types.npy", "|u1") as types,
    ):
        for chunk in _chunks(split):
            encoded = _encode(tokenizer, chunk, task, max_length)
            truncated += _truncated(tokenizer, chunk, task, encoded, max_length)
            tokens.append(_flat(encoded["input_ids"]))
            types.append(_flat(encoded["token_type_ids"]))
            lengths.extend(map(len, encoded["input_ids"]))
            ids.extend(map(str, chunk["id"]))
            labels.extend(_labels(task, chunk))
    np.save(directory / "lengths.npy", np.asarray(lengths, dtype=np.int32))
    if labels:
        np.save(directory / "labels.npy", np.asarray(labels, "<f4" if task.kind == "regression" else "<i8"))
    (directory / "ids.json").write_text(json.dumps(ids))
    meta = {"fingerprint": fingerprint, "truncated": truncated, "labels": bool(labels)}
    (directory / "meta.json").write_text(json.dumps(meta))


def _labels(task: TaskSpec, chunk: dict[str, list[Any]]) -> list[float]:
    """The labels of a chunk; empty when the task has none."""
    if task.label_free or task.kind == "embedding":
        return []
    return list(chunk["label"])


def _chunks(split: datasets.Dataset) -> Iterator[dict[str, list[Any]]]:
    """The split in columns of `CHUNK` rows."""
    for start in range(0, len(split), CHUNK):
        yield split[start : start + CHUNK]


def _texts(chunk: dict[str, list[Any]], task: TaskSpec) -> list[list[str]]:
    """The text columns of a chunk."""
    columns = []
    for name in task.text_columns:
        values = chunk.get(name)
        if values is None:
            raise DataError(f"Text column {name!r} is missing; the data has {', '.join(sorted(chunk))}.")
        for row, value in zip(chunk["id"], values, strict=True):
            if not isinstance(value, str):
                raise DataError(f"Column {name!r} of example {row!r} must be text, got {type(value).__name__}.")
        columns.append(values)
    return columns


def _encode(
    tokenizer: PreTrainedTokenizerBase, chunk: dict[str, list[Any]], task: TaskSpec, max_length: int | None
) -> dict[str, list[list[int]]]:
    """Token ids and types of a chunk, unpadded; ``max_length`` None means whole."""
    encoded = tokenizer(
        *_texts(chunk, task),
        truncation=max_length is not None,
        max_length=max_length,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=True,
        verbose=False,  # "longer than the model's maximum": that is what truncation is for
    )
    return {name: encoded[name] for name in ("input_ids", "token_type_ids")}


def _truncated(
    tokenizer: PreTrainedTokenizerBase,
    chunk: dict[str, list[Any]],
    task: TaskSpec,
    encoded: dict[str, list[list[int]]],
    max_length: int,
) -> int:
    """How many examples of a chunk were cut: those of full length are encoded again, whole."""
    full = [index for index, tokens in enumerate(encoded["input_ids"]) if len(tokens) >= max_length]
    if not full:
        return 0
    rows = {name: [values[index] for index in full] for name, values in chunk.items()}
    return sum(len(tokens) > max_length for tokens in _encode(tokenizer, rows, task, None)["input_ids"])


def _flat(lists: list[list[int]]) -> NDArray[np.int64]:
    """All values of a list of lists, in order."""
    return np.concatenate([np.asarray(values, dtype=np.int64) for values in lists])
