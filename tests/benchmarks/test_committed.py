"""No try replaces what the repository keeps, what was committed may be made again, and READMEs say what works."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

FOLDERS = ("data", "distillation", "evaluation", "latency", "search")

#: Documents that tell what to type.
DOCUMENTS = sorted(
    path
    for pattern in ("benchmarks/*/README.md", "docs/*.md")
    for path in ROOT.glob(pattern)
    if re.search(r"-m benchmarks\.\w+\.\w", path.read_text())
)

#: Scripts of folders that write no section.
NO_SECTION = {"benchmarks.search.make_table", "benchmarks.latency.bare"}

#: Those that write one.
SCRIPTS = sorted(path for path in ROOT.glob("benchmarks/*/*.py") if "\ndef make_parser()" in path.read_text())


@pytest.fixture(autouse=True)
def _importable_and_on_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    # As the committed figures are: `tokenise` starts a process for each unless told.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def test_every_script_that_writes_a_section_is_looked_at() -> None:
    scripts = [path for path in ROOT.glob("benchmarks/*/*.py") if "\ndef main(" in path.read_text()]
    assert {f"benchmarks.{path.parent.name}.{path.stem}" for path in set(scripts) - set(SCRIPTS)} == NO_SECTION
    assert {path.parent.name for path in SCRIPTS} == {path.parent.name for path in DOCUMENTS} - {"docs"} == set(FOLDERS)


class Accepted(Exception):
    """The script would have begun, and written into the committed file."""


def settings_of(own: Any, folder: str) -> Any:
    """Of a script; those of latency have one function in common."""
    return importlib.import_module("benchmarks.latency.setup").settings_of if folder == "latency" else own.settings_of


def committed() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Folder, name and content of every section."""
    for folder in FOLDERS:
        content = json.loads((ROOT / "benchmarks" / "results" / f"{folder}.json").read_text())
        yield from ((folder, name, kept) for name, kept in content.items() if name != "benchmark")


SECTIONS = list(committed())


@pytest.mark.parametrize(("folder", "name", "kept"), SECTIONS, ids=[f"{folder}-{name}" for folder, name, _ in SECTIONS])
def test_the_command_of_a_committed_section_may_replace_it(folder: str, name: str, kept: dict[str, Any]) -> None:
    _, _, script, *arguments = shlex.split(kept["command"])
    own, results = importlib.import_module(script), importlib.import_module(f"benchmarks.{folder}.results")
    parser = own.make_parser()
    given = parser.parse_args(arguments)
    given.output = None  # of older commands, which told where they wrote
    assert results.output_of(parser, given, name, settings_of(own, folder)) == results.RESULTS


