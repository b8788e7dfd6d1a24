"""Picks are trained one at a time, chosen by the model over flash and full scores, and survive a kill in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_studies import architecture, replaced, tiny_study, weights

import autodistill
from autodistill.components.architecture import Architecture
from autodistill.components.outcome import Job, JobResult
from autodistill.components.search import History, Proposal, SearchContext
from autodistill.components.specs import ComponentSpec
from autodistill.engine.finals import train_picks
from autodistill.engine.picks import averaged
from autodistill.engine.runner import Runner
from autodistill.engine.storage import Storage
from autodistill.errors import StudyInterruptedError
from autodistill.hookspecs import hookimpl
from autodistill.plugin_manager import PluginManager, Provider
from autodistill.registry import Registry
from autodistill.report.progress import QuietProgress


@dataclass
class AgainConfig:
    """No parameters."""


class Again:
    """Tries one architecture twice, then another."""

    def __init__(self, context: SearchContext) -> None:
        self.context = context

    def propose(self, history: History, n: int) -> list[Proposal]:
        first, second = architecture(1, 16), architecture(2, 32)
        return [Proposal(second if len(history) == 2 else first, replicate=len(history) == 1)]


class AgainPlugin:
    @hookimpl
    def autodistill_search_strategies(self) -> list[ComponentSpec]:
        return [ComponentSpec("again", f"{__name__}:Again", AgainConfig, "One architecture twice.")]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    import sys

    module: Any = type(sys)(__name__)  # tests are imported by path: give the target a module to be found in
    module.Again = Again
    monkeypatch.setitem(sys.modules, __name__, module)
    manager = PluginManager()
    manager.load_builtins()
    manager.register(AgainPlugin(), Provider("autodistill-again", "1.0", "again"))
    return Registry(manager)


def test_replicates_have_their_own_seeds_and_share_the_latency(tmp_path: Path, registry: Registry) -> None:
    overrides = tiny_study(tmp_path, "baseline=[]", "picks.max=0")
    given = replaced(overrides, "search=again")
    study = autodistill.run(autodistill.compose(given, registry), registry=registry, explore_only=True)
    first, again, other = study.trials()
    assert (first.replicate, again.replicate, other.replicate) == (0, 1, 0)
    assert first.architecture == again.architecture
    assert first.seed != again.seed
    assert first.latencies == again.latencies
    history = study.history()
    scores = history.metrics["classification.accuracy"]
    assert averaged(history).metrics["classification.accuracy"][0] == pytest.approx(scores[:2].mean())
    assert set(study.summary()["pareto"]) <= {first.number, other.number}


@pytest.mark.slow
def test_picks_are_chosen_one_after_the_other_and_the_best_comes_first(tmp_path: Path) -> None:
    given = tiny_study(tmp_path, "picks.max=2", "budget.trials=4", "baseline=[]", "reference=[]")
    study = autodistill.run(autodistill.compose(given), overrides=given)
    with Storage(study.config["storage"]["url"]) as storage:
        record = storage.get_study(study.name)
        chosen = [storage.step(record.id, f"pick:{index}")["trial"] for index in range(2)]
        assert storage.step(record.id, "pick:2") is None
        frozen = storage.step(record.id, "picks_frozen")["trials"]
        runs = {run.trial: run for run in storage.runs(record.id) if run.kind == "full"}
    assert sorted(frozen) == sorted(chosen)
    scores = [runs[number].metrics["select/classification.accuracy"]["value"] for number in frozen]
    assert scores[0] == max(scores)
    assert not any(name.startswith("test/") for run in runs.values() for name in run.metrics)
    summary = study.summary()
    assert [pick["trial"] for pick in summary["picks"]] == frozen
    assert all(pick["final"]["classification.accuracy"]["split"] == "test" for pick in summary["picks"])
    # The same command again finds everything done: the picks stay, and so do their weights.
    before = weights(study.directory)
    again = autodistill.run(autodistill.compose(given), overrides=given)
    assert [pick["trial"] for pick in again.summary()["picks"]] == frozen
    assert weights(study.directory) == before


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"max": 2, "margin": 0.0}, "frozen with picks.max=2 (now 4) and stay as they are"),
        ({"max": 4, "margin": 0.5}, "frozen with picks.margin=0.5 (now 0) and stay as they are"),
        ({"max": 4, "margin": 0.0}, None),
        (None, "frozen with picks.max=3 (now 4) and stay"),  # by an earlier version: its configuration tells
    ],
)
def test_what_is_asked_of_picks_that_are_frozen_is_told_to_be_in_vain(
    open_storage: Callable[..., Storage], asked: dict[str, float] | None, told: str | None
) -> None:
    storage, messages = open_storage(), list[str]()
    study = storage.create_study("study", {}, {"picks": {"max": 3, "margin": 0.0}}, {}, {})
    storage.set_step(study.id, "picks_frozen", {"trials": [1], "searched": 0} | ({"asked": asked} if asked else {}))
    session: Any = SimpleNamespace(
        storage=storage,
        study=study,
        settings=SimpleNamespace(picks_max=4, picks_margin=0.0),
        progress=SimpleNamespace(message=messages.append),
    )
    assert train_picks(session) == [1]
    assert len(messages) == (told is not None)
    assert told is None or told in messages[0]


def test_a_choice_that_was_stored_is_kept(tmp_path: Path) -> None:
    given = tiny_study(tmp_path, "picks.max=1", "budget.trials=3", "baseline=[]", "reference=[]")
    study = autodistill.run(autodistill.compose(given), overrides=given, explore_only=True)
    history = study.history()
    best = int(history.metrics["classification.accuracy"].argmax())
    other = study.trials()[(best + 1) % 3].number
    with Storage(study.config["storage"]["url"]) as storage:  # as a process that was killed before training it left it
        storage.set_step(storage.get_study(study.name).id, "pick:0", {"trial": other})
    done = autodistill.run(autodistill.compose(given), overrides=given)
    assert [pick["trial"] for pick in done.summary()["picks"]] == [other]


def test_a_larger_budget_makes_picks_anew_that_were_chosen_but_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny_study(tmp_path, "picks.max=2", "budget.trials=2", "baseline=[]", "reference=[]")
    real, trained = Runner.work, list[int]()

    def stopped_in_the_second(self: Runner, job: Job) -> JobResult:
        if job.run == "full":
            trained.append(job.trial)
        if len(trained) == 2:
            raise StudyInterruptedError("Interrupted.")
        return real(self, job)

    monkeypatch.setattr(Runner, "work", stopped_in_the_second)
    with pytest.raises(StudyInterruptedError):
        autodistill.run(autodistill.compose(given), overrides=given)
    monkeypatch.setattr(Runner, "work", real)
    larger = replaced(given, "budget.trials=4")
    progress = Told()
    study = autodistill.run(autodistill.compose(larger), overrides=larger, progress=progress)
    first = trained[0]
    with Storage(study.config["storage"]["url"]) as storage:
        record = storage.get_study(study.name)
        steps = [storage.step(record.id, f"pick:{place}") for place in range(2)]
    assert [step["searched"] for step in steps] == [4, 4]  # all trials were there to choose from
    assert steps[0]["trial"] == first
    assert any(
        f"2 picks were chosen before the last 2 trials. Those that were trained in full stay (trials: {first}); the"
        in message
        for message in progress.messages
    )


class Told(QuietProgress):
    """Remembers messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def test_without_an_objective_that_is_scored_there_are_no_picks_and_the_test_split_is_not_read(tmp_path: Path) -> None:
    given = tiny_study(
        tmp_path, "budget.trials=2", "baseline=[teacher_truncated]", "objectives.quality.metric=size.parameters"
    )
    study = autodistill.run(autodistill.compose(given), overrides=given)
    summary = study.summary()
    assert summary["picks"] == []
    assert summary["verdict"]["holds"] is None
    with Storage(study.config["storage"]["url"]) as storage:
        runs = storage.runs(storage.get_study(study.name).id)
    assert not any(name.startswith("test/") for run in runs for name in run.metrics)


