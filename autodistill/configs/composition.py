"""Composing a configuration from overrides, in a notebook or before Hydra runs a job.

`compose` is the Python door to what the command line does: the same primary config, the same overrides. Hydra's
errors are turned into one paragraph that names the key and what is possible.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.components.specs import KINDS
from autodistill.configs.paths import quoted
from autodistill.configs.settings import Settings, read_settings
from autodistill.configs.store import (
    CONFIG_NAME,
    CONFIG_PACKAGE,
    check_primary_config,
    config_packages,
    store_components,
)
from autodistill.errors import ConfigError, did_you_mean
from autodistill.registry import Registry, default_registry

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: Where Hydra looks for presets and experiments besides our own files.
SEARCH_PATH = "hydra.searchpath"

#: Groups of the configuration: what is chosen for them by name has keys below them.
GROUPS = (*KINDS, "storage", "trainer", "logger", "fine_tuning")

#: What a study without a name and without an experiment is called.
DEFAULT_STUDY_NAME = "study"


def compose(overrides: Sequence[str] = (), registry: Registry | None = None) -> Settings:
    """Compose and check a configuration.

    Args:
        overrides: Hydra overrides, e.g. ``["experiment=quickstart", "budget.trials=4"]``.
        registry: what exists; the process's own by default.

    Returns:
        Checked settings, ready for `autodistill.run`.

    Raises:
        ConfigError: anything that is wrong with the overrides.
    """
    registry = registry or default_registry()
    config, choices = compose_raw(overrides, registry)
    return read_settings(config, registry, str(choices.get("experiment") or DEFAULT_STUDY_NAME), overrides)


def compose_raw(overrides: Sequence[str], registry: Registry) -> tuple[DictConfig, dict[str, Any]]:
    """Compose without checking; returns the configuration and what was chosen for each group."""
    from omegaconf import open_dict

    config = _with_hydra(overrides, registry)
    choices = dict(config.hydra.runtime.choices)
    with open_dict(config):
        del config["hydra"]
    return config, choices


def is_sweep(overrides: Sequence[str], registry: Registry) -> bool:
    """Whether an experiment is made of several studies: its file sets ``hydra.mode`` to ``MULTIRUN``."""
    mode = _with_hydra(overrides, registry).hydra.mode
    return mode is not None and str(getattr(mode, "name", mode)) == "MULTIRUN"


def _with_hydra(overrides: Sequence[str], registry: Registry) -> DictConfig:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    prepare_hydra(registry)
    _check_choices(overrides, registry)
    previous = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(config_module=CONFIG_PACKAGE, version_base="1.3"), translated_errors(registry):
            config = hydra_compose(CONFIG_NAME, with_search_path(overrides, registry), return_hydra_config=True)
    finally:
        if previous is not None:
            GlobalHydra.instance().initialize(previous)
    return config


def _check_choices(overrides: Sequence[str], registry: Registry) -> None:
    """Raise `ConfigError` where a group is given what is no name of a choice; Hydra raises a ValueError there."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with translated_errors(registry):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    for item in parsed:
        group, given = item.key_or_group, item.value()
        if group not in (*GROUPS, "experiment") or item.is_delete() or item.is_sweep_override():
            continue
        if given is None or isinstance(given, bool | int | float):
            several = group in KINDS and KINDS[group].several
            how = f"{group}=[NAME,...], and {group}=[] chooses none" if several else f"{group}=NAME"
            raise ConfigError(
                f"{group} must be given by name, {how}; got {item.input_line}. `autodistill plugins` lists components."
            )


def prepare_hydra(registry: Registry) -> None:
    """Put components and resolvers where Hydra finds them; may be called again."""
    from omegaconf import OmegaConf

    check_primary_config()
    store_components(registry)
    OmegaConf.register_new_resolver("autodistill.study_name", _study_name, replace=True)


def with_search_path(overrides: Sequence[str], registry: Registry) -> list[str]:
    """The overrides with one for Hydra's search path: the user's own places first, then the plugins' packages.

    Raises:
        ConfigError: a place is a folder that does not exist, which Hydra would ignore silently.
    """
    own = user_search_path(overrides, registry)
    places = list(dict.fromkeys([*own, *_plugin_search_path(registry)]))
    kept = [item for item in overrides if not item.startswith(SEARCH_PATH + "=")]
    return [*kept, search_path_override(places)] if places else kept


