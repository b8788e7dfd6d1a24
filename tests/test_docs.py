"""The documents say what the program does: tables are compared with it, code blocks run, commands compose."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

import autodistill
from autodistill import hookspecs
from autodistill.cli.help import _EXAMPLES, VERBS
from autodistill.cli.hydra_app import split_arguments
from autodistill.components.specs import KINDS
from autodistill.configs.settings import TOP_LEVEL, Settings
from autodistill.registry import Registry, default_registry
from autodistill.testing.tiny import tiny_overrides

ROOT = Path(__file__).parents[1]
README, PLUGINS, CONFIGURATION = ROOT / "README.md", ROOT / "plugins" / "README.md", ROOT / "docs" / "configuration.md"
DOCUMENTS = [
    README,
    PLUGINS,
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "CONTRIBUTING.md",
    ROOT / "plugins/autodistill-template/README.md",
]

#: A comment before a block that no test runs; it gives the reason.
NOT_EXECUTED = re.compile(r"<!-- not executed: \S.*-->\n\Z")


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    document: Path
    language: str
    text: str
    executed: bool

    def __str__(self) -> str:
        first = self.text.strip().splitlines()[0]
        return f"{self.document.relative_to(ROOT)}: {first}"

    @property
    def file_name(self) -> str | None:
        """The file that the block says it is, in a comment on its first line."""
        found = re.match(r"# ([\w/]+\.py)\n", self.text)
        return found[1] if found else None


def blocks_of(document: Path) -> list[Block]:
    text = document.read_text()
    fences = re.finditer(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [Block(document, found[1], found[2], NOT_EXECUTED.search(text[: found.start()]) is None) for found in fences]


def python_blocks(document: Path) -> list[Block]:
    return [block for block in blocks_of(document) if block.language == "python" and block.executed]


def table_rows(document: Path, heading: str) -> list[list[str]]:
    """Rows of the first table after a line that is ``heading``, without its header."""
    lines = iter(document.read_text().splitlines())
    for line in lines:
        if line.strip() == heading:
            break
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# -- tables --------------------------------------------------------------------------------------------------------


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    text = README.read_text()
    assert len(text.splitlines()) < 150
    first = blocks_of(README)[0].text
    assert "make quickstart" in first
    assert "make test" in first
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for document in DOCUMENTS:
        assert set(re.findall(r"^make (\w+)", document.read_text(), flags=re.MULTILINE)) <= set(targets)


def test_the_table_of_verbs_is_the_help_of_the_program() -> None:
    lines = README.read_text().splitlines()
    start = lines.index("| verb | does |") + 2
    rows = [line.strip("| ").split(" | ") for line in lines[start : start + len(VERBS)]]
    assert {name.strip("`"): summary for name, summary in rows} == VERBS
    assert not lines[start + len(VERBS)].startswith("|")


def test_the_table_of_hooks_is_the_hook_specifications() -> None:
    specified = {
        name: tuple(inspect.signature(function).parameters)
        for name, function in vars(hookspecs).items()
        if name.startswith("autodistill_") and callable(function)
    }
    assert len(specified) > 0
    rows = table_rows(PLUGINS, "## All hooks")
    documented = {codes(row[0])[0]: tuple(codes(row[1])) for row in rows}
    assert len(rows) == len(documented)
    assert documented == specified
    assert all(row[2] and row[3] for row in rows)


def test_the_table_of_kinds_is_the_registry_and_names_what_exists() -> None:
    rows = table_rows(PLUGINS, "## All kinds of component")
    assert {codes(row[0])[0]: codes(row[1])[0] for row in rows} == {kind.name: kind.hook for kind in KINDS.values()}
    for _, _, protocol, context, constructor, conformance in rows:
        for name in [*codes(protocol), *codes(context)]:
            module, _, attribute = name.partition(".")
            assert hasattr(import_module(f"autodistill.components.{module}"), attribute), name
        assert ("(context, **parameters)" in codes(constructor)) == bool(codes(context))
        for name in codes(conformance):
            module, _, attribute = name.rpartition(".")
            assert hasattr(import_module(module), attribute), name


def test_the_parameters_that_the_table_of_kinds_requires_are_there() -> None:
    registry = default_registry()
    for kind, _, _, _, constructor, _ in table_rows(PLUGINS, "## All kinds of component"):
        required = set(codes(constructor.partition("has")[2]))
        for name in registry.names(codes(kind)[0]):
            assert required <= set(registry.get(codes(kind)[0], name).spec.parameters), (kind, name)


def test_the_top_level_keys_are_those_that_the_program_takes() -> None:
    rows = table_rows(CONFIGURATION, "## Top-level keys")
    assert {codes(row[0])[0] for row in rows} == TOP_LEVEL | set(KINDS)
    kinds = {codes(row[0])[0]: row[1] for row in rows if row[1].startswith("component")}
    assert kinds == {kind.name: "components" if kind.several else "component" for kind in KINDS.values()}


def test_the_documented_defaults_are_those_of_the_primary_configuration() -> None:
    from omegaconf import OmegaConf

    primary = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "config.yaml"), resolve=False)
    assert isinstance(primary, dict)
    documented = {
        codes(row[0])[0]: codes(row[1])[0] for row in table_rows(CONFIGURATION, "## Top-level keys") if codes(row[1])
    }
    assert len(documented) > 0
    for key, text in documented.items():
        value = primary[key]
        assert text == ("null" if value is None else str(value)), key


def test_every_marker_of_the_tests_is_documented() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    documented = {codes(row[0])[0] for row in table_rows(ROOT / "CONTRIBUTING.md", "## Tests")}
    assert documented == {marker.partition(":")[0] for marker in declared}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()) if "://" not in link]
    missing = [link for link in links if not (document.parent / link).exists() and (ROOT / link) not in PICTURES]
    assert missing == []


#: Made from a real run of the quickstart.
PICTURES = {ROOT / "docs" / "quickstart-pareto.svg"}


# -- python blocks -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs")


@pytest.fixture
def tiny_compose(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`autodistill.compose` with overrides that make every study tiny; nothing is timed."""
    compose = autodistill.compose
    replay = {"default": {"median": 2.0, "ratio_to_reference": 0.25}, "named": {"teacher": {"median": 5.0}}}
    (lab / "replay.json").write_text(json.dumps(replay))
    neutral = ["teacher=huggingface", "student=bert", "schedule=one_phase", "loss=[logits_kl]"]  # no presets
    tiny = [
        *neutral,
        *(item for item in tiny_overrides(lab) if item != "search=random"),
        "latency=[replay]",
        f"latency.replay.path={lab / 'replay.json'}",
        "baseline=[teacher_truncated]",
        "reference=[]",
        "logger=none",
        "trainer.threads=1",
        "budget.trials=2",
        "schedule.examples=320",
    ]

    def small(overrides: Sequence[str] = (), registry: Registry | None = None) -> Settings:
        return compose([*overrides, *tiny], registry)

    monkeypatch.setitem(vars(autodistill), "compose", small)
    monkeypatch.chdir(lab)


