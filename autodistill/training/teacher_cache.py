"""The files of cached teacher features: unpadded, memory-mapped, written in one pass of the teacher.

One file per feature and layer holds the rows one after another: logits in float32, token features in float16, or in
bfloat16 where a teacher's activations exceed float16's range. Who decides what is cached is `.teacher_features`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch

from autodistill.folders import build_once
from autodistill.training.arrays import ArrayWriter, open_array
from autodistill.training.batches import evaluating, on_device
from autodistill.training.features import forward_features

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch, FeatureKey, Features
    from autodistill.training.tokenised import TokenisedSplit

    IntArray: TypeAlias = "NDArray[np.int64]"

#: Changes when the files' layout does.
FORMAT = 1

#: Examples per forward pass of the teacher.
BATCH_SIZE = 64

_TOKENS = "tokens"

_NUMPY_TYPES = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}

Precision = Literal["float32", "float16", "bfloat16"]


class _OutOfRangeError(Exception):
    """A value does not fit into float16."""


@dataclass(frozen=True)
class FeatureShape:
    """Shape of one example's feature: sizes, with ``"tokens"`` for the dimensions that follow the example's length."""

    dimensions: tuple[int | str, ...]

    def of(self, tokens: int) -> tuple[int, ...]:
        """The shape for an example of ``tokens`` tokens."""
        return tuple(tokens if isinstance(size, str) else size for size in self.dimensions)

    def elements(self, lengths: NDArray[Any]) -> IntArray:
        """Numbers per example, given the examples' lengths."""
        elements = np.ones(len(lengths), dtype=np.int64)
        for size in self.dimensions:
            elements *= lengths.astype(np.int64) if isinstance(size, str) else size
        return elements

    @property
    def precision(self) -> Precision:
        """Precision on the disk, unless the range demands bfloat16."""
        return "float16" if _TOKENS in self.dimensions else "float32"

    def total_bytes(self, lengths: NDArray[Any]) -> int:
        """Bytes of all examples."""
        return int(self.elements(lengths).sum()) * np.dtype(_NUMPY_TYPES[self.precision]).itemsize


#: Sizes of a feature's dimensions after the batch that follow the number of tokens.
_TOKEN_DIMENSIONS = {
    "logits": (),
    "hidden_states": (0,),
    "attentions": (1, 2),
    "attention_scores": (1, 2),
    "queries": (1,),
    "keys": (1,),
    "values": (1,),
}


def feature_shapes(
    teacher: PreTrainedModel, split: TokenisedSplit, keys: frozenset[FeatureKey]
) -> dict[FeatureKey, FeatureShape]:
    """Return the shapes of a teacher's features, from the shortest example."""
    shortest = np.array([int(np.argmin(split.lengths))], dtype=np.int64)
    shapes = {}
    for key, value in _compute(teacher, split, keys, shortest).items():
        dimensions: list[int | str] = list(value.shape[1:])
        for position in _TOKEN_DIMENSIONS[key[0]]:
            dimensions[position] = _TOKENS
        shapes[key] = FeatureShape(tuple(dimensions))
    return shapes


def cache_directory(
    cache_dir: Path, split: TokenisedSplit, keys: frozenset[FeatureKey], fingerprint: str, rows: IntArray
) -> Path:
    """Return where the features of these rows are kept.

    Args:
        cache_dir: of the study.
        split: the examples.
        keys: features kept.
        fingerprint: of the teacher.
        rows: sorted, distinct.
    """
    row_digest = hashlib.sha256(np.ascontiguousarray(rows, dtype="<i8").tobytes()).hexdigest()
    parts = [FORMAT, fingerprint, split.fingerprint, _ordered(keys), row_digest]
    return cache_dir / "teacher_features" / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def write_cache(
    directory: Path, teacher: PreTrainedModel, split: TokenisedSplit, keys: frozenset[FeatureKey], rows: IntArray
) -> None:
    """Compute and publish the features of ``rows`` (sorted, distinct); see `build_once`."""

    def build(temporary: Path) -> None:
        shapes = feature_shapes(teacher, split, keys)
        try:
            _write(temporary, teacher, split, shapes, rows, wide=False)
        except _OutOfRangeError:
            _write(temporary, teacher, split, shapes, rows, wide=True)

    build_once(directory, build)


def _write(
    directory: Path,
    teacher: PreTrainedModel,
    split: TokenisedSplit,
    shapes: Mapping[FeatureKey, FeatureShape],
    rows: IntArray,
    *,
    wide: bool,
) -> None:
    """One pass of the teacher over the rows in their order.

    Rows are written longest first, so that batches are hardly padded; ``rows.npy`` holds that order.
    """
    order = rows[np.argsort(-split.lengths[rows], kind="stable")]
    precisions: dict[FeatureKey, Precision] = {
        key: "bfloat16" if wide and shape.precision == "float16" else shape.precision for key, shape in shapes.items()
    }
    with ExitStack() as stack:
        writers = {
            key: stack.enter_context(ArrayWriter(directory / _file(key), _NUMPY_TYPES[precisions[key]]))
            for key in shapes
        }
        for start in range(0, len(order), BATCH_SIZE):
            part = order[start : start + BATCH_SIZE]
            lengths = split.lengths[part]
            for key, value in _compute(teacher, split, frozenset(shapes), part).items():
                writers[key].append(_unpadded(value, shapes[key], lengths, precisions[key]))
    np.save(directory / "rows.npy", order)
    np.save(directory / "lengths.npy", split.lengths[order])
    described = [
        {"feature": key[0], "layer": key[1], "shape": list(shapes[key].dimensions), "precision": precisions[key]}
        for key in _ordered(frozenset(shapes))
    ]
    (directory / "meta.json").write_text(json.dumps(described))