def user_search_path(overrides: Sequence[str], registry: Registry) -> list[str]:
    """The places that overrides add to Hydra's search path, folders as absolute ones, but for the plugins' packages.

    Raises:
        ConfigError: it is no list, or one is a folder that does not exist.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    plugins, found = _plugin_search_path(registry), list[str]()
    for item in overrides:
        if not item.startswith(SEARCH_PATH + "="):
            continue
        with translated_errors(registry):
            places = OverridesParser.create().parse_override(item).value()
        if not isinstance(places, list):
            raise ConfigError(f"{SEARCH_PATH} must be a list such as ['file:///home/me/conf'], got {places!r}.")
        found += [_absolute_place(str(place)) for place in places if str(place) not in plugins]
    return list(dict.fromkeys(found))


def _absolute_place(place: str) -> str:
    path = place.removeprefix("file://")
    if "://" in path:  # a package
        return place
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(f"{SEARCH_PATH} names {place!r}, which is no folder (looked in {Path.cwd()}).")
    return f"file://{folder}"


def search_path_override(places: Sequence[str]) -> str:
    """The override that makes Hydra look there too."""
    return f"{SEARCH_PATH}=[{','.join(map(quoted, places))}]"


def _plugin_search_path(registry: Registry) -> list[str]:
    return [f"pkg://{package}" for package in config_packages(registry)]


def _study_name(given: str | None) -> str:
    """The name of the running job's study; jobs of a sweep add what they vary, so that they are distinct.

    What no folder can be called is written as ``_``, and a digest then tells apart what that makes alike.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized():
        return given or DEFAULT_STUDY_NAME
    hydra = HydraConfig.get()
    name = given or hydra.runtime.choices.get("experiment") or DEFAULT_STUDY_NAME
    if hydra.mode == RunMode.MULTIRUN and hydra.job.override_dirname:
        varied = re.sub(r"[^A-Za-z0-9._,=+-]+", "_", hydra.job.override_dirname)
        name = f"{name}-{varied}"
        if varied != hydra.job.override_dirname:
            name += "-" + hashlib.sha256(hydra.job.override_dirname.encode()).hexdigest()[:8]
    return str(name)


@contextmanager
def translated_errors(registry: Registry) -> Iterator[None]:
    """Turn Hydra's and OmegaConf's composition errors into `ConfigError`."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise _translate(error, registry) from error


def _translate(error: Exception, registry: Registry) -> ConfigError:
    text = str(error)
    missing = re.search(r"Could not (?:find|load) '([^/']+)/([^']+)'", text)
    if missing:
        return _unknown_choice(missing[1], missing[2], registry)
    key = re.search(r"Could not override '([^']+)'", text)
    if key:
        # What OmegaConf could not find: the key itself, or the entry that it would be in.
        absent = str(getattr(error.__cause__, "full_key", None) or key[1])
        return _unknown_key(key[1], absent, text, registry)
    listed = re.search(r"Error merging override ([\w.]+)=\{", text)
    hint = f" A list becomes a mapping in two steps: ~{listed[1]} +{listed[1]}={{...}}." if listed else ""
    said = " ".join(line.strip() for line in text.splitlines())
    return ConfigError(f"The configuration cannot be composed: {said}{hint}")


def _siblings(key: str, registry: Registry) -> set[str]:
    """The keys beside which a key would be, in the configuration that no override has changed."""
    from omegaconf import DictConfig, OmegaConf

    config, _ = compose_raw((), registry)
    parent = key.rpartition(".")[0]
    section = OmegaConf.select(config, parent) if parent else config
    names = section.keys() if isinstance(section, DictConfig) else ()
    return {f"{parent}.{name!s}" if parent else str(name) for name in names}


def _unknown_choice(group: str, name: str, registry: Registry) -> ConfigError:
    from hydra.core.global_hydra import GlobalHydra

    hydra = GlobalHydra.instance()
    options = hydra.config_loader().get_group_options(group) if hydra.is_initialized() else []
    if group in KINDS and name not in registry.names(group):
        return registry.unknown(group, name, [option for option in options if option not in registry.names(group)])
    return ConfigError(
        f"Unknown {group} {name!r}.{did_you_mean(name, options)}"
        + (f" Available: {', '.join(options)}." if options else "")
    )


def _unknown_key(key: str, absent: str, text: str, registry: Registry) -> ConfigError:
    kind, _, rest = key.partition(".")
    possible: set[str] = set()
    if kind in KINDS and rest:
        label = rest.partition(".")[0]
        for other in registry.names(kind):
            if KINDS[kind].several and other != label:
                continue
            possible |= {
                f"{kind}.{label}.{p}" if KINDS[kind].several else f"{kind}.{p}"
                for p in registry.get(kind, other).spec.parameters
            }
        if KINDS[kind].several and (not possible or key in possible):
            if absent.startswith(f"{kind}.{label}."):
                return ConfigError(
                    f"Unknown configuration key {key!r}: the entry {kind}.{label} is there, but does not name it. If "
                    f"its component has it, add it: +{key}=VALUE."
                )
            return ConfigError(
                f"There is no entry {kind}.{label} in this configuration. Add it: +{kind}.{label}.name=NAME, "
                f"or choose it: {kind}=[{label}]."
            )
        if key in possible:
            owners = [other for other in registry.names(kind) if rest in registry.get(kind, other).spec.parameters]
            if len(owners) < len(registry.names(kind)):
                return ConfigError(
                    f"Unknown configuration key {key!r}: it is a parameter of {', '.join(owners)}, and another "
                    f"{KINDS[kind].title} is chosen. Choose one that has it: {kind}={owners[0]}."
                )
            return ConfigError(
                f"{key} is a mapping, and {key}={{...}} changes keys that it has. Add one: +{key}.NAME=VALUE; or "
                f"replace the whole mapping: ~{key} +{key}={{...}}."
            )
    possible = possible or _siblings(key, registry)
    hint = did_you_mean(key, possible) or (" Possible here: " + ", ".join(sorted(possible)) + "." if possible else "")
    reason = " ".join(
        line.strip() for line in text.splitlines()[1:] if "append" not in line and "Key" not in line
    ).strip()
    return ConfigError(f"Unknown configuration key {key!r}.{hint}" + (f" ({reason})" if reason else ""))