def test_while_no_full_run_has_succeeded_the_next_pick_is_chosen_as_the_first_was(tmp_path: Path) -> None:
    from autodistill.engine.promotion import Promoter
    from autodistill.engine.session import open_session
    from autodistill.engine.stop import StopSignal
    from autodistill.registry import default_registry
    from autodistill.report.progress import QuietProgress

    given = tiny_study(tmp_path, "picks.max=2", "picks.margin=0", "budget.trials=3", "baseline=[]")
    settings = autodistill.compose(given)
    study = autodistill.run(settings, overrides=given, explore_only=True)
    scores = study.history().metrics["classification.accuracy"].tolist()
    score = {trial.number: value for trial, value in zip(study.trials(), scores, strict=True)}
    with (
        StopSignal() as stop,
        open_session(settings, default_registry(), progress=QuietProgress(), stop=stop) as session,
    ):
        promoter = Promoter(session)
        assert promoter.quality is not None
        promotion = promoter._promotion(promoter.quality, [0, 1, 2])
        best = promoter._choose(promotion, 2, ())
        assert best is not None
        run = session.storage.lease_run(session.study.id, best, "full", "me", 60.0)
        assert run is not None
        assert promoter._failed([best]) == []
        session.storage.finish_run(run, state="failed", error="out of memory")
        assert promoter._failed([best]) == [best]
        assert score[best] == max(score.values())
        assert promoter._choose(promotion, 2, ()) == max(set(score) - {best}, key=score.__getitem__)
        assert promoter._choose(promotion, 2, ()) is None


