"""What must match when a study goes on, and how a difference is told."""

from __future__ import annotations

import pytest

from autodistill.engine.identity import check_identity
from autodistill.errors import StudyError

STORED = {
    "teacher": {"name": "mini", "fingerprint": "abc"},
    "loss": {"kl": {"name": "logits_kl", "weight": 1.0}},
    "student": {"space": {"num_layers": [1, 2]}},
}


def test_the_same_identity_passes() -> None:
    check_identity("first", STORED, {**STORED, "loss": {"kl": {"weight": 1.0, "name": "logits_kl"}}})


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {**STORED, "teacher": {"name": "maxi", "fingerprint": "abc"}},
            'teacher.name: the study has "mini", now "maxi"',
        ),
        ({**STORED, "loss": {}}, 'loss.kl: the study has {"name": "logits_kl", "weight": 1.0}, now none'),
        ({**STORED, "data": 3}, "data: the study has none, now 3"),
        (
            {**STORED, "student": {"space": {"num_layers": [1]}}},
            r"student.space.num_layers: the study has [1, 2], now [1]",
        ),
        ({**STORED, "student": [1]}, "student: the study has {"),
    ],
)
def test_a_difference_is_named_by_its_path_with_both_values(given: dict[str, object], line: str) -> None:
    with pytest.raises(StudyError) as caught:
        check_identity("first", STORED, given)
    text = str(caught.value)
    assert f"\n  {line}" in text
    assert "'first' exists and is about something else" in text


def test_both_ways_on_are_told() -> None:
    with pytest.raises(StudyError, match=r"(?s)leave these settings out.*study\.name=NAME"):
        check_identity("first", STORED, {})


def test_many_differences_are_cut_to_a_screenful_and_long_values_to_a_line() -> None:
    given = {**STORED, **{f"key{index:02d}": "x" * 200 for index in range(30)}}
    with pytest.raises(StudyError) as caught:
        check_identity("first", STORED, given)
    lines = str(caught.value).splitlines()
    assert "  ... and 10 more" in lines
    assert len([line for line in lines if line.startswith("  key")]) == 20
    assert max(map(len, lines[:-1])) < 140
