"""What a user pastes to go on must mean the study that was interrupted."""

from __future__ import annotations

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from autodistill.engine.going_on import command_to_go_on


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


def test_another_storage_file_is_named_and_a_server_only_referred_to() -> None:
    words = shlex.split(command_to_go_on("first", "outputs", "sqlite:////data/all.db"))
    (override,) = OverridesParser.create().parse_overrides(words[3:])
    assert (override.key_or_group, override.value()) == ("storage.url", "sqlite:////data/all.db")
    server = command_to_go_on("first", "outputs", "postgresql+psycopg://me:secret@host/studies")
    assert "secret" not in server
    assert "storage.url=URL" in server
