from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import pytest

from autodistill.components.specs import ComponentSpec
from autodistill.errors import PluginError
from autodistill.hookspecs import hookimpl
from autodistill.plugin_manager import PluginManager, Provider, brief

SPEC = ComponentSpec("mine", "collections:OrderedDict", make_dataclass("Nothing", []), "Mine.")

GOOD = """
from dataclasses import dataclass
from autodistill import ComponentSpec, hookimpl

@dataclass
class Nothing:
    pass

@hookimpl
def autodistill_search_strategies():
    return [ComponentSpec("from_outside", "collections:OrderedDict", Nothing, "From outside.")]
"""


def plugins_command(site: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), **variables}
    command = [sys.executable, "-m", "autodistill", "plugins", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


class Observer:
    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def autodistill_after_study_run(self, study: str) -> None:
        self.seen.append(study)


def test_an_installed_plugin_is_found_and_listed_with_its_version(install_plugin: Callable[[str, str], Path]) -> None:
    result = plugins_command(install_plugin("goodplugin", GOOD), "--check")
    assert result.returncode == 0, result.stderr
    assert "from_outside" in result.stdout
    assert "goodplugin 1.5" in result.stdout


@pytest.mark.parametrize("source", ["raise RuntimeError('boom')", "import no_such_module", "raise SystemExit(3)"])
def test_a_plugin_broken_at_import_is_named_and_stops_nothing(
    install_plugin: Callable[[str, str], Path], source: str
) -> None:
    site = install_plugin("brokenplugin", source)
    listed = plugins_command(site)
    assert listed.returncode == 0
    assert "FAILED plugin 'brokenplugin' of brokenplugin 1.5 failed at import" in listed.stdout
    assert "botorch" in listed.stdout
    assert plugins_command(site, "--check").returncode == 1


def test_a_component_that_misses_what_it_requires_is_listed_with_what_to_install(
    install_plugin: Callable[[str, str], Path],
) -> None:
    needy = GOOD.replace('"From outside.")', '"From outside.", requires=("no_such_module",))')
    result = plugins_command(install_plugin("needyplugin", needy), "--check")
    assert "From outside. [needs no_such_module: pip install no_such_module]" in result.stdout
    assert result.returncode == 0, result.stdout


def test_a_blocked_plugin_is_not_imported(install_plugin: Callable[[str, str], Path]) -> None:
    site = install_plugin("brokenplugin", "raise RuntimeError('boom')")
    result = plugins_command(site, "--check", AUTODISTILL_BLOCK_PLUGINS="brokenplugin")
    assert result.returncode == 0
    assert "brokenplugin" not in result.stdout


def test_a_plugin_that_fails_in_a_hook_is_dropped_and_named() -> None:
    class Failing:
        @hookimpl
        def autodistill_losses(self) -> None:
            raise RuntimeError("boom")

    manager = PluginManager()
    manager.register(Failing(), Provider("autodistill-failing", "2.0", "failing"))
    assert manager.collect(["autodistill_losses"], ComponentSpec) == []
    assert str(manager.failures[0]) == (
        "plugin 'failing' of autodistill-failing 2.0 failed at autodistill_losses: RuntimeError: boom"
    )
    assert "failing" not in manager.providers


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (SPEC, r"must return a list of ComponentSpec objects, got one alone\. Put it between \[ and \]"),
        (5, "must return a list of ComponentSpec objects, got int"),
        ([SPEC, "text"], "must return a list of ComponentSpec objects, got str in it"),
        ((1 / zero for zero in [0]), "ZeroDivisionError"),
        (SystemExit(3), "SystemExit: 3"),
    ],
    ids=["one", "number", "wrong item", "generator", "exit"],
)
def test_a_plugin_that_fails_in_any_registration_hook_is_taken_out_as_a_whole(returned: Any, reason: str) -> None:
    class Broken(Observer):
        @hookimpl
        def autodistill_search_strategies(self) -> list[ComponentSpec]:
            return [SPEC]

        @hookimpl
        def autodistill_pruners(self) -> Any:
            if isinstance(returned, BaseException):
                raise returned
            return returned

        @hookimpl
        def autodistill_executors(self) -> list[ComponentSpec]:
            return [SPEC]

    manager, broken = PluginManager(), Broken()
    manager.register(broken, Provider("autodistill-broken", "1", "broken"))
    hooks = ["autodistill_search_strategies", "autodistill_pruners", "autodistill_executors"]
    assert manager.collect(hooks, ComponentSpec) == []
    (failure,) = manager.failures
    assert failure.where == "autodistill_pruners"
    assert re.search(reason, str(failure))
    manager.notify("autodistill_after_study_run", study="quickstart", summary={})
    assert broken.seen == []


