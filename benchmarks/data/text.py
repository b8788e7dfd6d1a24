"""Generated English-like text of any size, the same for the same seed: words by Zipf's law, made of syllables."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

#: Pieces that words are made of.
SYLLABLES = """
ba be bi bo bu ca ce ci co cu da de di do du fa fe fi fo ga ge gi go ha he hi ho ing ion is ka la le li lo lu
ma me mi mo mu na ne ni no nu ol on or pa pe pi po ra re ri ro sa se si so ta te ti to tu va ve vi wa we ya
""".split()

#: Different words.
WORDS = 50_000

#: Words of a document, mean.
DOCUMENT = 400


def write_text(path: Path, megabytes: int, seed: int = 0) -> float:
    """Write documents with empty lines between them; returns the seconds it took.

    Args:
        path: of the file; one that is large enough already stays.
        megabytes: decimal; a little more is written.
        seed: of the text.
    """
    if path.exists() and path.stat().st_size >= megabytes * 1e6:
        return 0.0
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    words = np.array(["".join(rng.choice(SYLLABLES, size=rng.integers(1, 4))) for _ in range(WORDS)], dtype=object)
    chances = 1 / np.arange(1, WORDS + 1)
    chances /= chances.sum()
    scratch = path.with_suffix(".part")
    with scratch.open("w") as file:
        while file.tell() < megabytes * 1e6:
            for length in rng.poisson(DOCUMENT, size=200):
                text = rng.choice(words, size=max(5, length), p=chances)
                lines = [" ".join(text[start : start + 20]) + "." for start in range(0, len(text), 20)]
                file.write("\n".join(lines) + "\n\n")
    scratch.rename(path)
    return time.perf_counter() - started
