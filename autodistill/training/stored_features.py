"""How one teacher feature is kept on the disk: whole, or the likeliest outputs of a large vocabulary.

A form knows its files, their size, and how a batch goes into them and comes out again; examples lie one after the
other without padding. Which features are stored at all is decided in `autodistill.training.cache_plan`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import torch

from autodistill.losses.masking import counted_tokens
from autodistill.training.arrays import open_array
from autodistill.training.softened import MASKED_LOGITS, softened_logits, without_temperature

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from autodistill.components.training import Batch, FeatureKey

    IntArray: TypeAlias = "NDArray[np.int64]"

#: Stands for the number of tokens in a shape.
TOKENS = "tokens"

#: Outputs that are kept of each distribution over a vocabulary; 128 as in DistillKit's cache of teacher logits.
TOP_K = 128

#: Outputs from which a distribution counts as one over a vocabulary.
LARGE = 1024

NUMPY_TYPES = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}

Precision = Literal["float32", "float16", "bfloat16"]


class OutOfRangeError(Exception):
    """A value does not fit into float16.

    Args:
        name: of the feature's file.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"A value of {name} does not fit into float16.")
        self.name = name


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


class StoredForm(Protocol):
    """How a feature is stored."""

    @property
    def key(self) -> FeatureKey:
        """The feature."""
        ...

    @property
    def asked(self) -> FeatureKey:
        """What the teacher is asked for, to be encoded: the feature, or the part of it that is kept."""
        ...

    @property
    def outputs(self) -> int:
        """Numbers of the teacher's output per token or example that must be held at once; 0 where that is little."""
        ...

    @property
    def files(self) -> Mapping[str, str]:
        """File name -> dtype of a flat array."""
        ...

    def total_bytes(self, counts: IntArray) -> int:
        """Bytes of all examples.

        Args:
            counts: how many examples have 0 tokens, how many have 1, and so on.
        """
        ...

    def encode(self, value: Tensor, batch: Batch) -> Mapping[str, NDArray[Any]]:
        """File name -> what a batch adds to it; ``value`` of what is `asked`.

        Raises:
            OutOfRangeError: a value does not fit; a `wider` form takes it.
        """
        ...

    def wider(self) -> StoredForm:
        """The same with a larger range of values."""
        ...

    def describe(self) -> dict[str, Any]:
        """JSON-able description, for `form_of`."""
        ...

    def open(self, directory: Path, lengths: NDArray[Any]) -> Mapping[FeatureKey, StoredReader]:
        """Open the files; ``lengths`` of the examples in their order there. Feature -> its reader."""
        ...


class StoredReader(Protocol):
    """Reads one feature."""

    def padded(self, places: IntArray, batch: Batch) -> Tensor:
        """The examples at these places, padded as the batch is, float32, on the batch's device."""
        ...


@dataclass(frozen=True)
class Dense:
    """A feature kept whole: logits in float32, features of tokens in float16, or bfloat16 where values are too large.

    Args:
        key: of the feature.
        shape: of one example.
        precision: on the disk.
    """

    key: FeatureKey
    shape: FeatureShape
    precision: Precision

    @classmethod
    def of(cls, key: FeatureKey, shape: FeatureShape) -> Dense:
        """The form in the precision that suits the feature."""
        of_tokens = TOKENS in shape.dimensions and without_temperature(key)[0] != "logits"
        return cls(key, shape, "float16" if of_tokens else "float32")

    outputs = 0

    @property
    def asked(self) -> FeatureKey:
        """See `StoredForm.asked`."""
        return self.key

    @property
    def name(self) -> str:
        """File name."""
        return f"{self.key[0]}.npy" if self.key[1] is None else f"{self.key[0]}_{self.key[1]}.npy"

    @property
    def files(self) -> Mapping[str, str]:
        """See `StoredForm.files`."""
        return {self.name: NUMPY_TYPES[self.precision]}

    def total_bytes(self, counts: IntArray) -> int:
        """See `StoredForm.total_bytes`."""
        elements = self.shape.elements(np.arange(len(counts))) * counts
        return int(elements.sum()) * np.dtype(NUMPY_TYPES[self.precision]).itemsize

    def encode(self, value: Tensor, batch: Batch) -> Mapping[str, NDArray[Any]]:
        """See `StoredForm.encode`."""
        lengths = batch.attention_mask.sum(1).tolist()
        flat = torch.cat(
            [row[_corner(self.shape.of(length))].reshape(-1) for row, length in zip(value, lengths, strict=True)]
        ).float()
        if self.precision == "bfloat16":
            return {self.name: flat.to(torch.bfloat16).view(torch.uint16).cpu().numpy()}
        if self.precision == "float16":
            flat = flat.to(torch.float16)
            if bool(torch.isinf(flat).any()):
                raise OutOfRangeError(self.name)
        return {self.name: flat.cpu().numpy()}

    def wider(self) -> Dense:
        """See `StoredForm.wider`."""
        return replace(self, precision="bfloat16") if self.precision == "float16" else self

    def describe(self) -> dict[str, Any]:
        """See `StoredForm.describe`."""
        return {"key": list(self.key), "shape": list(self.shape.dimensions), "precision": self.precision}

    def open(self, directory: Path, lengths: NDArray[Any]) -> Mapping[FeatureKey, StoredReader]:
        """See `StoredForm.open`."""
        return {self.key: _DenseReader(self, directory, lengths)}


