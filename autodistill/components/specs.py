"""What a plugin registers: component specs, and the table of component kinds.

Data only. A `ComponentSpec` names its implementation by a string, so that registering imports neither torch nor
anything else that is slow; `autodistill.registry` resolves it on first use.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

#: Key of a config field's metadata that says that its value is a path.
PATH_MARK = "autodistill_path"


def path_field(default: str | None) -> Any:
    """A config dataclass's field that holds a path: one given relative is made absolute when it is composed."""
    return field(default=default, metadata={PATH_MARK: True})


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table of component kinds.

    Args:
        name: the registry's name of the kind and its config group, e.g. ``"search"``.
        title: what messages call a component of this kind, e.g. ``"search strategy"``.
        plural: the title in the plural.
        hook: the hook of `autodistill.hookspecs` that registers components of this kind.
        several: whether a study may use several of them, keyed by label in the configuration.
        parameters: that every component of this kind has.
    """

    name: str
    title: str
    plural: str
    hook: str
    several: bool = False
    parameters: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("search", "search strategy", "search strategies", "autodistill_search_strategies"),
        Kind(
            "student",
            "student family",
            "student families",
            "autodistill_student_families",
            parameters=("space", "rules"),
        ),
        Kind("teacher", "teacher", "teachers", "autodistill_teachers"),
        Kind("data", "data source", "data sources", "autodistill_data_sources", parameters=("max_length",)),
        Kind("loss", "distillation loss", "distillation losses", "autodistill_losses", True, parameters=("weight",)),
        Kind("schedule", "schedule", "schedules", "autodistill_schedules", parameters=("flash_fidelity",)),
        Kind("latency", "latency backend", "latency backends", "autodistill_latency_backends", several=True),
        Kind("evaluator", "evaluator", "evaluators", "autodistill_evaluators", several=True),
        Kind("baseline", "baseline", "baselines", "autodistill_baselines", several=True),
        Kind("reference", "reference", "references", "autodistill_references", several=True),
        Kind("pruner", "pruner", "pruners", "autodistill_pruners"),
        Kind("executor", "executor", "executors", "autodistill_executors"),
        Kind("export", "exporter", "exporters", "autodistill_exporters", several=True),
    )
}


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """A component as data.

    Args:
        name: registry name, snake_case, unique within its kind.
        target: ``"module:attribute"`` of the implementation, imported on first use. It is called as
            ``target(context, **config_fields)`` for kinds that have a context, else ``target(**config_fields)``.
        config: the dataclass that is the only home of the component's defaults and range checks.
        summary: one line for ``autodistill plugins``.
        requires: import names that the implementation needs beyond autodistill's own dependencies.
        install_hint: what to type when one of ``requires`` is missing.
    """

    name: str
    target: str
    config: type[Any]
    summary: str
    requires: tuple[str, ...] = ()
    install_hint: str | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name != self.name.lower():
            raise ValueError(f"ComponentSpec.name must be a snake_case identifier, got {self.name!r}.")
        if self.target.count(":") != 1:
            raise ValueError(f"ComponentSpec.target of {self.name!r} must be 'module:attribute', got {self.target!r}.")
        if not (isinstance(self.config, type) and is_dataclass(self.config)):
            raise ValueError(f"ComponentSpec.config of {self.name!r} must be a dataclass, got {self.config!r}.")
        requires: object = self.requires
        if isinstance(requires, str):  # ("numpy") is a text, whose letters would be taken for names
            raise ValueError(
                f"ComponentSpec.requires of {self.name!r} must be a tuple of import names, got the text "
                f"{requires!r}. Write ({requires!r},)."
            )

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the component's parameters, in the order of its config dataclass."""
        return tuple(field.name for field in fields(self.config))
