"""Entities from words with tags, by the rules of conlleval and of seqeval's default mode [Nakayama2018]_.

A tag is ``O``, or a prefix and a type: ``B-PER`` begins an entity, ``I-PER`` goes on with it; also ``E`` or ``L`` for
its last word and ``S`` or ``U`` for one of a single word. An entity that begins without ``B`` counts as one, as there.

.. [Nakayama2018] seqeval: a Python framework for sequence labeling evaluation. https://github.com/chakki-works/seqeval
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.outcome import Score
from autodistill.evaluators.measures import ClassCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The class of words that are nothing in particular.
OUTSIDE = "O"

_TAG = re.compile(r"[BIELSU](-.+)?")
_SAME_PREFIX = {"L": "E", "U": "S"}


def are_entity_tags(labels: Sequence[str]) -> bool:
    """Whether class names are tags that begin and continue entities."""
    tags = [label for label in labels if label != OUTSIDE]
    return any(tag.startswith(("B-", "I-")) or tag == "B" for tag in tags) and all(map(_TAG.fullmatch, tags))


def entity_f1(
    labels: NDArray[np.int64],
    answers: NDArray[np.int64],
    names: Sequence[str],
    owners: NDArray[np.int64],
    examples: int,
) -> Score:
    """F1 of entities, all types together: right is what has the same words and the same type.

    Args:
        labels: words, class ids; those of a sentence one after another.
        answers: likewise.
        names: of the classes; see `are_entity_tags`.
        owners: words: the sentence of each.
        examples: sentences.
    """
    wanted, given = (entities(tags, names, owners) for tags in (labels, answers))
    every = np.unique(np.concatenate([wanted, given]), axis=0)
    rows = [_contains(every, found)[:, None] for found in (wanted, given)]
    return ClassCounts(rows[0], rows[1], owners[every[:, 0]], examples).micro_f1()


def entities(tags: NDArray[np.int64], names: Sequence[str], owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """``entities x 3``: first word, the one after the last, number of the type; in order.

    Args:
        tags: words, class ids.
        names: of the classes.
        owners: words: the sentence of each; no entity goes beyond one.
    """
    prefixes, types = _parts(names)
    # A word before the first and one after the last, both outside.
    prefix = np.concatenate([["O"], prefixes[tags], ["O"]])
    kind = np.concatenate([[-1], types[tags], [-1]])
    apart = np.concatenate([[True], owners[1:] != owners[:-1], [True]])[: len(tags) + 1]
    before, after = prefix[:-1], prefix[1:]
    changes = apart | (kind[:-1] != kind[1:]) | np.isin(after, ("B", "S")) | np.isin(before, ("E", "S"))
    starts = np.flatnonzero((after != "O") & (changes | (before == "O")))
    stops = np.flatnonzero((before != "O") & (changes | (after == "O")))
    return np.stack([starts, stops, types[tags[starts]]], axis=1)


def _parts(names: Sequence[str]) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Of each class, its prefix and the number of its type (-1 outside)."""
    prefixes = [_SAME_PREFIX.get(name[0], name[0]) for name in names]
    kinds = sorted({name[2:] for name in names if name != OUTSIDE})
    return np.array(prefixes), np.array([-1 if name == OUTSIDE else kinds.index(name[2:]) for name in names])


def _contains(rows: NDArray[np.int64], some: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of each row, whether it is among some others."""
    known = set(map(tuple, some.tolist()))
    return np.array([tuple(row) in known for row in rows.tolist()], dtype=bool)
