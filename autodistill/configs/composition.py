"""Composing a configuration from overrides, in a notebook or before Hydra runs a job.

`compose` is the Python door to what the command line does: the same primary config, the same overrides. Hydra's
errors are turned into one paragraph that names the key and what is possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from autodistill.components.specs import KINDS
from autodistill.configs.settings import Settings, read_settings
from autodistill.configs.store import (
    CONFIG_NAME,
    CONFIG_PACKAGE,
    check_primary_config,
    config_packages,
    store_components,
)
from autodistill.errors import ConfigError, UnknownComponentError, did_you_mean
from autodistill.registry import Registry, default_registry

if TYPE_CHECKING:
    from omegaconf import DictConfig

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
    previous = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(config_module=CONFIG_PACKAGE, version_base="1.3"), translated_errors(registry):
            config = hydra_compose(
                CONFIG_NAME, [*overrides, *search_path_overrides(registry)], return_hydra_config=True
            )
    finally:
        if previous is not None:
            GlobalHydra.instance().initialize(previous)
    return config


def prepare_hydra(registry: Registry) -> None:
    """Put components and resolvers where Hydra finds them; may be called again."""
    from omegaconf import OmegaConf

    check_primary_config()
    store_components(registry)
    OmegaConf.register_new_resolver("autodistill.study_name", _study_name, replace=True)


def search_path_overrides(registry: Registry) -> list[str]:
    """The override that adds the plugins' config packages to Hydra's search path; empty without any."""
    packages = config_packages(registry.manager)
    return [f"hydra.searchpath=[{','.join(f'pkg://{package}' for package in packages)}]"] if packages else []


def _study_name(given: str | None) -> str:
    """The name of the running job's study; jobs of a sweep add what they vary, so that they are distinct."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized():
        return given or DEFAULT_STUDY_NAME
    hydra = HydraConfig.get()
    name = given or hydra.runtime.choices.get("experiment") or DEFAULT_STUDY_NAME
    if hydra.mode == RunMode.MULTIRUN and hydra.job.override_dirname:
        name = f"{name}-{re.sub(r'[^A-Za-z0-9._,=+-]+', '_', hydra.job.override_dirname)}"
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
    missing = re.search(r"(?:Could not find|In '[^']*': Could not find) '([^/']+)/([^']+)'", text)
    if missing and missing[1] in KINDS:
        try:
            registry.get(missing[1], missing[2])
        except UnknownComponentError as unknown:
            return unknown
    if missing:
        available = re.findall(r"^\t(\S+)", text, flags=re.MULTILINE)
        return ConfigError(
            f"Unknown {missing[1]} {missing[2]!r}.{did_you_mean(missing[2], available)}"
            + (f" Available: {', '.join(available)}." if available else "")
        )
    key = re.search(r"Could not override '([^']+)'", text)
    if key:
        # What OmegaConf could not find: the key itself, or the entry that it would be in.
        absent = str(getattr(error.__cause__, "full_key", None) or key[1])
        return _unknown_key(key[1], absent, text, registry)
    listed = re.search(r"Error merging override ([\w.]+)=\{", text)
    hint = f" A list becomes a mapping in two steps: ~{listed[1]} +{listed[1]}={{...}}." if listed else ""
    said = " ".join(line.strip() for line in text.splitlines())
    return ConfigError(f"The configuration cannot be composed: {said}{hint}")


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
    hint = did_you_mean(key, possible) or (" Possible here: " + ", ".join(sorted(possible)) + "." if possible else "")
    reason = " ".join(
        line.strip() for line in text.splitlines()[1:] if "append" not in line and "Key" not in line
    ).strip()
    return ConfigError(f"Unknown configuration key {key!r}.{hint}" + (f" ({reason})" if reason else ""))