def execute(block: Block, directory: Path) -> None:
    """Run a block; one that says which file it is, is written there and imported."""
    if block.file_name is None:
        exec(compile(block.text, str(block), "exec"), {"__name__": "block"})
        return
    path = directory / block.file_name
    path.parent.mkdir(exist_ok=True)
    path.write_text(block.text)
    sys.path.insert(0, str(path.parent))
    sys.modules.pop(path.stem, None)
    try:
        import_module(path.stem)
    finally:
        sys.path.remove(str(path.parent))


@pytest.mark.parametrize("document", [README, PLUGINS], ids=["README", "plugins"])
def test_every_python_block_runs(document: Path, lab: Path, tiny_compose: None) -> None:
    """In their order, as a reader would: later blocks may import files of earlier ones."""
    blocks = python_blocks(document)
    assert len(blocks) > 1
    try:
        for block in blocks:
            execute(block, lab)
    finally:
        for name in ("in_order", "test_in_order", "tell_me", "our_configs"):
            sys.modules.pop(name, None)


def plugin_source(document: Path) -> str:
    (source,) = (
        block.text
        for block in python_blocks(document)
        if str(block.file_name).endswith("in_order.py") and "hookimpl" in block.text
    )
    return source


def test_the_plugin_of_the_readme_is_short_and_its_commands_list_it(tmp_path: Path) -> None:
    source = plugin_source(README)
    assert len([line for line in source.splitlines() if line.strip() and not line.startswith("# ")]) <= 15
    (commands,) = (block.text for block in blocks_of(README) if "dist-info" in block.text)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "in_order.py").write_text(source)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"^  in_order +in_order 0\.1 +The space in its own order\.$", result.stdout, flags=re.MULTILINE)


