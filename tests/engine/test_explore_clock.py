from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from autodistill.engine import explore_clock
from autodistill.engine.explore_clock import BUDGET_STAGE, ExploreClock
from autodistill.engine.session import Session
from autodistill.engine.storage import Storage


@pytest.fixture
def storage(open_storage: Callable[..., Storage]) -> Storage:
    return open_storage()


@pytest.fixture
def study_id(storage: Storage) -> int:
    return storage.create_study("demo", identity={}, config={}, components={}, environment={}).id


def test_stages_inside_the_loop_are_not_counted_twice(storage: Storage, study_id: int, clock: Any) -> None:
    with ExploreClock(storage, study_id, clock) as explored:
        clock.now += 100
        storage.add_seconds(study_id, "latency", 30.0)
        explored.beat()
        assert storage.seconds(study_id) == {"latency": 30.0, "explore": 70.0, BUDGET_STAGE: 100.0}
        clock.now += 5
    assert storage.seconds(study_id) == {"latency": 30.0, "explore": 75.0, BUDGET_STAGE: 105.0}


def test_a_timing_that_is_under_way_at_an_entry_is_set_right_by_the_next(
    storage: Storage, study_id: int, clock: Any
) -> None:
    with ExploreClock(storage, study_id, clock) as explored:
        clock.now += 20  # all of it inside a timing that has not ended
        explored.beat()
        clock.now += 1
        storage.add_seconds(study_id, "latency", 20.0)
    assert storage.seconds(study_id) == {"latency": 20.0, "explore": 1.0, BUDGET_STAGE: 21.0}


def test_final_timings_do_not_use_up_the_hours_of_a_later_search(storage: Storage, study_id: int, clock: Any) -> None:
    with ExploreClock(storage, study_id, clock):
        clock.now += 60
    storage.add_seconds(study_id, "latency", 3600.0)  # of trained models
    with ExploreClock(storage, study_id, clock) as later:
        clock.now += 2
        assert later.seconds == 62.0


def test_the_hours_of_all_processes_are_one_budget(storage: Storage, study_id: int, clock: Any) -> None:
    with ExploreClock(storage, study_id, clock) as here, ExploreClock(storage, study_id, clock) as there:
        clock.now += 60
        there.beat()
        assert here.seconds == 120.0
        here.beat()
        clock.now += 1
        assert there.seconds == 121.0


def test_stages_of_several_processes_add_up(open_storage: Callable[..., Storage], study_id: int, clock: Any) -> None:
    here, there = open_storage(), open_storage()
    with ExploreClock(here, study_id, clock), ExploreClock(there, study_id, clock):
        clock.now += 100
        here.add_seconds(study_id, "latency", 60.0)
        there.add_seconds(study_id, "latency", 60.0)
    assert here.seconds(study_id) == {"latency": 120.0, "explore": 80.0, BUDGET_STAGE: 200.0}


def test_seconds_are_written_while_they_pass(storage: Storage, study_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore_clock, "BEAT_SECONDS", 0.01)
    with ExploreClock(storage, study_id) as explored:
        while not storage.seconds(study_id).get(BUDGET_STAGE, 0.0) > 0:
            assert explored.seconds < 600


def test_training_in_full_does_not_hold_the_teachers_pass(
    storage: Storage, study_id: int, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autodistill.engine.session.time", SimpleNamespace(monotonic=clock))
    session: Any = Session.__new__(Session)
    session.storage, session.study = storage, SimpleNamespace(id=study_id)
    storage.add_seconds(study_id, "teacher_cache", 7.0)
    with session.timed("distill"):
        clock.now += 100
        storage.add_seconds(study_id, "teacher_cache", 30.0)
    assert storage.seconds(study_id) == {"teacher_cache": 37.0, "distill": 70.0}
