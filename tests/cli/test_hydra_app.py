"""How verbs run under Hydra: what a command composes, which jobs it starts, and how it ends. No job does any work."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from autodistill.cli import main
from autodistill.cli.hydra_app import split_arguments
from autodistill.configs.paths import quoted
from autodistill.configs.settings import Settings
from autodistill.engine.storage import Storage
from autodistill.errors import StudyError, StudyInterruptedError
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


def test_a_command_leaves_the_logging_of_the_next_one_alone(
    jobs: Jobs, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "experiment=quickstart", f"output_dir={output}"]) == 0
    assert len(jobs) == 1
    assert main(["run", "data=python_docs", "--info", "defaults"]) == 0
    assert "Defaults List" in capsys.readouterr().out


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


@pytest.mark.parametrize("error", [StudyError("No such data."), ZeroDivisionError("no such kernel")])
def test_a_job_that_fails_is_named_with_its_error_and_in_the_closing_table(
    error: Exception,
    jobs: Jobs,
    output: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    def fail(settings: Settings, overrides: Sequence[str]) -> int:
        if settings.seed == 1:
            raise error
        return 0

    jobs.what = fail
    assert main(["run", "-m", "data=python_docs", "seed=0,1", f"output_dir={output}"]) != 0
    printed = capsys.readouterr()
    assert "This was the job study-seed=1 of the sweep." in printed.err
    rows = [line for line in printed.out.splitlines() if "seed=" in line]
    assert [("study-seed=0" in row, "study-seed=1" in row) for row in rows] == [(True, False), (False, True)]


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


# -- components that change --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "left_out"),
    [
        (["pruner=latency_bands", "pruner.reduction_factor=3"], ["pruner=none"], ["pruner.reduction_factor=3"]),
        (["search=nevergrad", "search.optimizer=DE"], ["search=random"], ["search.optimizer=DE"]),
        (["search=nevergrad", "search.optimizer=DE"], ["search=nevergrad"], []),
        (["search.max_replicates=2"], ["search=botorch"], []),  # the one that is chosen by default
        (["~baseline.tinybert_4l"], ["baseline=[mobilebert]"], ["~baseline.tinybert_4l"]),
        (["~baseline.tinybert_4l"], ["baseline=[tinybert_4l]"], ["~baseline.tinybert_4l"]),
        (["export=[onnx]", "export.onnx.opset=17"], ["export=[huggingface]"], ["export.onnx.opset=17"]),
        (["export=[onnx]", "export.onnx.opset=17"], ["export=[huggingface,onnx]"], []),
        (["+baseline.small.name=mobilebert"], ["baseline=[]"], ["+baseline.small.name=mobilebert"]),
    ],
)
def test_a_component_that_is_chosen_anew_leaves_the_former_ones_parameters_behind(
    before: list[str],
    now: list[str],
    left_out: list[str],
    jobs: Jobs,
    output: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = stored(output, "old", "data=python_docs", *before)
    kept: list[str] = []
    jobs.what = lambda settings, overrides: kept.extend(overrides) or 0  # type: ignore[func-returns-value]
    assert main(["explore", *given, *now]) == 0
    said = capsys.readouterr().err
    for override in before[-1:]:
        assert (override in kept) == (override not in left_out)
        assert (override in said) == (override in left_out)
    assert jobs == ["old"]


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


# -- secrets -----------------------------------------------------------------------------------------------------

ADDRESS = 'postgresql+psycopg://postgres:pass,w"rd@host/studies'


def everything_written(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_sweep_writes_no_secret(jobs: Jobs, output: Path) -> None:
    stores: list[tuple[str, dict[str, object], str]] = []

    def work(settings: Settings, overrides: Sequence[str]) -> int:
        logging.getLogger("autodistill").info("working")
        stores.append((settings.storage_url, dict(settings.logger["web"]), " ".join(overrides)))
        return 0

    jobs.what = work
    given = [
        f"storage.url={quoted(ADDRESS)}",
        "+logger.web={_target_: pytorch_lightning.loggers.CSVLogger, api_key: c0ffee}",
        f"output_dir={output}",
    ]
    before = dict(os.environ)
    assert main(["explore", "-m", "data=python_docs", "seed=0,1", *given]) == 0
    assert [(url, logger["api_key"]) for url, logger, _ in stores] == [(ADDRESS, "c0ffee")] * 2
    written = everything_written(output)
    assert "multirun.yaml" in [path.name for path in output.iterdir()]
    assert "working" in written
    assert "storage" in written
    for text in (written, *(overrides for _, _, overrides in stores)):
        assert 'w"rd' not in text
        assert 'w\\"rd' not in text
        assert "c0ffee" not in text
    assert all("api_key" in overrides and "AUTODISTILL_SECRET" not in overrides for _, _, overrides in stores)
    assert dict(os.environ) == before


def test_a_sweep_writes_no_secret_of_a_preset(jobs: Jobs, output: Path, tmp_path: Path) -> None:
    (tmp_path / "conf" / "storage").mkdir(parents=True)
    (tmp_path / "conf" / "storage" / "ours.yaml").write_text("url: postgresql+psycopg://me:c0ffee@host/studies\n")
    urls = set()
    jobs.what = lambda settings, overrides: urls.add(settings.storage_url) or 0  # type: ignore[func-returns-value]
    given = ["data=python_docs", "storage=ours", "seed=0,1", f"output_dir={output}"]
    assert main(["explore", "-m", *given, "--config-dir", str(tmp_path / "conf")]) == 0
    assert urls == {"postgresql+psycopg://me:c0ffee@host/studies"}
    assert "me:***@host" in (output / "multirun.yaml").read_text()
    assert "c0ffee" not in everything_written(output)


def test_a_sweep_over_secrets_is_refused(jobs: Jobs, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urls = "storage.url='postgresql://a:c0ffee@h/d','postgresql://b:tea@h/d'"
    assert main(["explore", "-m", "data=python_docs", urls, f"output_dir={output}"]) == 2
    assert "A sweep cannot vary storage.url" in capsys.readouterr().err


def test_the_log_of_a_job_does_not_tell_of_the_next_one(jobs: Jobs, output: Path) -> None:
    def work(settings: Settings, overrides: Sequence[str]) -> int:
        logging.getLogger("autodistill").info("working")
        return 0

    jobs.what = work
    assert main(["explore", "-m", "data=python_docs", "seed=0,1", f"output_dir={output}"]) == 0
    assert len((output / "study-seed=0" / "autodistill.log").read_text().splitlines()) == 1


def test_going_on_says_which_secret_is_not_stored(jobs: Jobs, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masked = '+logger.csv.api_key="***"'
    given = stored(output, "kept", "data=python_docs", masked)
    assert main(["explore", *given]) == 0
    assert f"was made with {masked}, whose secret is not stored" in capsys.readouterr().err
    assert main(["explore", *given, "+logger.csv.api_key='${oc.env:HOME}'"]) == 0
    assert capsys.readouterr().err == ""
    assert jobs == ["kept", "kept"]


def test_a_reference_to_the_environment_stays_one(jobs: Jobs, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEA", "c0ffee")
    found: list[str] = []
    jobs.what = lambda settings, overrides: found.extend(overrides) or 0  # type: ignore[func-returns-value]
    given = "+logger.csv.api_key='${oc.env:TEA}'"
    assert main(["explore", "data=python_docs", given, f"output_dir={output}"]) == 0
    assert given in found


# -- the study's folder ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["studies", "explore"])
def test_a_folder_that_cannot_be_made_is_the_users_mistake(
    verb: str, jobs: Jobs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "outputs" / "study" / "autodistill.log").mkdir(parents=True)
    for output in (tmp_path / "file", tmp_path / "outputs"):
        assert main([verb, "data=python_docs", f"output_dir={output}"]) == 2
        error = capsys.readouterr().err
        assert "The study's folder cannot be made or written to" in error
        assert str(output) in error
        assert "Traceback" not in error


def test_a_command_that_writes_nothing_leaves_no_folder(jobs: Jobs, output: Path) -> None:
    assert main(["plan", "data=python_docs", f"output_dir={output}"]) == 0
    assert not (output / "study").exists()


def test_the_log_of_a_study_that_another_command_works_on_stays(jobs: Jobs, output: Path) -> None:
    log = output / "study" / "autodistill.log"
    with ExitStack() as another_command:

        def begins(settings: Settings, overrides: Sequence[str]) -> int:
            file = another_command.enter_context(open(log))
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # this job holds it
            fcntl.flock(file, fcntl.LOCK_SH)
            return 0

        jobs.what = begins
        assert main(["plan", "data=python_docs", f"output_dir={output}"]) == 0
        assert log.is_file()
        jobs.what = Jobs.what
        assert main(["plan", "data=python_docs", f"output_dir={output}"]) == 0
        assert log.is_file()
    assert main(["plan", "data=python_docs", f"output_dir={output}"]) == 0
    assert not log.parent.exists()