def test_ctrl_c_in_a_registration_hook_is_no_failure() -> None:
    class Slow:
        @hookimpl
        def autodistill_losses(self) -> None:
            raise KeyboardInterrupt

    manager = PluginManager()
    manager.register(Slow(), Provider("autodistill-slow", "1", "slow"))
    with pytest.raises(KeyboardInterrupt):
        manager.collect(["autodistill_losses"], ComponentSpec)


def test_a_hook_that_does_not_exist_is_refused_by_name() -> None:
    class Misspelt:
        @hookimpl
        def autodistill_serach_strategies(self) -> None: ...

    with pytest.raises(PluginError, match="autodistill_serach_strategies"):
        PluginManager().register(Misspelt(), Provider("autodistill-misspelt", "1", "misspelt"))


def test_an_argument_that_a_hook_does_not_have_is_refused() -> None:
    class Wrong:
        @hookimpl
        def autodistill_after_study_run(self, no_such_argument: str) -> None: ...

    with pytest.raises(PluginError, match="no_such_argument"):
        PluginManager().register(Wrong(), Provider("autodistill-wrong", "1", "wrong"))


def test_two_plugins_of_one_name_are_refused() -> None:
    manager = PluginManager()
    manager.register(Observer(), Provider("autodistill-a", "1", "same"))
    with pytest.raises(PluginError, match=r"autodistill-a 1 and one of autodistill-b 2"):
        manager.register(Observer(), Provider("autodistill-b", "2", "same"))


def test_observers_are_told_and_may_take_fewer_arguments() -> None:
    manager, observer = PluginManager(), Observer()
    manager.register(observer, Provider("autodistill-observer", "1", "observer"))
    manager.notify("autodistill_after_study_run", study="quickstart", summary={})
    assert observer.seen == ["quickstart"]


def test_an_observer_that_raises_is_named() -> None:
    class Raising:
        @hookimpl
        def autodistill_after_study_run(self) -> None:
            raise KeyError("lost")

    manager = PluginManager()
    manager.register(Raising(), Provider("autodistill-raising", "3.1", "raising"))
    with pytest.raises(
        PluginError, match=r"'raising' of autodistill-raising 3.1 failed in autodistill_after_study_run"
    ):
        manager.notify("autodistill_after_study_run", study="s", summary={})


def test_hook_calls_can_be_traced() -> None:
    lines: list[str] = []
    manager = PluginManager(trace=lines.append)
    manager.register(Observer(), Provider("autodistill-observer", "1", "observer"))
    manager.notify("autodistill_after_study_run", study="s", summary={})
    assert len(lines) == 1
    assert re.fullmatch(
        r"autodistill_after_study_run\(study='s', summary=<dict of 0>\) -> observer of autodistill-observer 1: "
        r"returned in \d+\.\d ms",
        lines[0],
    )


def test_the_trace_shows_which_plugin_raised() -> None:
    class Raising:
        @hookimpl
        def autodistill_after_study_run(self) -> None:
            raise KeyError("lost")

    lines: list[str] = []
    manager = PluginManager(trace=lines.append)
    manager.register(Raising(), Provider("autodistill-raising", "3.1", "raising"))
    with pytest.raises(PluginError):
        manager.notify("autodistill_after_study_run", study="s", summary={})
    assert "-> raising of autodistill-raising 3.1: raised KeyError in" in lines[0]


def test_the_trace_never_writes_the_text_of_a_configuration() -> None:
    assert brief({"storage": {"url": "postgresql://user:secret@host"}}) == "<dict of 1>"
    assert brief("x" * 200) == "<str of 200>"
    assert brief("quickstart") == "'quickstart'"


def test_the_environment_switches_the_trace_on(install_plugin: Callable[[str, str], Path]) -> None:
    site = install_plugin("goodplugin", GOOD)
    traced = plugins_command(site, AUTODISTILL_TRACE_PLUGINS="1")
    assert traced.returncode == 0
    lines = traced.stderr.splitlines()
    assert all(line.startswith("autodistill: hook autodistill_") for line in lines)
    assert next(line for line in lines if "goodplugin" in line).startswith(
        "autodistill: hook autodistill_search_strategies() -> goodplugin of goodplugin 1.5: returned in "
    )
    for value in ("0", ""):
        assert plugins_command(site, AUTODISTILL_TRACE_PLUGINS=value).stderr == ""


def test_a_wrong_value_of_the_trace_switch_is_refused(tmp_path: Path) -> None:
    result = plugins_command(tmp_path, AUTODISTILL_TRACE_PLUGINS="yes")
    assert result.returncode == 2
    assert "AUTODISTILL_TRACE_PLUGINS must be 1" in result.stderr
    assert "'yes'" in result.stderr
