"""What must match when a study goes on, and how a difference is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_studies import replaced, tiny_study

from autodistill.configs.composition import compose
from autodistill.engine.identity import check_identity, study_identity
from autodistill.engine.workbench import Workbench
from autodistill.errors import StudyError
from autodistill.registry import Registry

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


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_study(tmp_path_factory.mktemp("identity"), "evaluator=[agreement]")


def identity_of(overrides: list[str], registry: Registry, *more: str) -> dict[str, Any]:
    return study_identity(Workbench(compose(replaced(overrides, *more), registry), registry))


def test_an_evaluator_that_trials_are_judged_by_may_not_change(overrides: list[str], fresh_registry: Registry) -> None:
    judged = "objectives.quality.metric=agreement.worst_class"
    before = identity_of(overrides, fresh_registry, judged)
    after = identity_of(overrides, fresh_registry, judged, "evaluator.agreement.min_class_examples=3")
    check_identity("first", after, after)
    line = r'evaluator.agreement: the study has the default, now {"min_class_examples": 3}'
    with pytest.raises(StudyError, match=line):
        check_identity("first", before, after)
    with pytest.raises(StudyError, match=r"evaluator.agreement: the study has {.*}, now the default"):
        check_identity("first", after, before)


def test_an_evaluator_that_judges_nothing_may_change(overrides: list[str], fresh_registry: Registry) -> None:
    plain, other = (
        identity_of(overrides, fresh_registry, *more) for more in ((), ("evaluator.agreement.min_class_examples=3",))
    )
    check_identity("first", plain, other)


def test_a_file_counts_by_its_content_and_not_by_its_place(
    overrides: list[str], fresh_registry: Registry, tmp_path: Path
) -> None:
    before = identity_of(overrides, fresh_registry)
    first = Path(before["latency"]["replay"]["path"]["file"])
    moved = tmp_path / "moved.json"
    moved.write_bytes(first.read_bytes())
    check_identity("first", before, identity_of(overrides, fresh_registry, f"latency.replay.path={moved}"))

    content = json.loads(first.read_text())
    moved.write_text(json.dumps({**content, "default": {"median": 6.0}}))
    line = rf"latency\.replay\.path: the content of the file has changed: the study has {first} \(.*, now {moved} \("
    with pytest.raises(StudyError, match=line):
        check_identity("first", before, identity_of(overrides, fresh_registry, f"latency.replay.path={moved}"))


def test_studies_of_earlier_versions_that_have_the_path_alone_go_on(
    overrides: list[str], fresh_registry: Registry
) -> None:
    given = identity_of(overrides, fresh_registry)
    replay = given["latency"]["replay"]
    stored = {**given, "latency": {"replay": {**replay, "path": replay["path"]["file"]}}}
    check_identity("first", stored, given)
    stored["latency"]["replay"]["path"] = "/elsewhere.json"
    with pytest.raises(StudyError, match=r'path: the study has "/elsewhere.json", now "'):
        check_identity("first", stored, given)
