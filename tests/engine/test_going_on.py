"""What a user pastes to go on must mean the study that was interrupted."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

import autodistill
from autodistill.configs.composition import compose_raw
from autodistill.engine.going_on import PASSWORD_VARIABLE, command_to_go_on
from autodistill.errors import StudyInterruptedError
from autodistill.registry import default_registry


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("quickstart", "outputs"),
        ("study-search=random,seed=0", "outputs"),
        ("my study", "/tmp/my results"),
        ("it's (1)", "C:\\results"),
    ],
)
def test_the_command_survives_shell_and_hydra(name: str, output: str) -> None:
    words = shlex.split(command_to_go_on(name, output, f"sqlite:///{output}/studies.db"))
    assert words[:2] == ["autodistill", "run"]
    parsed = {item.key_or_group: item.value() for item in OverridesParser.create().parse_overrides(words[2:])}
    assert parsed.pop("study.name") == name
    assert parsed == ({} if output == "outputs" else {"output_dir": output})


def test_a_plain_study_in_the_default_place_has_a_plain_command() -> None:
    url = "sqlite:///outputs/studies.db"
    assert command_to_go_on("quickstart", "outputs", url) == "autodistill run study.name=quickstart"


def test_another_storage_is_named_and_a_password_only_referred_to() -> None:
    words = shlex.split(command_to_go_on("first", "outputs", "sqlite:////data/all.db"))
    (override,) = OverridesParser.create().parse_overrides(words[3:])
    assert (override.key_or_group, override.value()) == ("storage.url", "sqlite:////data/all.db")
    plain = shlex.split(command_to_go_on("first", "outputs", "postgresql+psycopg://me@host/studies"))
    (override,) = OverridesParser.create().parse_overrides(plain[3:])
    assert override.value() == "postgresql+psycopg://me@host/studies"


@pytest.mark.parametrize("password", ["c0ffee", "***"])
def test_a_password_is_taken_from_the_environment(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = command_to_go_on("first", "outputs", f"postgresql+psycopg://me:{password}@host/studies")
    assert password not in told
    command, _, how = told.partition(" (")
    assert how == f"{PASSWORD_VARIABLE} holding the password)"
    monkeypatch.setenv(PASSWORD_VARIABLE, "c0ffee")
    config, _ = compose_raw(shlex.split(command)[2:], default_registry())
    assert config.storage.url == "postgresql+psycopg://me:c0ffee@host/studies"


def test_the_command_is_of_the_verb_that_was_interrupted() -> None:
    assert command_to_go_on("a", "outputs", "sqlite:///outputs/studies.db", "explore") == (
        "autodistill explore study.name=a"
    )


@pytest.mark.parametrize("error", [StudyInterruptedError("Interrupted."), KeyboardInterrupt()])
@pytest.mark.parametrize(("explore_only", "verb"), [(True, "explore"), (False, "run")])
def test_an_interrupted_search_goes_on_as_a_search(
    error: BaseException, explore_only: bool, verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*given: object, **more: object) -> None:
        raise error

    monkeypatch.setattr("autodistill.engine.run.open_session", interrupted)
    settings = autodistill.compose(["data=python_docs", f"output_dir={tmp_path}"])
    with pytest.raises(StudyInterruptedError, match=f"Go on with: autodistill {verb} study.name=study"):
        autodistill.run(settings, explore_only=explore_only)
