"""What starts with the program is light, and every mistake is one paragraph with the right exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autodistill.cli import main
from autodistill.cli.help import VERBS

HEAVY = ("torch", "hydra", "omegaconf", "transformers", "pytorch_lightning", "numpy", "sqlalchemy", "botorch")

PROBE = """
import sys
from autodistill.cli import main
code = main(sys.argv[1:])
print("LOADED", [name for name in {heavy!r} if name in sys.modules])
sys.exit(code)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plugins"], ["run", "--help"], []])
def test_help_version_and_plugins_import_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-c", PROBE.format(heavy=HEAVY), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "LOADED []" in result.stdout


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb} " in text for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"autodistill {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("distill", "scored on the select split alone"),
        ("evaluate", "is fine-tuned first, which may take hours"),
        ("latency", "timing.subjects=[DIR,tinybert_4l,...]"),
    ],
)
def test_help_tells_what_a_verb_does_unasked(verb: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert told in capsys.readouterr().out


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "exit codes: 0; 1 a failure; 2 your mistake, in one paragraph; 130 interrupted." in capsys.readouterr().out


def test_an_unknown_verb_is_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expolre"]) == 2
    assert "Unknown verb 'expolre'. Did you mean 'explore'?" in capsys.readouterr().err


def test_a_wrong_configuration_exits_with_2_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "data=python_docs", "search=botroch"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("autodistill: error: Unknown search strategy 'botroch'.")
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_an_override_that_hydra_cannot_parse_exits_with_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "data=python_docs", "student.space.num_layers=[1,"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_cfg_job_prints_the_composed_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "data=python_docs", "budget.trials=7", "--cfg", "job"]) == 0
    out = capsys.readouterr().out
    assert "trials: 7" in out
    assert list(tmp_path.iterdir()) == []


def test_a_verb_on_a_model_needs_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["evaluate", "data=python_docs", f"output_dir={tmp_path / 'o'}"]) == 2
    assert "needs model=DIR" in capsys.readouterr().err
    assert main(["evaluate", "data=python_docs", f"output_dir={tmp_path / 'o'}", f"model={tmp_path}"]) == 2
    assert "is no saved model" in capsys.readouterr().err


def test_a_report_of_a_study_that_does_not_exist_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["report", "study.name=nope", f"output_dir={tmp_path / 'o'}"]) == 2
    assert "no study 'nope'" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "autodistill", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()  # at once: the program is still starting
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_another_broken_pipe_is_a_failure_that_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(given: list[str]) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("autodistill.cli._dispatch", broken)
    assert main(["studies"]) == 1
    assert "BrokenPipeError: [Errno 32] Broken pipe" in capfd.readouterr().err
