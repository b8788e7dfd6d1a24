"""The files of results are what benchmarks/README.md says, those of the repository and what the quickstart's writes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

FILES = sorted((ROOT / "benchmarks" / "results").glob("*.json"))

#: Of a file, or of each section of one that several scripts share.
KEYS = {"command", "created", "machine", "settings", "results"}


def sections(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What each script wrote."""
    alone = {name: item for name, item in content.items() if name != "benchmark"}
    yield from [alone] if "results" in content else alone.values()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_of_results_says_what_made_it_when_and_where(path: Path) -> None:
    content = json.loads(path.read_text())
    assert content["benchmark"] == path.stem
    for section in sections(content):
        assert set(section) == KEYS


def test_the_quickstart_writes_such_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    teacher = {"parameters": 9, "metrics": {"classification.accuracy": {"value": 0.5}}, "latencies": {}}
    keys = ("verdict", "trials", "hypervolume", "flash_spread", "seconds", "cost", "splits", "alarms")
    summary = {**dict.fromkeys(keys), "teacher": teacher, "references": [], "baselines": [], "picks": []}
    module = importlib.import_module("benchmarks.quickstart")
    content = module.content(
        make=True, seed=0, first=module.Watched("make quickstart", seconds=1.5, peak_bytes=7, summary=summary)
    )
    assert set(content) == {"benchmark", *KEYS}
    assert content["command"] == "python benchmarks/quickstart.py --make"
    more = module.Watched("autodistill run", seconds=2.5, peak_bytes=8, summary=summary)
    both = module.content(make=False, seed=4, first=more, picks_seeds=3, more=more)
    assert both["command"] == "python benchmarks/quickstart.py --seed 4 --picks-seeds 3"
    assert both["results"]["several_seeds"]["wall_seconds"] == 2.5
    assert (content["results"]["wall_seconds"], content["results"]["peak_memory_bytes"]) == (1.5, 7)
    assert content["results"]["rows"]["teacher"]["accuracy"] == {"value": 0.5}
