"""``python -m autodistill.data.harvest_worker``: harvests one library's docstrings in a process of its own.

Parsing is pure Python, so processes and not threads make it parallel. They are started by command line rather than by
`multiprocessing`, which would import the user's script again. A request and its answer are one JSON object each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from autodistill.data.docstrings import Excerpt, give_aways, harvest
from autodistill.errors import DataError


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

    Raises:
        DataError: a process failed; with its last words.
    """

    def one(folder: Path) -> list[Excerpt]:
        request = {"folder": str(folder), "libraries": list(libraries), "words": words, "limits": limits}
        command = [sys.executable, "-m", "autodistill.data.harvest_worker"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(
            command, input=json.dumps(request), env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise DataError(f"The docstrings of {folder.name} could not be read: {done.stderr.strip()[-500:]}")
        return [Excerpt(text, group) for text, group in json.loads(done.stdout)]

    with ThreadPoolExecutor(max_workers=max(1, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(one, folders))


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    found = harvest(
        Path(request["folder"]),
        give_aways(request["libraries"]),
        tuple(request["words"]),
        tuple(request["limits"]),
        set(),
    )
    json.dump([[excerpt.text, excerpt.group] for excerpt in found], sys.stdout)


if __name__ == "__main__":
    main()