def _compute(
    teacher: PreTrainedModel, split: TokenisedSplit, keys: frozenset[FeatureKey], rows: IntArray
) -> dict[FeatureKey, Tensor]:
    """Features of some rows, on the CPU, float32."""
    batch = on_device(split.batch(rows), teacher.device)
    with evaluating(teacher), torch.inference_mode():
        features = forward_features(teacher, batch, keys)
        return {key: value.float().cpu() for key, value in features.items()}


def _unpadded(value: Tensor, shape: FeatureShape, lengths: NDArray[Any], precision: Precision) -> NDArray[Any]:
    """The values of a batch without padding, flat, as they are stored."""
    flat = torch.cat(
        [row[_corner(shape.of(int(length)))].reshape(-1) for row, length in zip(value, lengths, strict=True)]
    )
    if precision == "bfloat16":
        return flat.to(torch.bfloat16).view(torch.uint16).numpy()
    if precision == "float16":
        half = flat.to(torch.float16)
        if bool(torch.isinf(half).any()):
            raise _OutOfRangeError
        return half.numpy()
    return flat.numpy()


class TeacherCache:
    """Reads what `write_cache` wrote.

    Small to pickle: another process maps the same files.

    Args:
        directory: of the cache.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        order = np.load(directory / "rows.npy", allow_pickle=False)
        self._lengths = np.load(directory / "lengths.npy", allow_pickle=False)
        self._sorting = np.argsort(order)
        self._sorted_rows = order[self._sorting]
        self._stored = {_key(entry): _Stored(directory, entry, self._lengths) for entry in _read_meta(directory)}

    def get(self, batch: Batch, keys: frozenset[FeatureKey] | None = None) -> Features:
        """See `autodistill.training.teacher_features.TeacherFeatures.get`.

        Raises:
            KeyError: a row that the cache was not built for.
        """
        places = self._places(batch.rows.cpu().numpy())
        tokens = batch.input_ids.shape[1]
        device = batch.input_ids.device
        return {
            key: stored.padded(places, tokens).to(device).float()
            for key, stored in self._stored.items()
            if keys is None or key in keys
        }

    def _places(self, rows: IntArray) -> IntArray:
        """Positions of rows in the files."""
        found = np.searchsorted(self._sorted_rows, rows).clip(max=len(self._sorted_rows) - 1)
        if not np.array_equal(self._sorted_rows[found], rows):
            missing = rows[self._sorted_rows[found] != rows][0]
            raise KeyError(f"Row {missing} is not in the teacher cache {self.directory}, which holds {len(self)} rows.")
        places: IntArray = self._sorting[found]
        return places

    def __len__(self) -> int:
        return len(self._sorted_rows)

    def __reduce__(self) -> tuple[type[TeacherCache], tuple[Path]]:
        return TeacherCache, (self.directory,)


class _Stored:
    """One feature's file."""

    def __init__(self, directory: Path, entry: Mapping[str, Any], lengths: NDArray[Any]) -> None:
        self.shape = FeatureShape(tuple(entry["shape"]))
        self.precision: Precision = entry["precision"]
        self.lengths = lengths
        elements = self.shape.elements(lengths)
        self.stops: IntArray = np.cumsum(elements, dtype=np.int64)
        self.starts: IntArray = self.stops - elements
        self.values = open_array(directory / _file(_key(entry)))

    def padded(self, places: IntArray, tokens: int) -> Tensor:
        """Values of a batch, padded with zeros to ``tokens``, as stored, on the CPU."""
        result = torch.zeros((len(places), *self.shape.of(tokens)), dtype=getattr(torch, self.precision))
        target = result.view(torch.uint16).numpy() if self.precision == "bfloat16" else result.numpy()
        for index, place in enumerate(places):
            shape = self.shape.of(int(self.lengths[place]))
            values = self.values[self.starts[place] : self.stops[place]].reshape(shape)
            target[index][_corner(shape)] = values
        return result


def _corner(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of an array without its padding."""
    return tuple(slice(size) for size in shape)


def _ordered(keys: frozenset[FeatureKey]) -> list[FeatureKey]:
    """Keys by name and layer."""
    return sorted(keys, key=lambda key: (key[0], -1 if key[1] is None else key[1]))


def _file(key: FeatureKey) -> str:
    """File name of a feature."""
    return f"{key[0]}.npy" if key[1] is None else f"{key[0]}_{key[1]}.npy"


def _key(entry: Mapping[str, Any]) -> FeatureKey:
    """Feature key of a line of the description."""
    return entry["feature"], entry["layer"]


def _read_meta(directory: Path) -> list[dict[str, Any]]:
    """The description that `_write` left."""
    return list(json.loads((directory / "meta.json").read_text()))
