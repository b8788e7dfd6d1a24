"""Components by kind and name: what exists, who provides it, and the implementation on first use.

`load_registry` asks every plugin for its specs. Nothing here imports torch or Hydra; `Registry.create` imports one
implementation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from autodistill.components.specs import KINDS, ComponentSpec, Kind
from autodistill.errors import ConfigError, PluginError, UnknownComponentError, did_you_mean
from autodistill.plugin_manager import PluginFailure, PluginManager, Provider

#: Environment variable with comma-separated names of plugins that are never loaded; read by the command line.
BLOCK_VARIABLE = "AUTODISTILL_BLOCK_PLUGINS"

#: Environment variable that, set to 1, writes every hook call as a line to stderr; read by the command line.
TRACE_VARIABLE = "AUTODISTILL_TRACE_PLUGINS"

#: The hook by which plugins name packages of config files.
CONFIG_HOOK = "autodistill_config_packages"

#: Components that exist elsewhere: (kind, name) -> what to type to get them.
INSTALLABLE: Mapping[tuple[str, str], str] = {
    ("search", "template_annealing"): "pip install ./plugins/autodistill-template",
    ("latency", "openvino"): "pip install ./plugins/autodistill-openvino",
}


@dataclass(frozen=True, slots=True)
class Registered:
    """A spec and who provides it."""

    kind: Kind
    spec: ComponentSpec
    provider: Provider

    @property
    def described(self) -> str:
        """Kind, name and provider, for messages."""
        return f"the {self.kind.title} {self.spec.name!r} of {self.provider}"

    @property
    def missing(self) -> tuple[str, ...]:
        """Import names that the component requires and that are not installed."""
        return tuple(name for name in self.spec.requires if find_spec(name.split(".")[0]) is None)

    @property
    def install_hint(self) -> str:
        """What to type to get what is missing."""
        return self.spec.install_hint or f"pip install {' '.join(self.missing)}"


class Registry:
    """All registered components.

    Args:
        manager: a plugin manager whose plugins are loaded.

    Raises:
        PluginError: two plugins provide one name.
    """

    def __init__(self, manager: PluginManager) -> None:
        self.manager = manager
        self._components: dict[str, dict[str, Registered]] = {kind: {} for kind in KINDS}
        # First, as a plugin that fails in it must have no components either.
        packages = manager.collect([CONFIG_HOOK], str)
        for provider, specs in manager.collect([kind.hook for kind in KINDS.values()], ComponentSpec):
            self._add_all(provider, specs)
        left = set(manager.providers.values())
        #: Who names a package of config files, and its name.
        self.config_packages = [
            (provider, name) for provider, found in packages if provider in left for name in found[CONFIG_HOOK]
        ]

    @property
    def failures(self) -> list[PluginFailure]:
        """Plugins that could not be used."""
        return self.manager.failures

    def _add_all(self, provider: Provider, specs: Mapping[str, Sequence[ComponentSpec]]) -> None:
        """Add all that a plugin registers, by hook; or none where one of them lacks what its kind must have."""
        found = [Registered(kind, spec, provider) for kind in KINDS.values() for spec in specs[kind.hook]]
        for registered in found:
            kind, spec = registered.kind, registered.spec
            lacking = [name for name in kind.parameters if name not in spec.parameters]
            if lacking:
                error = TypeError(
                    f"the config of the {kind.title} {spec.name!r} has no {', '.join(lacking)}, which every "
                    f"{kind.title} must have. Add to {spec.config.__name__}: {', '.join(lacking)}"
                )
                self.manager.take_out(provider, kind.hook, error)
                return
        for registered in found:
            self._add(registered)

    def _add(self, registered: Registered) -> None:
        kind, spec, provider = registered.kind, registered.spec, registered.provider
        other = self._components[kind.name].get(spec.name)
        if other is not None:
            raise PluginError(
                f"The {kind.title} {spec.name!r} is provided twice: by {other.provider} and by {provider}. "
                f"Uninstall one of them, or block its plugin: {BLOCK_VARIABLE}={provider.plugin}."
            )
        self._components[kind.name][spec.name] = registered

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of the components of a kind, sorted."""
        return tuple(sorted(self._components[kind]))

    def all(self) -> list[Registered]:
        """Every component, by kind and name."""
        return [self._components[kind][name] for kind in KINDS for name in self.names(kind)]

    def get(self, kind: str, name: str) -> Registered:
        """Look one component up.

        Raises:
            UnknownComponentError: lists the alternatives with their providers.
        """
        if name not in self._components[kind]:
            raise self.unknown(kind, name)
        return self._components[kind][name]

    def unknown(self, kind: str, name: str, presets: Sequence[str] = ()) -> UnknownComponentError:
        """The error that lists the alternatives with their providers.

        Args:
            kind: of the component.
            name: that no plugin provides.
            presets: of the kind, which may be chosen where components are.
        """
        title = KINDS[kind].title
        lines = [f"Unknown {title} {name!r}.{did_you_mean(name, [*self.names(kind), *presets])}"]
        if (kind, name) in INSTALLABLE:
            lines[0] += f" It is a separate distribution: {INSTALLABLE[kind, name]}"
        lines.append(f"Available {KINDS[kind].plural}:")
        width = max((len(other) for other in self.names(kind)), default=0)
        lines += [f"  {other:<{width}}  {self._components[kind][other].provider}" for other in self.names(kind)]
        lines += [f"Presets: {', '.join(presets)}"] if presets else []
        lines += [f"Not loaded: {failure}" for failure in self.failures]
        return UnknownComponentError("\n".join(lines))

    def load(self, kind: str, name: str) -> Any:
        """Import a component's implementation.

        Raises:
            UnknownComponentError: no such component.
            ConfigError: something it requires is not installed.
            PluginError: its module cannot be imported.
        """
        registered = self.get(kind, name)
        if registered.missing:
            raise ConfigError(
                f"The {registered.kind.title} {name!r} needs {', '.join(registered.missing)}, "
                f"which is not installed. Try: {registered.install_hint}"
            )
        module, attribute = registered.spec.target.split(":")
        try:
            return getattr(import_module(module), attribute)
        except Exception as error:  # foreign code: a module may fail in any way while it is imported
            raise PluginError(
                f"The {registered.kind.title} {name!r} of {registered.provider} cannot be loaded from "
                f"{registered.spec.target!r}: {type(error).__name__}: {error}"
            ) from error

    def create(self, kind: str, name: str, parameters: Mapping[str, Any], context: object | None = None) -> Any:
        """Build a component: ``target(context, **parameters)``, or ``target(**parameters)`` without a context."""
        factory = self.load(kind, name)
        return factory(**parameters) if context is None else factory(context, **parameters)


def load_registry(manager: PluginManager | None = None) -> Registry:
    """Load built-in and installed plugins and return the registry of their components.

    Raises:
        ConfigError: `TRACE_VARIABLE` is neither 0 nor 1.
    """
    if manager is None:
        blocked = [name.strip() for name in os.environ.get(BLOCK_VARIABLE, "").split(",") if name.strip()]
        manager = PluginManager(blocked, trace=print_call if _tracing_wanted() else None)
    manager.load_builtins()
    manager.load_entry_points()
    return Registry(manager)


def _tracing_wanted() -> bool:
    given = os.environ.get(TRACE_VARIABLE, "")
    if given not in ("", "0", "1"):
        raise ConfigError(f"{TRACE_VARIABLE} must be 1 (write every hook call to stderr) or 0, got {given!r}.")
    return given == "1"


def print_call(line: str) -> None:
    """Write one line of the trace to stderr."""
    print(f"autodistill: hook {line}", file=sys.stderr, flush=True)


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """The registry of this process, made on first use."""
    return load_registry()
