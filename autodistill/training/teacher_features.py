"""Teacher features for a batch: read from the cache where they fit, computed where they do not, by one interface.

How the cache's files look is in `autodistill.training.teacher_cache`.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import torch

from autodistill.training.features import forward_features
from autodistill.training.teacher_cache import TeacherCache, cache_directory, feature_shapes, write_cache

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch, FeatureKey, Features
    from autodistill.training.tokenised import TokenisedSplit

    IntArray: TypeAlias = "NDArray[np.int64]"

_log = logging.getLogger(__name__)


class TeacherFeatures(Protocol):
    """Gives the teacher's features of a batch."""

    def get(self, batch: Batch, keys: frozenset[FeatureKey] | None = None) -> Features:
        """Features of the examples ``batch.rows``, padded as the batch is, on its device, without gradients.

        Args:
            batch: the examples.
            keys: what is wanted of what it gives; None for all. No layer above is run.
        """
        ...


class OnlineTeacherFeatures:
    """Runs the teacher on every batch.

    Args:
        teacher: is put into evaluation mode and follows the batches to their device.
        keys: features to give.
    """

    def __init__(self, teacher: PreTrainedModel, keys: frozenset[FeatureKey]) -> None:
        self._teacher = teacher.eval()
        self._keys = keys

    def get(self, batch: Batch, keys: frozenset[FeatureKey] | None = None) -> Features:
        """See `TeacherFeatures.get`."""
        wanted = self._keys if keys is None else keys
        if not wanted:
            return {}
        if self._teacher.device != batch.input_ids.device:
            self._teacher.to(batch.input_ids.device)
        with torch.no_grad():
            return forward_features(self._teacher, batch, wanted, max_layer=deepest_layer(wanted))


def deepest_layer(keys: frozenset[FeatureKey]) -> int | None:
    """The last block that must be run for these features; None for all of them, as the logits need."""
    layers = [layer for name, layer in keys if layer is not None]
    return max(1, *layers) if layers and len(layers) == len(keys) else None


def estimate_bytes(
    teacher: PreTrainedModel, split: TokenisedSplit, keys: frozenset[FeatureKey], rows: IntArray | None = None
) -> int:
    """Return the size in bytes of a cache of these features; runs the teacher on one example.

    Args:
        teacher: whose features they are.
        split: the examples.
        keys: features to keep.
        rows: examples to keep, or None for all; those named twice count once.
    """
    lengths = split.lengths if rows is None else split.lengths[np.unique(rows)]
    return sum(shape.total_bytes(lengths) for shape in feature_shapes(teacher, split, keys).values())


def cached_teacher_features(
    teacher: PreTrainedModel,
    split: TokenisedSplit,
    keys: frozenset[FeatureKey],
    cache_dir: Path,
    fingerprint: str,
    max_bytes: int,
    rows: IntArray | None,
) -> TeacherFeatures:
    """Return the teacher's features, computed once for ``rows`` and shared by all processes that use ``cache_dir``.

    What would be larger than ``max_bytes`` is not written: then the teacher runs on every batch.

    Args:
        teacher: whose features they are; runs where its weights are.
        split: the examples.
        keys: features to give.
        cache_dir: files are kept under ``teacher_features/<key>``.
        fingerprint: of the teacher's weights, as they are now.
        max_bytes: largest size of these files; 0 = never write.
        rows: examples that will be asked for (repetitions do no harm), or None for all.
    """
    if not keys or not len(split):
        return OnlineTeacherFeatures(teacher, keys)
    everything = np.arange(len(split), dtype=np.int64)
    whole = cache_directory(cache_dir, split, keys, fingerprint, everything)
    if whole.is_dir():
        os.utime(whole)  # eviction goes by last use
        return TeacherCache(whole)
    wanted = everything if rows is None else np.unique(rows).astype(np.int64)
    directory = cache_directory(cache_dir, split, keys, fingerprint, wanted)
    if not directory.is_dir():
        needed = estimate_bytes(teacher, split, keys, wanted)
        if needed > max_bytes:
            _log.info("Teacher features need %d bytes, more than %d: the teacher runs online.", needed, max_bytes)
            return OnlineTeacherFeatures(teacher, keys)
        write_cache(directory, teacher, split, keys, wanted)
    os.utime(directory)  # eviction goes by last use
    return TeacherCache(directory)
