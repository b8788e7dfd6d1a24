"""Finds plugins and calls their hooks, one plugin at a time.

Built-in plugins are listed here by module name and enter through the same door as everybody else. A plugin that
fails to import, or fails in a registration hook, is recorded as a `PluginFailure` and taken out; the program goes
on. The registry (`autodistill.registry`) turns what is registered into something one can look up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any, TypeVar

import pluggy

from autodistill import __version__, hookspecs
from autodistill.errors import PluginError
from autodistill.hookspecs import PROJECT

#: Modules of the built-in plugins, one per kind of component.
BUILTIN_MODULES = tuple(
    f"autodistill.{package}.plugin"
    for package in (
        "search",
        "students",
        "teachers",
        "data",
        "losses",
        "schedules",
        "latency",
        "evaluators",
        "baselines",
        "references",
        "pruners",
        "executors",
        "exporters",
    )
)

#: What a registration hook returns a list of.
_Item = TypeVar("_Item")

#: Characters of a text argument that the trace shows as it is; names are shorter, texts longer.
_BRIEF = 60


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a plugin comes from: the distribution that ships it, its version, and the plugin's own name."""

    distribution: str
    version: str
    plugin: str

    @property
    def builtin(self) -> bool:
        """Whether it is part of autodistill itself."""
        return self.distribution == "autodistill"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}" + (" (built in)" if self.builtin else "")


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A plugin that could not be used, when it failed (``"import"`` or a hook's name), and why."""

    provider: Provider
    where: str
    error: BaseException

    def __str__(self) -> str:
        reason = f"{type(self.error).__name__}: {self.error}"
        return f"plugin {self.provider.plugin!r} of {self.provider} failed at {self.where}: {reason}"


class PluginManager:
    """The plugins of this process.

    Args:
        blocked: names of plugins (entry-point names or built-in module names) that are never loaded.
        trace: called with a line of text for every hook call of every plugin that implements the hook, or None.
    """

    def __init__(self, blocked: Iterable[str] = (), trace: Callable[[str], None] | None = None) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._providers: dict[str, Provider] = {}
        self._blocked = frozenset(blocked)
        self._trace = trace
        self.failures: list[PluginFailure] = []
        for name in sorted(self._blocked):
            self._manager.set_blocked(name)

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Plugin name -> provider, in the order of registration."""
        return dict(self._providers)

    def load_builtins(self) -> None:
        """Register the built-in plugins; one that is broken is a bug and raises."""
        for module in BUILTIN_MODULES:
            self.register(import_module(module), Provider(PROJECT, __version__, module))

    def load_entry_points(self) -> None:
        """Register every installed distribution's plugins; a broken one is recorded in `failures`."""
        for distribution, entry_point in sorted(_entry_points(), key=lambda pair: pair[1].name):
            provider = Provider(distribution.name, distribution.version, entry_point.name)
            if entry_point.name in self._blocked:
                continue
            try:
                self.register(entry_point.load(), provider)
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:  # a plugin may raise anything at import, SystemExit included
                self.failures.append(PluginFailure(provider, "import", error))

    def register(self, plugin: object, provider: Provider) -> None:
        """Register one plugin object or module under its provider's plugin name.

        Raises:
            PluginError: the name is taken, or an ``autodistill_`` function matches no hook specification.
        """
        name = provider.plugin
        if name in self._blocked:
            return
        if name in self._providers:
            raise PluginError(
                f"Two plugins are called {name!r}: one of {self._providers[name]} and one of {provider}. "
                "Uninstall one of them or block it with AUTODISTILL_BLOCK_PLUGINS."
            )
        try:
            self._manager.register(plugin, name=name)
            self._check_hooks(name, plugin)
        except pluggy.PluginValidationError as error:
            self._drop(name)
            raise PluginError(f"plugin {name!r} of {provider} does not fit the hook specifications: {error}") from error
        except PluginError:
            self._drop(name)
            raise
        self._providers[name] = provider

    def _drop(self, name: str) -> None:
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)

    def _check_hooks(self, name: str, plugin: object) -> None:
        callers = self._manager.get_hookcallers(self._manager.get_plugin(name)) or []
        known = {caller.name for caller in callers if caller.spec is not None}
        marked = {caller.name for caller in callers}
        unknown = sorted(marked - known)
        if unknown:
            raise PluginError(f"plugin {name!r} implements hooks that do not exist: {', '.join(unknown)}.")

    def collect(self, hooks: Iterable[str], item: type[_Item]) -> list[tuple[Provider, dict[str, list[_Item]]]]:
        """Call registration hooks of every plugin on its own; one that fails in any of them is taken out as a whole.

        Args:
            hooks: names of hooks that return a list.
            item: what the lists hold.

        Returns:
            The provider of every plugin that is left, with what each of its hooks returned.
        """
        asked = tuple(hooks)
        found = ((provider, self._collected(provider, asked, item)) for provider in list(self._providers.values()))
        return [(provider, items) for provider, items in found if items is not None]

    def _collected(self, provider: Provider, hooks: Sequence[str], item: type[_Item]) -> dict[str, list[_Item]] | None:
        found: dict[str, list[_Item]] = {}
        for hook in hooks:
            try:
                returned = self._call(hook, provider.plugin, {})
                found[hook] = [each for result in returned for each in _listed(hook, result, item)]
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:  # as at import: a plugin may raise anything, SystemExit included
                self.take_out(provider, hook, error)
                return None
        return found

    def take_out(self, provider: Provider, where: str, error: BaseException) -> None:
        """Record why a plugin cannot be used, and call none of its hooks again.

        Args:
            provider: of the plugin.
            where: the hook in which it failed.
            error: what is wrong.
        """
        self.failures.append(PluginFailure(provider, where, error))
        self._drop(provider.plugin)
        del self._providers[provider.plugin]

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call an observer hook of every plugin; an exception is raised again with the plugin's name.

        Raises:
            PluginError: an observer raised.
        """
        for name, provider in list(self._providers.items()):
            try:
                self._call(hook, name, arguments)
            except Exception as error:
                raise PluginError(
                    f"plugin {name!r} of {provider} failed in {hook}: {type(error).__name__}: {error}"
                ) from error

    def _call(self, hook: str, name: str, arguments: Mapping[str, Any]) -> list[Any]:
        """Call one plugin's implementation of a hook, if it has one; the call is traced, also when it raises."""
        plugin = self._manager.get_plugin(name)
        if not any(
            implementation.plugin is plugin for implementation in getattr(self._manager.hook, hook).get_hookimpls()
        ):
            return []
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        started, outcome = time.perf_counter(), "returned"
        try:
            results: list[Any] = self._manager.subset_hook_caller(hook, others)(**arguments)
        except BaseException as error:
            outcome = f"raised {type(error).__name__}"
            raise
        finally:
            if self._trace is not None:
                spent = (time.perf_counter() - started) * 1000  # milliseconds
                given = ", ".join(f"{key}={brief(value)}" for key, value in arguments.items())
                self._trace(f"{hook}({given}) -> {name} of {self._providers[name]}: {outcome} in {spent:.1f} ms")
        return results


