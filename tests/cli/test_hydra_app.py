"""How verbs run under Hydra: what a command composes, which jobs it starts, and how it ends. No job does any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from autodistill.cli import main
from autodistill.cli.hydra_app import split_arguments
from autodistill.configs.settings import Settings
from autodistill.engine.storage import Storage
from autodistill.errors import StudyInterruptedError
from autodistill.registry import Registry

Verb = Callable[[Settings, Sequence[str]], int]


class Jobs(list[str]):
    """The names of the studies that jobs were started for; each job does `what`."""

    what: Verb = staticmethod(lambda settings, overrides: 0)

    def perform(self, verb: str, settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
        self.append(settings.study_name)
        return self.what(settings, overrides)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """In place of what verbs do."""
    found = Jobs()
    monkeypatch.setattr("autodistill.cli.verbs.perform", found.perform)
    return found


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


def stored(output: Path, name: str, *overrides: str) -> list[str]:
    """Store a study that was made with ``overrides``; returns what names it on the command line."""
    output.mkdir(exist_ok=True)
    with Storage(f"sqlite:///{output}/studies.db") as storage:
        storage.create_study(name, {}, {}, {"overrides": list(overrides)}, {})
    return [f"study.name='{name}'", f"output_dir={output}"]


# -- arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "flags", "overrides"),
    [
        (["--info", "seed=1"], ["--info"], ["seed=1"]),
        (["seed=1", "-i", "defaults-tree", "search=random"], ["-i", "defaults-tree"], ["seed=1", "search=random"]),
        (["--cfg", "job", "seed=1", "-m"], ["--cfg", "job", "-m"], ["seed=1"]),
    ],
)
def test_flags_are_told_from_overrides(given: list[str], flags: list[str], overrides: list[str]) -> None:
    assert split_arguments(given) == (flags, overrides)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--info", "defaults"], "experiment/quickstart"),  # `run` alone is the quickstart
        (["data=python_docs", "--info", "defaults"], "Defaults List"),
        (["--info", "defaults", "data=python_docs"], "Defaults List"),
        (["data=python_docs", "--info=searchpath"], "autodistill.conf"),
        (["data=python_docs", "--info"], "Config search path"),
    ],
)
def test_info_says_how_the_configuration_is_composed(
    arguments: list[str], shown: str, jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == 0
    assert shown in capsys.readouterr().out
    assert jobs == []


# -- studies of a sweep ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run", "report", "distill"])
def test_a_study_of_an_experiment_that_is_a_sweep_is_found_by_its_name(verb: str, jobs: Jobs, output: Path) -> None:
    name = "glue_all-data=glue_rte"
    given = stored(output, name, "experiment=glue_all", "data=glue_rte", "data.root=/glue")
    assert main([verb, *given]) == 0
    assert jobs == [name]


def test_an_experiment_that_is_a_sweep_is_one_as_long_as_no_study_is_named(jobs: Jobs, output: Path) -> None:
    given = ["experiment=glue_all", "hydra.sweeper.params.data='glue_rte,glue_cola'", f"output_dir={output}"]
    assert main(["explore", *given]) == 0
    assert jobs == ["glue_all-data=glue_rte", "glue_all-data=glue_cola"]


def test_hydras_mode_makes_a_sweep_too(jobs: Jobs, output: Path) -> None:
    assert main(["explore", "data=python_docs", "seed=0,1", "hydra.mode=MULTIRUN", f"output_dir={output}"]) == 0
    assert jobs == ["study-seed=0", "study-seed=1"]


@pytest.mark.parametrize(
    ("varied", "names"),
    [
        (["study.name=a,b"], ["a", "b"]),
        (["study.name=a,b", "seed=1,2"], ["a-seed=1", "a-seed=2", "b-seed=1", "b-seed=2"]),
        (["study.name=a", "seed=1,2"], ["a-seed=1", "a-seed=2"]),
    ],
)
def test_names_that_a_sweep_gives_are_those_of_its_studies(
    varied: list[str], names: list[str], jobs: Jobs, output: Path
) -> None:
    assert main(["report", "-m", *varied, f"output_dir={output}"]) == 0
    assert jobs == names


def test_jobs_whose_values_look_alike_in_a_folders_name_are_distinct_studies(jobs: Jobs, output: Path) -> None:
    given = ["data=text_classification", "data.train=/m/a/b,/m/a_b,ab", f"output_dir={output}"]
    assert main(["explore", "-m", *given]) == 0
    first, second, third = jobs
    assert first.startswith("study-data.train=_m_a_b-")
    assert second.startswith("study-data.train=_m_a_b-")
    assert first != second
    assert third == "study-data.train=ab"


# -- studies that cannot be made again ---------------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["search=vizier", "+search.algorithm=gp", "hydra.searchpath=['file:///no/such']"])
def test_a_study_whose_plugin_is_gone_can_still_be_read(
    gone: str, jobs: Jobs, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = stored(output, "old", "data=python_docs", gone)
    for verb in ("report", "studies"):
        assert main([verb, *given]) == 0
    assert jobs == ["old", "old"]
    assert main(["explore", *given]) == 2  # to work on it, what it was made with is needed
    assert jobs == ["old", "old"]


# -- interruptions -----------------------------------------------------------------------------------------------


def interrupted(settings: Settings, overrides: Sequence[str]) -> int:
    raise StudyInterruptedError("Stopped. Go on with: this.")


def interrupted_at_once(settings: Settings, overrides: Sequence[str]) -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize("what", [interrupted, interrupted_at_once])
def test_an_interruption_ends_the_whole_sweep(
    what: Verb, jobs: Jobs, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.what = what
    assert main(["explore", "-m", "data=python_docs", "seed=0,1,2", f"output_dir={output}"]) == 130
    assert jobs == ["study-seed=0"]
    printed = capsys.readouterr()
    assert "130" in printed.out  # the closing table
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize("verb", ["plan", "latency"])
def test_a_verb_that_is_interrupted_says_so(
    verb: str, jobs: Jobs, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.what = interrupted_at_once
    assert main([verb, "data=python_docs", f"output_dir={output}"]) == 130
    assert capsys.readouterr().err == (
        "autodistill: interrupted. What is finished is kept; the same command does the rest.\n"
    )


def test_an_interruption_with_a_message_of_its_own_is_told_once(
    jobs: Jobs, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.what = interrupted
    assert main(["explore", "data=python_docs", f"output_dir={output}"]) == 130
    assert capsys.readouterr().err == "autodistill: error: Stopped. Go on with: this.\n"
