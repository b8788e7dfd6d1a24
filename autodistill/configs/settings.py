"""The typed form of a composed configuration, and its checks.

`read_settings` turns what Hydra composed into `Settings`: every component looked up, its parameters typed and
range-checked by its config dataclass. Errors say key, value, and what is possible. Nothing is built or loaded here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.components.specs import KINDS
from autodistill.configs.paths import with_absolute_paths
from autodistill.errors import AutoDistillError, ConfigError, did_you_mean

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from autodistill.components.specs import Kind
    from autodistill.registry import Registered, Registry

#: Top-level keys that are not component groups.
TOP_LEVEL = frozenset(
    {
        *("study", "seed", "output_dir", "cache_dir", "cache_max_gb", "budget", "objectives", "constraints", "picks"),
        "augmentation",
        *("trial", "architecture", "first_trials", "model", "timing", "storage", "trainer", "logger", "fine_tuning"),
    }
)

#: Sections that are no groups of components -> their keys; None where others check them.
_SECTIONS: Mapping[str, tuple[str, ...] | None] = {
    "study": ("name",),
    "budget": ("trials", "hours"),
    "picks": ("max", "margin", "seeds"),
    "augmentation": ("kind", "copies", "share"),
    "timing": ("subjects", "batch_sizes", "lengths"),
    "storage": ("url",),
    "trainer": None,
    "logger": None,
    "fine_tuning": None,
}

#: Ways to change training examples; see `autodistill.training.augmented`.
AUGMENTATIONS = ("mask", "replace")

#: Keys of ``fine_tuning`` that say on what; the others say how. ``root`` and ``allow_hub`` are read by presets alone.
TASK_KEYS = ("tasks", "root", "allow_hub")

#: What the quality objective's metric says when the task decides.
DEFAULT_QUALITY = "default.quality"


@dataclass(frozen=True)
class Chosen:
    """A component that a configuration chose: where it stands, what it is, and its typed parameters."""

    label: str
    registered: Registered
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Registry name."""
        return self.registered.spec.name

    @property
    def place(self) -> str:
        """Its key in the configuration: ``loss.LABEL``, or the kind where a study uses one."""
        return place_of(self.registered.kind, self.label)

    @property
    def identity(self) -> dict[str, Any]:
        """JSON-able name and parameters."""
        return {"name": self.name, **self.parameters}


@dataclass(frozen=True)
class ObjectiveSetting:
    """An objective as configured; ``direction`` None means the metric's own."""

    label: str
    metric: str
    direction: str | None


@dataclass(frozen=True)
class ConstraintSetting:
    """A constraint as configured."""

    label: str
    metric: str
    sense: str
    bound: float


@dataclass(frozen=True)
class AugmentationSetting:
    """How training examples are changed; see `autodistill.training.augmented`."""

    kind: str
    copies: int
    share: float


@dataclass(frozen=True)
class Settings:
    """A checked configuration.

    Args:
        components: kind -> what was chosen, for kinds of which a study uses one.
        several: kind -> label -> what was chosen, for the others.
        raw: the resolved configuration as plain containers, for records and reports.
        overrides: what it was composed from; stored with a study, so that verbs on it start from them.
        first_trials: architectures as they were given, which are tried before the search proposes any.
        timing: what the verb ``latency`` times: ``subjects``, ``batch_sizes``, ``lengths``.
        tasks: label -> data source of a task that models of a task-agnostic study are fine-tuned on.
        paths: configuration key -> absolute path, of paths that were given relative to the working directory.
    """

    study_name: str
    seed: int
    output_dir: Path
    cache_dir: Path
    cache_max_bytes: int
    budget_trials: int
    budget_hours: float | None
    objectives: tuple[ObjectiveSetting, ...]
    constraints: tuple[ConstraintSetting, ...]
    picks_max: int
    picks_margin: float
    picks_seeds: int
    augmentation: AugmentationSetting
    storage_url: str
    trainer: Mapping[str, Any]
    logger: Mapping[str, Any]
    components: Mapping[str, Chosen]
    several: Mapping[str, Mapping[str, Chosen]]
    trial: int | None
    architecture: Mapping[str, Any] | None
    model: str | None
    raw: Mapping[str, Any]
    fine_tuning: Mapping[str, Any] = field(default_factory=dict)
    tasks: Mapping[str, Chosen] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    first_trials: tuple[Any, ...] = ()
    timing: Mapping[str, Any] = field(default_factory=dict)

    def one(self, kind: str) -> Chosen:
        """The component chosen for a kind.

        Raises:
            ConfigError: none is chosen.
        """
        if kind not in self.components:
            raise ConfigError(_nothing_chosen(kind))
        return self.components[kind]

    @property
    def study_dir(self) -> Path:
        """Folder of the study's files."""
        return self.output_dir / self.study_name