def test_a_pick_whose_full_score_is_no_number_is_replaced_as_a_failed_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autodistill.engine.promotion import Promoter
    from autodistill.engine.session import Session, open_session
    from autodistill.engine.stop import StopSignal
    from autodistill.registry import default_registry
    from autodistill.report.progress import QuietProgress

    given = tiny_study(tmp_path, "picks.max=1", "budget.trials=3", "baseline=[]")
    settings = autodistill.compose(given)
    autodistill.run(settings, overrides=given, explore_only=True)
    scores = iter([float("nan"), 0.8])

    def work(job: Job) -> JobResult:
        run = session.storage.lease_run(session.study.id, job.trial, job.run, "me", 60.0)
        assert run is not None
        metrics = {"select/classification.accuracy": {"value": next(scores)}}
        session.storage.finish_run(run, state="complete", metrics=metrics)
        return JobResult(job, "complete")

    monkeypatch.setattr(Session, "runner", lambda *_, **__: SimpleNamespace(work=work))
    with (
        StopSignal() as stop,
        open_session(settings, default_registry(), progress=QuietProgress(), stop=stop) as session,
    ):
        promoter = Promoter(session)
        done = promoter.run()
        assert promoter._chosen()[1:] == done
        assert promoter.failures == [f"trial {promoter._chosen()[0]}: Its score is no number."]


def test_trials_of_another_family_do_not_stand_in_the_way_of_the_next_pick(tmp_path: Path) -> None:
    from autodistill.engine.promotion import Promoter
    from autodistill.engine.session import open_session
    from autodistill.engine.stop import StopSignal
    from autodistill.registry import default_registry
    from autodistill.report.progress import QuietProgress

    given = tiny_study(tmp_path, "picks.max=2", "budget.trials=3", "baseline=[]")
    settings = autodistill.compose(given)
    autodistill.run(settings, overrides=given, explore_only=True)
    stranger = Architecture(
        "mobilebert",
        {
            "num_layers": 6,
            "hidden_size": 256,
            "bottleneck_size": 64,
            "num_heads": 2,
            "intermediate_size": 384,
            "num_ffn": 2,
        },
    )
    with (
        StopSignal() as stop,
        open_session(settings, default_registry(), progress=QuietProgress(), stop=stop) as session,
    ):
        session.storage.add_trial(
            session.study.id,
            stranger,
            replicate=0,
            origin="baseline",
            label="mobilebert",
            in_space=False,
            note=None,
            seed=1,
        )
        assert len(Promoter(session).run()) == 2


def test_trials_beyond_the_reference_become_picks_too_and_fewer_picks_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autodistill.engine.session import Session, open_session
    from autodistill.engine.stop import StopSignal
    from autodistill.registry import default_registry

    given = tiny_study(tmp_path, "picks.max=8", "budget.trials=6", "baseline=[]", "reference=[]")
    latencies = tmp_path / "latencies.json"
    content = json.loads(latencies.read_text())
    content["named"]["teacher"]["median"] = 4.0  # two of the six students are faster
    latencies.write_text(json.dumps(content))
    settings = autodistill.compose(given)
    autodistill.run(settings, overrides=given, explore_only=True)

    def work(job: Job) -> JobResult:
        run = session.storage.lease_run(session.study.id, job.trial, job.run, "me", 60.0)
        assert run is not None
        metrics = {"select/classification.accuracy": {"value": 0.8 + job.trial / 100}}
        session.storage.finish_run(run, state="complete", metrics=metrics)
        return JobResult(job, "complete")

    monkeypatch.setattr(Session, "runner", lambda *_, **__: SimpleNamespace(work=work))
    progress = Told()
    with StopSignal() as stop, open_session(settings, default_registry(), progress=progress, stop=stop) as session:
        assert len(train_picks(session)) == 6
        steps = [session.storage.step(session.study.id, f"pick:{place}") for place in range(6)]
        frozen = session.storage.step(session.study.id, "picks_frozen")
    assert [step["beyond"] for step in steps if "beyond" in step] == [["replay.p50_ms"]] * 4
    assert frozen["fewer"] == "the search had 6 architectures that were complete and feasible"
    told = "\n".join(progress.messages)
    assert "does not reach in replay.p50_ms: no trial that is left lies within it." in told
    assert f"6 of at most 8 picks (picks.max) were made: {frozen['fewer']}." in told