class _DenseReader:
    """Reads what `Dense` stores."""

    def __init__(self, form: Dense, directory: Path, lengths: NDArray[Any]) -> None:
        self._form = form
        self._lengths = lengths
        self._borders = _borders(form.shape.elements(lengths))
        self._values = open_array(directory / form.name)

    def padded(self, places: IntArray, batch: Batch) -> Tensor:
        """See `StoredReader.padded`."""
        shape, precision = self._form.shape, self._form.precision
        result = torch.zeros((len(places), *shape.of(batch.input_ids.shape[1])), dtype=getattr(torch, precision))
        target = result.view(torch.uint16).numpy() if precision == "bfloat16" else result.numpy()
        for index, place in enumerate(places):
            own = shape.of(int(self._lengths[place]))
            target[index][_corner(own)] = self._values[self._borders[place] : self._borders[place + 1]].reshape(own)
        return result.to(batch.input_ids.device).float()


@dataclass(frozen=True)
class TopLogits:
    """Logits over a vocabulary: log-probabilities of the `TOP_K` likeliest outputs, and the mass of all the others.

    That mass depends on the temperature by which a loss divides the logits, so it is kept for each that will be asked
    for. Read back as logits for one of them, whose softmax at it has exactly the stored probabilities, the rest spread
    evenly over all other outputs. Where tokens have labels, only tokens that count are kept; elsewhere ``logits`` are
    zeros.
    516 bytes per distribution at a vocabulary of BERT's size and 4 per temperature, where float16 logits take 61,000.

    Args:
        key: of the logits.
        outputs: size of the vocabulary.
        per_token: whether each token has its own distribution.
        counted: share of the tokens that count, for the estimate of size.
        temperatures: at which the mass of the rest is kept, each > 0.
    """

    key: FeatureKey
    outputs: int
    per_token: bool
    counted: float = 1.0
    temperatures: tuple[float, ...] = (1.0,)

    NAMES = ("logits_top.npy", "logits_ids.npy", "logits_rest.npy", "logits_counts.npy")

    @property
    def asked(self) -> FeatureKey:
        """See `StoredForm.asked`: of a text most tokens are not masked, and each would hold a whole vocabulary."""
        return MASKED_LOGITS if self.per_token else self.key

    @property
    def files(self) -> Mapping[str, str]:
        """See `StoredForm.files`."""
        ids = "<u2" if self.outputs <= 2**16 else "<i4"
        return dict(zip(self.NAMES, ("<f2", ids, "<f4", "<i4"), strict=True))

    def total_bytes(self, counts: IntArray) -> int:
        """See `StoredForm.total_bytes`."""
        sizes = {name: np.dtype(dtype).itemsize for name, dtype in self.files.items()}
        examples, tokens = int(counts.sum()), int((counts * np.arange(len(counts))).sum())
        items = self.counted * float(tokens) if self.per_token else float(examples)
        top, ids, rest, count = (sizes[name] for name in self.NAMES)
        return int(items * (TOP_K * (top + ids) + len(self.temperatures) * rest)) + examples * count

    def encode(self, value: Tensor, batch: Batch) -> Mapping[str, NDArray[Any]]:
        """See `StoredForm.encode`."""
        logs = torch.log_softmax(value.float(), dim=-1)
        top, ids = logs.topk(min(TOP_K, self.outputs), dim=-1)
        others = logs.scatter(-1, ids, -torch.inf)
        rest = torch.stack([torch.logsumexp(others / temperature, dim=-1) for temperature in self.temperatures], dim=-1)
        counts = self.mask(batch).sum(1) if self.per_token else torch.ones(len(value), dtype=torch.int64)
        arrays = (
            # Beyond float16's range a log-probability is that of nothing: exp(-1e4) is 0.
            top.clamp_min(-1e4).to(torch.float16),
            ids,
            rest,
            counts,
        )
        return {name: array.cpu().numpy().reshape(-1) for name, array in zip(self.NAMES, arrays, strict=True)}

    def mask(self, batch: Batch) -> Tensor:
        """Where a batch's logits are kept: ``batch x tokens``, or ``batch``, bool."""
        if not self.per_token:
            return torch.ones(len(batch.input_ids), dtype=torch.bool, device=batch.input_ids.device)
        return counted_tokens(batch)

    def wider(self) -> TopLogits:
        """See `StoredForm.wider`."""
        return self

    def describe(self) -> dict[str, Any]:
        """See `StoredForm.describe`."""
        return {
            "key": list(self.key),
            "outputs": self.outputs,
            "per_token": self.per_token,
            "temperatures": list(self.temperatures),
        }

    def open(self, directory: Path, lengths: NDArray[Any]) -> Mapping[FeatureKey, StoredReader]:
        """See `StoredForm.open`."""
        *files, counts = (open_array(directory / name) for name in self.NAMES)
        borders = _borders(counts)  # eight bytes an example, shared
        readers: dict[FeatureKey, StoredReader] = {
            softened_logits(temperature): _TopReader(self, files, borders, place)
            for place, temperature in enumerate(self.temperatures)
        }
        if self.per_token and 1.0 in self.temperatures:
            readers[MASKED_LOGITS] = _TopReader(self, files, borders, self.temperatures.index(1.0), in_place=False)
        return readers


