from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from autodistill.components.specs import KINDS, ComponentSpec
from autodistill.errors import ConfigError, PluginError, UnknownComponentError
from autodistill.hookspecs import hookimpl
from autodistill.plugin_manager import BUILTIN_MODULES, PluginManager, Provider
from autodistill.registry import Registry


@dataclass
class Nothing:
    """No parameters."""


def provider(name: str) -> Provider:
    return Provider(f"autodistill-{name}", "0.9", name)


class Random:
    """A plugin that registers a search strategy under a name of our own choice."""

    def __init__(self, name: str, target: str = "collections:OrderedDict", requires: tuple[str, ...] = ()) -> None:
        self.spec = ComponentSpec(name, target, Nothing, "A strategy.", requires, "pip install it")

    @hookimpl
    def autodistill_search_strategies(self) -> list[ComponentSpec]:
        return [self.spec]


def registry_with(*plugins: object) -> Registry:
    manager = PluginManager()
    manager.load_builtins()
    for index, plugin in enumerate(plugins):
        manager.register(plugin, provider(f"demo{index}"))
    return Registry(manager)


def test_every_kind_of_component_has_a_builtin(fresh_registry: Registry) -> None:
    assert {kind: fresh_registry.names(kind) for kind in KINDS if not fresh_registry.names(kind)} == {}


def test_every_builtin_can_be_imported_and_has_a_summary(fresh_registry: Registry) -> None:
    components = fresh_registry.all()
    assert len(components) >= 30
    for registered in components:
        assert callable(fresh_registry.load(registered.kind.name, registered.spec.name))
        assert registered.spec.summary.endswith(".")
        assert "\n" not in registered.spec.summary


def test_unknown_component_lists_alternatives_and_providers(fresh_registry: Registry) -> None:
    with pytest.raises(UnknownComponentError) as caught:
        fresh_registry.get("search", "botroch")
    text = str(caught.value)
    assert "Unknown search strategy 'botroch'. Did you mean 'botorch'?" in text
    assert "  random     autodistill" in text
    assert "(built in)" in text


def test_a_known_separate_distribution_says_how_to_install_it(fresh_registry: Registry) -> None:
    with pytest.raises(UnknownComponentError, match=r"pip install \./plugins/autodistill-template"):
        fresh_registry.get("search", "template_annealing")


def test_openvino_which_the_docs_list_says_how_to_install_it(fresh_registry: Registry) -> None:
    with pytest.raises(UnknownComponentError, match=r"'openvino'.* pip install \./plugins/autodistill-openvino"):
        fresh_registry.get("latency", "openvino")


def test_two_providers_of_one_name_are_both_named() -> None:
    with pytest.raises(
        PluginError, match=r"'random' is provided twice: by autodistill .* and by autodistill-demo0 0.9"
    ):
        registry_with(Random("random"))


def test_a_missing_requirement_says_how_to_get_it() -> None:
    registry = registry_with(Random("far", requires=("no_such_module",)))
    with pytest.raises(ConfigError, match=r"needs no_such_module, which is not installed. Try: pip install it"):
        registry.load("search", "far")


def test_a_target_that_cannot_be_imported_names_the_plugin() -> None:
    registry = registry_with(Random("lost", target="no_such_module:Thing"))
    with pytest.raises(
        PluginError, match=r"'lost' of autodistill-demo0 0.9 cannot be loaded from 'no_such_module:Thing'"
    ):
        registry.load("search", "lost")


@pytest.mark.parametrize("source", ["undefined_name", "def broken(:", "raise OSError('libruntime.so is missing')"])
def test_a_target_that_fails_in_any_way_while_imported_names_the_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "failing_target.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    registry = registry_with(Random("failing", target="failing_target:Thing"))
    with pytest.raises(
        PluginError,
        match=r"'failing' of autodistill-demo0 0.9 cannot be loaded from 'failing_target:Thing': (Name|Syntax|OS)Error",
    ):
        registry.load("search", "failing")


@pytest.mark.parametrize(
    ("kind", "lacking"),
    [("student", "space, rules"), ("data", "max_length"), ("loss", "weight"), ("schedule", "flash_fidelity")],
)
def test_a_component_without_a_parameter_of_its_kind_takes_its_plugin_out(kind: str, lacking: str) -> None:
    plugin = Random("early")
    hook = KINDS[kind].hook
    setattr(plugin, hook, hookimpl(specname=hook)(lambda: [ComponentSpec("bare", "a:b", Nothing, "Bare.")]))
    registry = registry_with(plugin)
    (failure,) = registry.failures
    assert failure.where == hook
    assert f"the config of the {KINDS[kind].title} 'bare' has no {lacking}, which every" in str(failure)
    assert "early" not in registry.names("search")
    assert "demo0" not in registry.manager.providers


def test_a_plugin_that_fails_to_name_its_config_packages_has_no_components_either() -> None:
    class Text(Random):
        @hookimpl
        def autodistill_config_packages(self) -> str:
            return "autodistill_demo.conf"

    registry = registry_with(Text("early"))
    assert "must return a list of names, got one alone" in str(registry.failures[0])
    assert "early" not in registry.names("search")


def test_a_hook_that_returns_something_else_is_a_failure_of_its_plugin() -> None:
    class Wrong:
        @hookimpl
        def autodistill_losses(self) -> list[str]:
            return ["not a spec"]

    registry = registry_with(Wrong())
    assert [failure.where for failure in registry.failures] == ["autodistill_losses"]
    assert "ComponentSpec" in str(registry.failures[0])


@pytest.mark.parametrize(("name", "target"), [("Upper", "a:b"), ("with-dash", "a:b"), ("fine", "no_colon")])
def test_a_malformed_spec_is_refused(name: str, target: str) -> None:
    with pytest.raises(ValueError, match="ComponentSpec"):
        ComponentSpec(name, target, Nothing, "A strategy.")


def test_requirements_that_are_a_text_are_refused() -> None:
    """The comma is easily forgotten, and the letters of a text would be taken for names."""
    with pytest.raises(ValueError, match=r"requires of 'mine' must be a tuple .* 'numpy'\. Write \('numpy',\)\."):
        ComponentSpec("mine", "a:b", Nothing, "Mine.", requires=("numpy"))  # type: ignore[arg-type]


def test_builtin_modules_cover_every_kind() -> None:
    assert len(BUILTIN_MODULES) == len(KINDS)
