from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.sections")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--work /home/me/work --seeds 2", "--work work --seeds 2"),
        ("data.train=/a/b/train.tsv.gz loss=[kl]", "data.train=train.tsv.gz loss=[kl]"),
        ("+latency.a={chip:/c/d.yaml} files=[/e/f,/g]", "+latency.a={chip:d.yaml} files=[f,g]"),
        ("relative/path 3 / 4 https://example.org/x", "relative/path 3 / 4 https://example.org/x"),
    ],
)
def test_absolute_paths_are_told_by_their_last_part(sections: Any, given: str, told: str) -> None:
    assert sections.without_folders(given) == told


def test_sections_hold_no_folders_and_are_found_again(sections: Any, tmp_path: Path) -> None:
    file, settings = sections.ResultsFile("some"), {"work": tmp_path, "overrides": [f"data.path={tmp_path}/texts"]}
    path = tmp_path / "results.json"
    file.write(path, "first", settings, {"a": 1})
    file.write(path, "second", {}, {})
    assert str(tmp_path) not in json.dumps(json.loads(path.read_text())["first"]["settings"])
    assert file.read(path, "first", settings) == {"a": 1}
    assert file.read(path, "first", {**settings, "more": 1}) == {}


class Script:
    """A script that writes into the file ``some.json`` of a folder, where a section of an earlier version is kept.

    Args:
        sections: the module.
        folder: of the file.
        command: of the kept section.
        settings: of the kept section.
    """

    def __init__(self, sections: Any, folder: Path, command: str, settings: dict[str, Any]) -> None:
        self.sections, self.path = sections, folder / "some.json"
        kept = {"command": f"python -m benchmarks.some.script {command}", "settings": settings}
        self.path.write_text(json.dumps({"benchmark": "some", "kept": kept}))

    def output_of(self, *arguments: str) -> Path:
        """Where the script would write."""
        parser = self.sections.script_parser(None)
        for name, preset in (("--steps", 5), ("--seeds", 2)):
            parser.add_argument(name, type=int, default=preset)

        class Here(self.sections.ResultsFile):  # type: ignore[misc]
            path = self.path

        file = Here("some")

        def settings_of(given: argparse.Namespace) -> dict[str, Any]:
            return {"steps": given.steps, "seeds": given.seeds}

        found: Path = file.output_of(parser, parser.parse_args(arguments), "kept", settings_of)
        return found


def test_what_a_section_tells_is_compared_and_else_what_its_command_says(
    sections: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script(sections, tmp_path, "--seeds 3", {"steps": 4})  # when the preset was another
    assert script.output_of("--steps", "4", "--seeds", "3") == script.path
    assert script.output_of("--seeds", "9", "--output", "other.json") == Path("other.json")
    for arguments, why in ((["--seeds", "3"], "(steps)"), (["--steps", "4"], "(seeds)")):
        with pytest.raises(SystemExit):
            script.output_of(*arguments)
        assert f"the committed section 'kept' is of other settings {why}" in capsys.readouterr().err


def test_a_command_that_is_not_taken_any_more_is_named_as_that_of_the_section(
    sections: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script(sections, tmp_path, "--epochs 3", {"steps": 5, "seeds": 2})
    with pytest.raises(SystemExit):
        script.output_of()
    told = capsys.readouterr().err
    assert told.count("usage:") == 1
    assert (
        "the committed section 'kept' was made by a command that this script does not take any more "
        "(unrecognized arguments: --epochs 3), so its settings cannot be compared: say where to write, --output FILE. "
        "It was made by: python -m benchmarks.some.script --epochs 3"
    ) in told