def _listed(hook: str, result: object, item: type[_Item]) -> list[_Item]:
    """What a registration hook returned, as a list; None is an empty one.

    Raises:
        TypeError: it is no list, or one of something else.
    """
    kind = {"str": "names"}.get(item.__name__, f"{item.__name__} objects")
    if result is None:
        return []
    if isinstance(result, item):
        raise TypeError(f"{hook} must return a list of {kind}, got one alone. Put it between [ and ]")
    if not isinstance(result, Iterable):
        raise TypeError(f"{hook} must return a list of {kind}, got {type(result).__name__}")
    found: list[_Item] = []
    for each in result:
        if not isinstance(each, item):
            raise TypeError(f"{hook} must return a list of {kind}, got {type(each).__name__} in it")
        found.append(each)
    return found


def brief(value: object) -> str:
    """A hook's argument for the trace: short plain values as they are, the rest by type, lest secrets are written."""
    if value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= _BRIEF):
        return repr(value)
    size = f" of {len(value)}" if isinstance(value, Sized) else ""
    return f"<{type(value).__name__}{size}>"


def _entry_points() -> Iterable[tuple[Distribution, EntryPoint]]:
    for entry_point in entry_points(group=PROJECT):
        if entry_point.dist is not None:
            yield entry_point.dist, entry_point
