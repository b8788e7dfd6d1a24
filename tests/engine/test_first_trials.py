"""Architectures that are tried before the search proposes any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_studies import architecture, tiny_study

from autodistill.cli import main
from autodistill.engine.given_architectures import first_architectures
from autodistill.engine.space import build_space
from autodistill.errors import ConfigError

SPACE = build_space(
    "toy",
    {
        "width": [128, 256, 384],
        "ratio": [1.5, 2, 4],
        "inner": {"type": "derived", "value": "width * ratio"},
        "kind": {"type": "categorical", "values": ["plain", "gated"]},
        "gates": {"values": [2, 4], "when": "kind == 'gated' and inner > 256", "default": 4},
    },
    {"slim": "inner <= 1024"},
)
GOOD = {"width": 128, "ratio": 2, "kind": "plain"}


@given(st.sampled_from(list(SPACE.enumerate())), st.booleans())
def test_whatever_follows_from_other_choices_may_be_left_out(whole: Any, everything: bool) -> None:
    matters = whole.choices["kind"] == "gated" and whole.choices["inner"] > 256
    left_out = () if everything else ("inner", *(() if matters else ("gates",)))
    choices = {name: value for name, value in whole.choices.items() if name not in left_out}
    assert first_architectures(SPACE, [choices, {"family": "toy", "choices": choices}]) == (whole,)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (7, "first_trials[1] must be {family: NAME, choices: {PARAMETER: VALUE, ...}}, e.g. "),
        ({}, "first_trials[1] must be {family: NAME"),
        ({"family": "bert", "choices": GOOD}, "first_trials[1] is of the family 'bert', but the study searches 'toy'."),
        (
            {**GOOD, "widht": 128},
            "first_trials[1]: the space has no 'widht'. Did you mean 'width'? It has: width, ratio",
        ),
        ({**GOOD, "width": 100}, "is not in the space: width is 100, must be one of 128, 256, 384."),
        ({**GOOD, "kind": True}, "is not in the space: kind is True, must be one of plain, gated."),
        ({"ratio": 2}, "first_trials[1] is not in the space: it lacks width, kind."),
        ({**GOOD, "width": 384, "ratio": 4}, "first_trials[1] is not in the space: it breaks student.rules.slim."),
        ({**GOOD, "width": 256, "kind": "gated"}, "first_trials[1] is not in the space: it lacks gates."),
        (
            {**GOOD, "inner": 300},
            "first_trials[1].inner is 300, but follows from the other choices, by which it is 256.",
        ),
        ({**GOOD, "gates": 2}, "first_trials[1].gates is 2, but follows from the other choices, by which it is 4."),
    ],
)
def test_an_architecture_outside_the_space_is_told_by_its_place_and_the_reason(wrong: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        first_architectures(SPACE, [GOOD, wrong])
    assert message in str(error.value)


def history_of(directory: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(next(directory.rglob("summary.json")).read_text())["history"]
    return rows


@pytest.mark.parametrize("search", ["botorch", "evolution"])
def test_they_come_first_count_and_are_not_tried_again(tmp_path: Path, search: str) -> None:
    first = [architecture(2, 16), architecture(1, 64)]
    listed = ",".join(
        f"{{num_layers:{item.choices['num_layers']},hidden_size:32,num_heads:4,"
        f"intermediate_size:{item.choices['intermediate_size']}}}"
        for item in (*first, first[0])
    )
    study = tiny_study(tmp_path, "study.name=seeded", f"search={search}", f"first_trials=[{listed}]")
    more = "{num_layers:2,hidden_size:32,num_heads:4,intermediate_size:64}"
    for trials, given_first in ((1, listed), (4, listed), (5, more)):
        again = [item for item in study if not item.startswith("first_trials=")]
        assert main(["explore", *again, f"budget.trials={trials}", f"first_trials=[{given_first}]"]) == 0
    assert main(["report", *(item for item in study if item.startswith(("study.name", "output_dir")))]) == 0
    rows = history_of(tmp_path)
    choices = [row["architecture"] for row in rows]
    assert choices[:2] == [dict(item.choices) for item in first]
    assert [row["note"]["by"] == "first" for row in rows[:4]] == [True, True, False, False]
    assert len(rows) == 5
    tried_before = dict(architecture(2, 64).choices) in choices[:4]
    assert (rows[4]["note"]["by"] == "first") == (not tried_before)


def test_one_that_cannot_be_tried_is_an_error_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tiny_study(tmp_path, "study.name=seeded", "first_trials=[{num_layers:9}]")
    assert main(["explore", *study]) == 2
    assert "first_trials[0] is not in the space: num_layers is 9, must be one of 1, 2." in capsys.readouterr().err
    assert main(["explore", *tiny_study(tmp_path, "study.name=seeded", "first_trials=3")]) == 2
    assert "first_trials must be a list of architectures, got 3." in capsys.readouterr().err
    assert not list(tmp_path.rglob("studies.db"))
