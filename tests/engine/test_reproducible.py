"""With replayed latency, one thread and a trial budget a study is the same twice, bit by bit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tiny_studies import command, environment, replaced, timeless, tiny_study, weights

import autodistill

SEARCHES = {
    "random": ["search=random"],
    "botorch": ["search=botorch", "search.initial=3", "budget.trials=5", "schedule.examples=320", "baseline=[]"],
}


@pytest.mark.slow
@pytest.mark.parametrize("search", SEARCHES)
def test_the_same_study_in_another_process_is_bit_identical(search: str, tmp_path: Path) -> None:
    overrides = tiny_study(tmp_path, *SEARCHES[search])
    here, there = tmp_path / "here", tmp_path / "there"
    child = command("run", *replaced(overrides, f"output_dir={there}"))
    process = subprocess.Popen(child, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
    given = replaced(overrides, f"output_dir={here}")
    study = autodistill.run(autodistill.compose(given), overrides=given)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-3000:]
    theirs = json.loads((there / "study" / "summary.json").read_text())
    assert timeless(study.summary()) == timeless(theirs)
    mine = weights(study.directory)
    assert mine
    assert mine == weights(there / "study")


def test_another_seed_gives_another_study(tmp_path: Path) -> None:
    overrides = tiny_study(tmp_path, "budget.trials=2", "teacher.allow_weak=true")  # one seed's teacher learns nothing
    found = []
    for seed in (0, 1):
        given = replaced(overrides, f"output_dir={tmp_path / str(seed)}", f"seed={seed}")
        study = autodistill.run(autodistill.compose(given), overrides=given, explore_only=True)
        found.append([row["metrics"] for row in study.summary()["history"]])
    assert found[0] != found[1]