def _nothing_chosen(kind: str) -> str:
    hint = " or take a whole experiment, e.g. experiment=quickstart" if kind == "data" else ""
    return (
        f"No {KINDS[kind].title} is chosen: give {kind}=NAME{hint}. "
        f"`autodistill plugins` lists the {KINDS[kind].plural}."
    )


def read_settings(config: DictConfig, registry: Registry, study_name: str, overrides: Sequence[str] = ()) -> Settings:
    """Check a composed configuration.

    Args:
        config: composed, without the ``hydra`` node.
        registry: what exists.
        study_name: used when ``study.name`` is null.
        overrides: what it was composed from.

    Raises:
        ConfigError: a key, type, value or combination that cannot work.
    """
    raw, paths = with_absolute_paths(to_plain(config), registry)
    _check_top_level(raw)
    section = {key: _section(raw, key) for key in _SECTIONS}
    output_dir = Path(_text(raw, "output_dir")).expanduser()
    name = str(section["study"].get("name") or study_name)
    _check_study_name(name)
    return Settings(
        study_name=name,
        seed=_number(raw, "seed", int, low=0),
        output_dir=output_dir,
        cache_dir=Path(_text(raw, "cache_dir")).expanduser(),
        cache_max_bytes=_cache_max_bytes(raw),
        budget_trials=_number(section["budget"], "trials", int, low=1, where="budget."),
        budget_hours=_optional_number(section["budget"], "hours", where="budget."),
        objectives=_objectives(raw.get("objectives") or {}),
        constraints=_constraints(raw.get("constraints") or {}),
        picks_max=_number(section["picks"], "max", int, low=0, where="picks."),
        picks_margin=_number(section["picks"], "margin", float, low=0, where="picks."),
        picks_seeds=_number(section["picks"], "seeds", int, low=1, where="picks."),
        augmentation=_augmentation(section["augmentation"]),
        storage_url=_text(section["storage"], "url", where="storage."),
        trainer=_trainer(section["trainer"]),
        logger=section["logger"],
        components=_chosen_components(raw, registry),
        several=_chosen_several(raw, registry),
        trial=raw.get("trial"),
        architecture=_optional(raw, "architecture", dict, "a mapping {family: NAME, choices: {...}}"),
        model=_optional(raw, "model", str, "the path of a saved model directory"),
        fine_tuning={k: v for k, v in section["fine_tuning"].items() if k not in TASK_KEYS},
        tasks=_tasks(section["fine_tuning"], registry),
        raw={**raw, "study": {**section["study"], "name": name}},
        overrides=tuple(overrides),
        paths=paths,
        first_trials=_first_trials(raw.get("first_trials") or []),
        timing=_timing(section["timing"]),
    )


