"""Components that fail in a way that nobody foresaw: the error says whose it is and what it was doing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autodistill.components.outcome import Job
from autodistill.configs.settings import choose
from autodistill.engine import finals
from autodistill.engine.explore import Explorer
from autodistill.engine.runner import Runner
from autodistill.engine.storage import Storage
from autodistill.engine.trial_latency import compose_architecture, measure_architecture
from autodistill.errors import ExportError, LatencyError, PluginError
from autodistill.registry import Registry


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def session_with(registry: Registry, folder: Path, **more: Any) -> Any:
    chosen = {
        "latency": {"phone": choose(registry, "latency", "phone", {"name": "torch"})},
        "export": {"file": choose(registry, "export", "file", {"name": "onnx"})},
    }
    search = choose(registry, "search", "search", {"name": "random"})
    settings = SimpleNamespace(several=chosen, one=lambda _: search, study_dir=folder)
    return SimpleNamespace(settings=settings, timed=lambda _: nullcontext(), **more)


def test_a_latency_backend_is_named_with_the_trial(fresh_registry: Registry, tmp_path: Path) -> None:
    backend = SimpleNamespace(measure=failing(RuntimeError("no route")), compose=None)
    bench = SimpleNamespace(build=print, constraints=())
    session = session_with(fresh_registry, tmp_path, backends={"phone": backend}, bench=bench)
    trial: Any = SimpleNamespace(number=3, architecture="bert")
    with pytest.raises(RuntimeError, match="no route") as caught:
        measure_architecture(session, trial)
    (note,) = caught.value.__notes__
    assert note.startswith("latency.phone (the latency backend 'torch' of autodistill ")
    assert note.endswith("failed, timing trial 3.")
    subject: Any = SimpleNamespace(name="pick 3")
    with pytest.raises(RuntimeError) as caught:
        finals.time_subject(session, subject)
    assert caught.value.__notes__[-1].endswith("failed, timing pick 3.")
    assert compose_architecture(session, trial) == {}


def test_a_schedule_whose_phases_are_too_long_is_named_before_the_run(fresh_registry: Registry) -> None:
    schedule = SimpleNamespace(
        flash_fidelity=0.1,
        total_examples=100,
        optimisation=SimpleNamespace(batch_size=8),
        phases=lambda *_: [SimpleNamespace(steps=6), SimpleNamespace(steps=7)],
    )
    chosen = choose(fresh_registry, "schedule", "schedule", {"name": "one_phase"})
    bench = SimpleNamespace(schedule=schedule, settings=SimpleNamespace(one=lambda _: chosen))
    runner: Any = Runner.__new__(Runner)
    runner.context = SimpleNamespace(bench=bench, teacher=SimpleNamespace(dimensions=SimpleNamespace(layers=4)))
    with pytest.raises(PluginError, match=r"schedule 'one_phase' of autodistill .* 104 examples .* total of 100"):
        runner._phases(Job("study", 0, "full"), SimpleNamespace(layers=2))


def test_our_own_errors_say_it_themselves(fresh_registry: Registry, tmp_path: Path) -> None:
    backend = SimpleNamespace(measure=failing(LatencyError("busy")))
    session = session_with(fresh_registry, tmp_path, backends={"phone": backend}, bench=SimpleNamespace(build=print))
    trial: Any = SimpleNamespace(number=3, architecture="bert")
    with pytest.raises(LatencyError) as caught:
        measure_architecture(session, trial)
    assert not hasattr(caught.value, "__notes__")


def test_a_search_strategy_is_named_with_the_trial(
    fresh_registry: Registry, tmp_path: Path, open_storage: Callable[..., Storage]
) -> None:
    storage = open_storage()
    study = storage.create_study("study", {}, {}, {}, {})
    explorer: Any = Explorer.__new__(Explorer)
    bench = SimpleNamespace(first_architectures=())
    explorer.session = session_with(fresh_registry, tmp_path, storage=storage, study=study, bench=bench)
    explorer.strategy = SimpleNamespace(propose=failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError) as caught:
        explorer._propose(*storage.seen(study.id))
    assert caught.value.__notes__[0].startswith("search (the search strategy 'random' of autodistill ")
    assert caught.value.__notes__[0].endswith("failed, proposing trial 0.")


@pytest.mark.parametrize("error", [RuntimeError("no such operator"), ExportError("too far off"), PluginError("broken")])
def test_an_exporter_that_fails_costs_no_comparison_and_is_named(
    fresh_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    messages: list[str] = []
    bench = SimpleNamespace(create=lambda _: SimpleNamespace(export=failing(error)), tokenizer=None, task=None)
    progress = SimpleNamespace(message=messages.append)
    session = session_with(fresh_registry, tmp_path, bench=bench, progress=progress, storage=None, study=None)
    monkeypatch.setattr(finals, "final_name", lambda *_: "pick 3")
    monkeypatch.setattr(finals, "parity_sample_of", lambda _: [])
    chosen, nothing = session.settings.several["export"]["file"], SimpleNamespace()
    arguments: Any = (session, nothing, "file", chosen, nothing, tmp_path)
    if isinstance(error, PluginError):
        with pytest.raises(PluginError):
            finals._export(*arguments)
        return
    found = finals._export(*arguments)
    assert (found["format"], found["label"]) == ("onnx", "file")
    assert found["error"] in messages[0]
    assert messages[0].startswith("export file of pick 3 failed: ")
    if isinstance(error, RuntimeError):
        assert found["error"].startswith("the exporter 'onnx' of autodistill ")
        assert found["error"].endswith(": RuntimeError: no such operator")