class _TopReader:
    """Reads what `TopLogits` stores, for the temperature at a place among its own.

    With ``in_place`` as logits where their tokens are, else of the tokens that count alone.
    """

    def __init__(
        self, form: TopLogits, files: Iterable[NDArray[Any]], borders: IntArray, place: int, in_place: bool = True
    ) -> None:
        self._form = form
        self._borders = borders
        self._place = place
        self._in_place = in_place
        self._top, self._ids, self._rest = files

    def padded(self, places: IntArray, batch: Batch) -> Tensor:
        """See `StoredReader.padded`."""
        form, mask = self._form, self._form.mask(batch)
        device = mask.device  # whole rows of the vocabulary are many times what is stored, so they are made there
        items = np.concatenate([np.arange(*self._borders[place : place + 2]) for place in places])
        kept = min(TOP_K, form.outputs)
        columns = items[:, None] * kept + np.arange(kept)
        mass = torch.from_numpy(self._rest[items * len(form.temperatures) + self._place]).to(device)
        # Divided by the temperature again, each of the others has its even share of the mass.
        rest = form.temperatures[self._place] * (mass - np.log(max(1, form.outputs - kept)))
        rows: Tensor = rest[:, None].expand(-1, form.outputs).clone()
        ids = torch.from_numpy(self._ids[columns].astype(np.int64)).to(device)
        rows.scatter_(1, ids, torch.from_numpy(self._top[columns]).to(device).float())
        if not self._in_place:
            return rows
        result = torch.zeros((*mask.shape, form.outputs), device=device)
        result[mask] = rows
        return result


def form_of(description: Mapping[str, Any]) -> StoredForm:
    """Return the form that `StoredForm.describe` described."""
    key: FeatureKey = tuple(description["key"])
    if "outputs" in description:
        temperatures = tuple(description["temperatures"])
        return TopLogits(key, description["outputs"], description["per_token"], temperatures=temperatures)
    return Dense(key, FeatureShape(tuple(description["shape"])), description["precision"])


def _borders(sizes: NDArray[Any]) -> IntArray:
    """Where each of some pieces begins that lie one after the other, and where the last one ends."""
    borders = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=borders[1:])
    return borders


@functools.lru_cache
def _corner(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of an array without its padding."""
    return tuple(slice(size) for size in shape)