def _section(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of the configuration, which may be absent.

    Raises:
        ConfigError: it is no mapping, or has a key that there is not.
    """
    section, known = raw.get(name), _SECTIONS[name]
    if section is None:
        return {}
    if not isinstance(section, dict):
        example = f", e.g. {name}.{known[0]}=VALUE" if known else ""
        raise ConfigError(f"{name} must be a mapping, whose keys are set one by one{example}, got {section!r}.")
    unknown = [key for key in section if known and key not in known]
    if known and unknown:
        hint = did_you_mean(str(unknown[0]), known)
        raise ConfigError(f"Unknown key {name}.{unknown[0]}.{hint} There are: {', '.join(known)}.")
    return section


def _cache_max_bytes(raw: Mapping[str, Any]) -> int:
    limit = _number(raw, "cache_max_gb", float, low=0)
    if math.isinf(limit):
        raise ConfigError(f"cache_max_gb must be a finite number of GB, got {limit}. Give more than the disk holds.")
    return int(limit * 1e9)  # GB are decimal


def _augmentation(section: Mapping[str, Any]) -> AugmentationSetting:
    """The section ``augmentation``."""
    kind = str(section.get("kind", "mask"))
    if kind not in AUGMENTATIONS:
        raise ConfigError(
            f"augmentation.kind must be one of {', '.join(AUGMENTATIONS)}, got {kind!r}."
            + did_you_mean(kind, AUGMENTATIONS)
        )
    share = _number(section, "share", float, low=0, where="augmentation.")
    if not 0 < share < 1:
        raise ConfigError(f"augmentation.share must be in (0, 1), got {share}.")
    return AugmentationSetting(kind, _number(section, "copies", int, low=0, where="augmentation."), share)


def _tasks(section: Mapping[str, Any], registry: Registry) -> dict[str, Chosen]:
    """The data sources of ``fine_tuning.tasks``, by label."""
    group = section.get("tasks") or {}
    if not isinstance(group, dict):
        raise ConfigError(f"fine_tuning.tasks must be a mapping from label to a data source, got {group!r}.")
    return {
        str(label): choose(registry, "data", str(label), node, f"fine_tuning.tasks.{label}")
        for label, node in group.items()
        if node is not None
    }


def _first_trials(given: Any) -> tuple[Any, ...]:
    if not isinstance(given, list):
        raise ConfigError(f"first_trials must be a list of architectures, got {given!r}.")
    return tuple(given)


def _timing(given: Mapping[str, Any]) -> dict[str, list[Any]]:
    known = _SECTIONS["timing"] or ()
    for key in known:
        values = given.get(key) or []
        listed = values if isinstance(values, list) else [None]
        valid = isinstance(values, list) if key == "subjects" else all(isinstance(i, int) and i >= 1 for i in listed)
        if not valid:
            expected = "models" if key == "subjects" else "whole numbers >= 1"
            raise ConfigError(f"timing.{key} must be a list of {expected}, got {values!r}.")
    return {key: list(given.get(key) or []) for key in known}


def to_plain(config: DictConfig) -> dict[str, Any]:
    """Resolve interpolations and return plain containers; a missing value is an error that names its key."""
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or str(error)
        raise ConfigError(f"{key} must be given: it has no default. Add {key}=VALUE.") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"The configuration cannot be resolved: {str(error).splitlines()[0]}") from error
    if not isinstance(plain, dict):
        raise ConfigError(f"The configuration must be a mapping, got {type(plain).__name__}.")
    return {str(key): value for key, value in plain.items()}


def _check_top_level(raw: Mapping[str, Any]) -> None:
    known = TOP_LEVEL | set(KINDS)
    for key in raw:
        if key not in known:
            raise ConfigError(
                f"Unknown configuration key {key!r}.{did_you_mean(key, known)} Top-level keys are: "
                f"{', '.join(sorted(known))}."
            )


def _check_study_name(name: str) -> None:
    if not name or name in {".", ".."} or any(character in name for character in "/\\\0") or len(name) > 200:
        raise ConfigError(
            f"study.name must be a plain folder name of 1 to 200 characters without slashes, got {name!r}."
        )


def _text(section: Mapping[str, Any], key: str, where: str = "") -> str:
    value = section.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where}{key} must be a non-empty string, got {value!r}.")
    return value


def _number(section: Mapping[str, Any], key: str, kind: type, *, low: float, where: str = "") -> Any:
    value = section.get(key)
    whole = isinstance(value, float) and kind is int and value.is_integer()
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or (kind is int and isinstance(value, float) and not whole)
    ):
        expected = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{where}{key} must be {expected} >= {low:g}, got {value!r}.")
    if not value >= low:
        raise ConfigError(f"{where}{key} must be >= {low:g}, got {value!r}.")
    return kind(value)


def _optional_number(section: Mapping[str, Any], key: str, where: str) -> float | None:
    return None if section.get(key) is None else float(_number(section, key, float, low=0, where=where))


def _optional(section: Mapping[str, Any], key: str, kind: type, expected: str) -> Any:
    value = section.get(key)
    if value is not None and not isinstance(value, kind):
        raise ConfigError(f"{key} must be {expected}, or null, got {value!r}.")
    return value


def _trainer(section: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section ``trainer``; what Lightning takes is checked by the engine."""
    if section.get("threads") is not None:
        _number(section, "threads", int, low=1, where="trainer.")
    callbacks = section.get("callbacks")
    if callbacks is not None and not isinstance(callbacks, dict):
        raise ConfigError(f"trainer.callbacks must be a mapping from label to a callback, got {callbacks!r}.")
    return section


def _entries(group: Any, name: str, allowed: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    if not isinstance(group, dict):
        raise ConfigError(f"{name} must be a mapping from label to settings, got {group!r}.")
    for label, entry in group.items():
        if entry is None:
            continue
        if not isinstance(entry, dict):
            raise ConfigError(f"{name}.{label} must be a mapping with the keys {', '.join(allowed)}, got {entry!r}.")
        for key in entry:
            if key not in allowed:
                raise ConfigError(f"Unknown key {name}.{label}.{key}.{did_you_mean(key, allowed)}")
    return {str(label): entry for label, entry in group.items() if entry is not None}


def _objectives(group: Any) -> tuple[ObjectiveSetting, ...]:
    entries = _entries(group, "objectives", ("metric", "direction"))
    if not entries:
        raise ConfigError(
            "objectives is empty: a study needs at least one, e.g. +objectives.latency.metric=default.p50_ms"
        )
    found = []
    for label, entry in entries.items():
        direction = entry.get("direction")
        if direction not in (None, "maximize", "minimize"):
            raise ConfigError(f"objectives.{label}.direction must be maximize, minimize or null, got {direction!r}.")
        found.append(ObjectiveSetting(label, _metric_name(entry, f"objectives.{label}"), direction))
    return tuple(found)


def _constraints(group: Any) -> tuple[ConstraintSetting, ...]:
    found = []
    for label, entry in _entries(group, "constraints", ("metric", "sense", "bound")).items():
        where = f"constraints.{label}"
        if entry.get("sense") not in ("<=", ">="):
            raise ConfigError(f"{where}.sense must be '<=' or '>=', got {entry.get('sense')!r}.")
        bound = _number(entry, "bound", float, low=float("-inf"), where=f"{where}.")
        found.append(ConstraintSetting(label, _metric_name(entry, where), entry["sense"], bound))
    return tuple(found)


def _metric_name(entry: Mapping[str, Any], where: str) -> str:
    metric = entry.get("metric")
    if not isinstance(metric, str) or metric.count(".") != 1:
        raise ConfigError(f"{where}.metric must be '<label>.<metric>', e.g. classification.accuracy, got {metric!r}.")
    return metric


def _chosen_components(raw: Mapping[str, Any], registry: Registry) -> dict[str, Chosen]:
    found = {}
    for kind in KINDS.values():
        node = raw.get(kind.name)
        if not kind.several and node:
            found[kind.name] = choose(registry, kind.name, kind.name, node)
    return found


def _chosen_several(raw: Mapping[str, Any], registry: Registry) -> dict[str, dict[str, Chosen]]:
    found: dict[str, dict[str, Chosen]] = {}
    for kind in KINDS.values():
        if not kind.several:
            continue
        group = raw.get(kind.name) or {}
        if not isinstance(group, dict):
            raise ConfigError(f"{kind.name} must be a mapping from label to a {kind.title}, got {group!r}.")
        found[kind.name] = {
            str(label): choose(registry, kind.name, str(label), node)
            for label, node in group.items()
            if node is not None
        }
    return found


def place_of(kind: Kind, label: str) -> str:
    """Key of a component in the configuration."""
    return f"{kind.name}.{label}" if kind.several else kind.name


def choose(registry: Registry, kind: str, label: str, node: Any, where: str | None = None) -> Chosen:
    """Look up the component that a node names and type its parameters.

    Args:
        registry: what exists.
        kind: name of the kind.
        label: the node's key in its group (the kind's name where a study uses one).
        node: mapping with ``name`` and parameters.
        where: the node's place in the configuration, when it is not in the kind's own group.

    Raises:
        ConfigError: no name, an unknown name or key, a wrong type or value.
    """
    where = where or place_of(KINDS[kind], label)
    if not isinstance(node, dict) or not isinstance(node.get("name"), str):
        example = f"{where}.name={next(iter(registry.names(kind)), 'NAME')}"
        raise ConfigError(
            f"{where} names no component: every entry needs the key `name`, e.g. +{example}, got {node!r}."
        )
    registered = registry.get(kind, node["name"])
    given = {key: value for key, value in node.items() if key != "name"}
    return Chosen(label, registered, typed_parameters(registered, given, where))


@contextmanager
def named_as(registered: Registered, where: str) -> Iterator[None]:
    """Let the errors of a component name its place in the configuration, which has another label than its name."""
    try:
        yield
    except ConfigError as error:
        own = f"{registered.kind.name}.{registered.spec.name}"
        # As a key, not as a part of a path.
        text = re.sub(rf"(?<![\w./\\-]){re.escape(own)}(?![\w/\\-])", lambda _: where, str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error


@contextmanager
def noted(chosen: Chosen, doing: str) -> Iterator[None]:
    """Let what a component raises unforeseen say whose it is, in a note; our own errors say it themselves.

    Args:
        chosen: the component.
        doing: what it does, of which trial, e.g. ``"timing trial 3"``.
    """
    try:
        yield
    except AutoDistillError:
        raise
    except Exception as error:
        error.add_note(f"{chosen.place} ({chosen.registered.described}) failed, {doing}.")
        raise


def typed_parameters(registered: Registered, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Convert ``given`` to the types of the component's config dataclass and run its range checks."""
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    spec = registered.spec
    schema = OmegaConf.structured(spec.config)
    for key, value in given.items():
        if key not in spec.parameters:
            raise ConfigError(
                f"Unknown key {where}.{key}.{did_you_mean(key, spec.parameters)} The {registered.kind.title} "
                f"{spec.name!r} has: {', '.join(spec.parameters) or 'no parameters'}."
            )
        try:
            OmegaConf.update(schema, key, value, merge=False)  # a mapping replaces the default, it is not merged
        except OmegaConfBaseException as error:
            raise ConfigError(f"{where}.{key} must be {_expected(spec.config, key)}, got {value!r}.") from error
    try:
        with named_as(registered, where):
            built = OmegaConf.to_object(schema)
    except MissingMandatoryValue as error:
        missing = getattr(error, "key", None) or getattr(error, "full_key", "?")
        raise ConfigError(
            f"{where}.{missing} must be given: it has no default. Add {where}.{missing}=VALUE."
        ) from error
    return {name: getattr(built, name) for name in spec.parameters}


def _expected(config: type[Any], key: str) -> str:
    annotation = {item.name: item.type for item in fields(config)}.get(key, "another type")
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a string"}.get(text, text)