BLOCK = re.compile(r"^```(.*?)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)

#: How a command in backquotes of a text begins.
BEGUN = re.compile(r"(?:(?:\.venv/bin/)?python -m|\.\.\.) (?=benchmarks\.\w+\.\w)")

#: All that a shell is given to run: a command prints what it is started with.
FUNCTIONS = "python() { printf '%s\\0' \"$@\"; echo; }; pip() { :; }; python3() { :; }\n"


def of_document(path: Path) -> list[str]:
    """Pieces of shell in a document: its blocks, and commands in backquotes."""
    text = path.read_text()
    pieces = [re.sub(r"^\$ ", "", block, flags=re.MULTILINE) for kind, block in BLOCK.findall(text) if kind != "python"]
    inline = (" ".join(item.split()) for item in re.findall(r"`([^`]+)`", BLOCK.sub("", text)))
    return [*pieces, *(BEGUN.sub("python -m ", item, count=1) for item in inline if BEGUN.match(item))]


def of_docstring(path: Path) -> list[str]:
    """Commands that a script's docstring tells, without what is optional and without remarks."""
    text = re.sub(r"\s*\[[^\[\]]*\]", "", ast.get_docstring(ast.parse(path.read_text())) or "")
    lines = text.replace("\\\n", "").splitlines()
    commands = (re.sub(r"\s{2,}\(.*$", "", line.strip().removeprefix("PYTHONPATH=DIR ")) for line in lines)
    return [BEGUN.sub("python -m ", line, count=1) for line in commands if BEGUN.match(line)]


def told(path: Path) -> list[list[str]]:
    """Script and arguments of every command of a file, as a shell takes them, with its loops and variables."""
    pieces = of_document(path) if path.suffix == ".md" else of_docstring(path)
    found: list[list[str]] = []
    for piece in (item for item in pieces if "-m benchmarks." in item):
        # Restricted: nothing is redirected, and no program has a path.
        shell = ["/bin/bash", "-r", "-c", FUNCTIONS + piece.replace(".venv/bin/python", "python")]
        done = subprocess.run(shell, capture_output=True, text=True, check=True, env={"PATH": ""})
        assert not done.stderr
        found += [line.split("\0")[1:-1] for line in done.stdout.splitlines()]
    return [command for command in found if command[0] not in NO_SECTION]


@pytest.mark.parametrize("path", [*DOCUMENTS, *SCRIPTS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_one_is_told_to_type_is_accepted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = told(path)
    assert commands
    for script, *arguments in commands:
        own = importlib.import_module(script)
        given = own.make_parser().parse_args(arguments)
        if given.output is not None or getattr(given, "step", "report") not in ("all", "report"):
            continue
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", [script, *arguments])
            patched.setattr(own, "output_of", accepted(own.output_of))
            with pytest.raises(Accepted):
                own.main()


def accepted(output_of: Callable[..., Path]) -> Callable[..., Path]:
    """The same, and the script ends where it has been told that it may write."""

    def stop(*given: Any) -> Path:
        raise Accepted(output_of(*given))

    return stop


TASK = ("--task", "sst2", "--work", "WORK", "--step", "report")
GLUE = ("--glue", "GLUE", "--work", "WORK")


@pytest.mark.parametrize(
    ("script", "given", "why"),
    [
        ("distillation.cache", ("--work", "WORK", "--students", "2", "--tiny"), "(students, threads, tiny)"),
        (
            "distillation.step_time",
            ("--teacher", "2x64", "--student", "1x32", "--steps", "20"),
            "(teacher, student, steps)",
        ),
        (
            "distillation.learning_rate",
            ("--work", "WORK"),
            "section 'learning_rate_bert' is of other settings (overrides)",
        ),
        ("distillation.flash_fidelity", ("--task", "tiny", *TASK[2:]), "have no section 'flash_fidelity_tiny'"),
        ("distillation.flash_fidelity", (*TASK, "--set", "data.max_length=32"), "is of other settings (set)"),
        (
            "distillation.ablations",
            (*TASK, "--variants", "wsd"),
            "section 'ablations_sst2' is of other settings (variants)",
        ),
        ("data.memory", ("--megabytes", "2", "--work", "WORK"), "(megabytes, accumulate)"),
        ("data.rows", ("--rows", "100000"), "(rows)"),
        ("data.tokenise", ("--processes", "1", "--repeats", "1"), "(repeats, processes)"),
        ("data.tokenise", ("--text", "other.txt"), "section 'tokenise_real_text' is of other settings (text)"),
        ("evaluation.coverage", ("--only", "f1"), "(only)"),
        ("evaluation.metrics", ("--squad", "dev-v1.1.json.gz"), "(compared)"),
        ("evaluation.throughput", ("--rounds", "1", "--model", "MODEL"), "(rounds, model)"),
        ("evaluation.plain_trainer", (*GLUE, "--task", "mrpc"), "(seeds, precision)"),
        ("evaluation.plain_trainer", (*GLUE, "--task", "rte"), "have no section 'plain_trainer_rte'"),
        ("evaluation.glue_protocol", (*GLUE, "--tasks", "rte"), "(tasks, learning_rates, threads, precision)"),
        ("evaluation.chain", ("--work", "WORK", "--step", "report", "--models", "teacher"), "(models, "),
        ("latency.models", ("--records", "RECORDS"), "(seconds)"),
        ("latency.composed", ("--records", "RECORDS", "--tiny", "--search", "3"), "(tiny, search)"),
        ("latency.composed", ("--records", "RECORDS", "--compose-seconds", "1"), "have no section 'composed_1_s'"),
        ("latency.repeatability", ("--records", "RECORDS", "--rounds", "1"), "(rounds)"),
        ("latency.roofline", ("--records", "RECORDS", "--device", "cuda"), "have no section 'roofline_cuda'"),
        ("search.cost", ("--trials", "100"), "(trials, timeout)"),
        ("search.units", ("--seeds", "1"), "(seeds, steps)"),
        ("search.judge_tables", ("--families", "bert", "--tables", "TABLES"), "(families, tables)"),
    ],
)
def test_a_try_does_not_replace_the_committed_results(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    given: tuple[str, ...],
    why: str,
) -> None:
    arguments = [str(tmp_path / item) if item.isupper() else item for item in given]
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"benchmarks.{script}").main()
    told = capsys.readouterr().err
    assert stop.value.code == 2
    assert why in told
    assert "--output FILE" in told
    assert not list(tmp_path.iterdir())
