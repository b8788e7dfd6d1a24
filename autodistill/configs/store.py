"""ConfigStore nodes for every registered component, and the search path of config packages.

Each component becomes a node of its kind's group that holds its name and the defaults of its config dataclass, so
that ``search=NAME search.PARAMETER=VALUE`` works for a third-party plugin that ships no YAML. Kinds of which a study
may use several put the node under a label: ``latency.onnxruntime``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from autodistill.components.specs import KINDS, ComponentSpec
from autodistill.errors import ConfigError, PluginError
from autodistill.plugin_manager import PluginFailure

if TYPE_CHECKING:
    from autodistill.registry import Registered, Registry

#: The package that holds the primary config.
CONFIG_PACKAGE = "autodistill.conf"
CONFIG_NAME = "config"

#: What `store_components` put into Hydra's ConfigStore: a command composes several times, and nodes take long to make.
_stored: dict[Registered, object] = {}


def default_node(spec: ComponentSpec) -> dict[str, Any]:
    """Return the component's name and the defaults of its config; required values are ``"???"``."""
    from omegaconf import OmegaConf

    schema = OmegaConf.structured(spec.config)
    values = OmegaConf.to_container(schema, throw_on_missing=False)
    if not isinstance(values, dict):
        raise PluginError(f"The config dataclass of {spec.name!r} does not make a mapping.")
    return {"name": spec.name, **{field.name: values[field.name] for field in fields(spec.config)}}


def store_components(registry: Registry) -> None:
    """Put every component that is not there yet into Hydra's ConfigStore.

    Raises:
        PluginError: a preset of the same name exists already.
    """
    from hydra.core.config_store import ConfigStore
    from omegaconf.errors import OmegaConfBaseException

    store = ConfigStore.instance()
    presets = set(_preset_names(registry))
    for registered in registry.all():
        kind, spec = registered.kind, registered.spec
        if (kind.name, spec.name) in presets:
            raise PluginError(
                f"A config file called {kind.name}/{spec.name}.yaml hides the {kind.title} {spec.name!r} of "
                f"{registered.provider}: a preset never has the name of a component. Rename the file."
            )
        group = store.repo.setdefault(kind.name, {})
        file = f"{spec.name}.yaml"
        if registered in _stored and group.get(file) is _stored[registered]:
            continue
        package = f"{kind.name}.{spec.name}" if kind.several else kind.name
        try:
            node = default_node(spec)
        except (TypeError, ValueError, AttributeError, OmegaConfBaseException) as error:
            registry.failures.append(PluginFailure(registered.provider, f"the config of {spec.name!r}", error))
            continue
        store.store(group=kind.name, name=spec.name, node=node, package=package, provider=str(registered.provider))
        _stored[registered] = group[file]


def config_packages(registry: Registry) -> list[str]:
    """Return the config packages of all plugins.

    Raises:
        PluginError: a package that a plugin names cannot be found (Hydra would ignore it silently).
    """
    packages: list[str] = []
    for provider, name in registry.config_packages:
        if not _package_exists(name):
            raise PluginError(
                f"plugin {provider.plugin!r} of {provider} names the config package {name!r}, which cannot be "
                "found. It needs an __init__.py and must be installed with its YAML files."
            )
        packages.append(name)
    return packages


def _package_exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _preset_names(registry: Registry) -> Iterator[tuple[str, str]]:
    for package in (CONFIG_PACKAGE, *config_packages(registry)):
        for group in files(package).iterdir():
            if group.name in KINDS and group.is_dir():
                for entry in group.iterdir():
                    if entry.name.endswith(".yaml"):
                        yield group.name, entry.name.removesuffix(".yaml")


def check_primary_config() -> None:
    """Raise `ConfigError` when the project's own config files are not installed."""
    if not files(CONFIG_PACKAGE).joinpath(f"{CONFIG_NAME}.yaml").is_file():
        raise ConfigError(f"{CONFIG_PACKAGE} holds no {CONFIG_NAME}.yaml: this installation is broken; install again.")