@pytest.mark.parametrize("document", [README, PLUGINS], ids=["README", "plugins"])
def test_the_documented_plugin_passes_the_conformance_suite(document: Path, tmp_path: Path) -> None:
    (test,) = (block.text for block in python_blocks(PLUGINS) if block.file_name == "test_in_order.py")
    if document == README:  # its strategy has no parameters
        test = test.replace("InOrder(context, backwards=False)", "InOrder(context)")
    (tmp_path / "in_order.py").write_text(plugin_source(document))
    (tmp_path / "test_in_order.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_in_order.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


def test_the_pyproject_of_the_guide_is_found_as_a_plugin(
    install_plugin: Callable[[str, str], Path], tmp_path: Path
) -> None:
    (text,) = (block.text for block in blocks_of(PLUGINS) if block.language == "toml")
    project = tomllib.loads(text)
    ((name, module),) = project["project"]["entry-points"]["autodistill"].items()
    assert project["tool"]["setuptools"]["py-modules"] == [module]
    site = install_plugin(name, plugin_source(PLUGINS))
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "autodistill", "plugins", "--check"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(rf"^  {name} .*The space in its own order\.$", result.stdout, flags=re.MULTILINE)


# -- commands ------------------------------------------------------------------------------------------------------


def commands_in(text: str) -> Iterator[list[str]]:
    """Arguments of every ``autodistill`` command in shell text, as the shell splits them."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words[:1] == ["autodistill"]:
            yield words[1:]


def documented_commands() -> list[tuple[str, list[str]]]:
    found = []
    for document in DOCUMENTS:
        shell = [block.text for block in blocks_of(document) if block.language in ("bash", "console")]
        indented = re.findall(r"^    (autodistill .*)$", document.read_text(), flags=re.MULTILINE)
        inline = re.findall(r"`(autodistill [a-z]+ [^`]*=[^`]*)`", document.read_text())
        lines = [*shell, *indented, *(" ".join(item.split()) for item in inline)]
        found += [(document.name, command) for text in lines for command in commands_in(text)]
    help_texts = [
        ("help", command) for examples in _EXAMPLES.values() for text in examples for command in commands_in(text)
    ]
    return found + help_texts


COMMANDS = documented_commands()


def test_commands_were_found_in_every_document_that_must_have_some() -> None:
    names = [name for name, _ in COMMANDS]
    assert {"README.md", "configuration.md", "help"} <= set(names)
    assert len(COMMANDS) > 20


def jobs_of(overrides: list[str], registry: Registry) -> list[list[str]]:
    """The overrides of every job of a sweep."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (batch,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(overrides), None)
    return [list(job) for job in batch]


@pytest.mark.parametrize(
    ("document", "command"), COMMANDS, ids=lambda item: item if isinstance(item, str) else " ".join(item)[:80]
)
def test_every_documented_command_composes(document: str, command: list[str], in_order_registry: Registry) -> None:
    verb, arguments = command[0], [item for item in command[1:] if item not in ("...", "NAME")]
    assert verb in VERBS or verb.startswith("--") or verb == "VERB"
    flags, overrides = split_arguments(arguments)
    if verb not in VERBS or verb == "plugins" or any("=NAME" in item or item == "GROUP=NAME" for item in overrides):
        return
    if "-m" in flags:
        jobs = jobs_of(overrides, in_order_registry)
        assert len(jobs) > 1
    else:
        jobs = [overrides or ["experiment=quickstart"] if verb == "run" else overrides]
    for job in jobs:
        settings = autodistill.compose(job, in_order_registry)
        needs_data = verb not in ("report", "studies") and not any(item.startswith("study.name=") for item in job)
        if needs_data:
            settings.one("data")


@pytest.fixture(scope="module")
def in_order_registry(lab: Path) -> Iterator[Registry]:
    """The installed components and the one that the guide adds."""
    from autodistill.plugin_manager import PluginManager, Provider

    (lab / "guide").mkdir()
    (lab / "guide" / "in_order.py").write_text(plugin_source(PLUGINS))
    sys.path.insert(0, str(lab / "guide"))
    sys.modules.pop("in_order", None)
    manager = PluginManager()
    manager.load_builtins()
    manager.load_entry_points()
    manager.register(import_module("in_order"), Provider("autodistill-in-order", "0.1.0", "in_order"))
    yield Registry(manager)
    sys.path.remove(str(lab / "guide"))
    sys.modules.pop("in_order", None)
