"""Harvests the docstrings of several libraries, in as many processes as there are cores.

Parsing is pure Python, so processes and not threads make it parallel; see `autodistill.data.part_workers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autodistill.data.docstrings import Excerpt, give_aways, harvest
from autodistill.data.part_workers import cores, map_parts


@dataclass(frozen=True)
class Harvest:
    """What to harvest and how; see `harvest_all`."""

    folders: Sequence[Path]
    libraries: Sequence[str]
    words: tuple[int, int]
    limits: tuple[int, int]


def harvest_all(
    folders: Sequence[Path], libraries: Sequence[str], words: tuple[int, int], limits: tuple[int, int]
) -> list[list[Excerpt]]:
    """Harvest libraries in parallel processes, as many as there are cores; see `autodistill.data.docstrings.harvest`.

    Args:
        folders: one per library.
        libraries: their names, all of which are masked in every text.
        words: words per excerpt, least and most.
        limits: excerpts at most, in all and from one file.

    Returns:
        Excerpts per library; near-duplicates across libraries are still in them.
    """
    parts = range(len(folders))
    found = dict(map_parts(_HARVEST, Harvest(folders, libraries, words, limits), parts, cores()))
    return [[Excerpt(text, group) for text, group in found[part]] for part in parts]


_HARVEST = "autodistill.data.harvest_worker:harvest_one"


def harvest_one(wanted: Harvest, part: int) -> list[tuple[str, str]]:
    """Text and group of the excerpts of one library."""
    found = harvest(wanted.folders[part], give_aways(wanted.libraries), wanted.words, wanted.limits, set())
    return [(excerpt.text, excerpt.group) for excerpt in found]
