"""`_target_` for Lightning callbacks and loggers and optimisers, behind an allow-list.

Everything else is a component and found by its registered name: a configuration never makes the program import an
arbitrary module.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from autodistill.errors import ConfigError

#: Packages whose classes a configuration may name.
ALLOWED = (
    "pytorch_lightning.callbacks",
    "pytorch_lightning.loggers",
    "torch.optim",
    "autodistill.training.lamb",
)

#: Where those classes are defined; what these packages import from elsewhere cannot be named.
ALLOWED_ORIGINS = ("pytorch_lightning.", "lightning_fabric.", "torch.optim.", "autodistill.training.lamb")


def instantiate(node: Mapping[str, Any], where: str, **more: Any) -> Any:
    """Build ``node["_target_"]`` with the node's other keys as keyword arguments.

    Args:
        node: mapping with ``_target_``; nested targets are refused.
        where: configuration key, for messages.
        more: further keyword arguments; the node's own win.

    Raises:
        ConfigError: no mapping, no target, a target that is not allowed, cannot be imported, or rejects its arguments.
    """
    target = node.get("_target_") if isinstance(node, Mapping) else None
    if not isinstance(target, str) or "." not in target:
        raise ConfigError(
            f"{where} needs the key _target_, e.g. _target_: pytorch_lightning.loggers.CSVLogger, got {node!r}."
        )
    module_name, _, attribute = target.rpartition(".")
    if not any(module_name == allowed or module_name.startswith(f"{allowed}.") for allowed in ALLOWED):
        raise ConfigError(
            f"{where}._target_ may name classes of {', '.join(ALLOWED)} only, got {target!r}. "
            "Anything else is a component: write a plugin and choose it by name."
        )
    nested = [key for key, value in node.items() if isinstance(value, Mapping) and "_target_" in value]
    if nested:
        raise ConfigError(f"{where}.{nested[0]} has a _target_ of its own; only one level is built here.")
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    try:
        factory = getattr(import_module(module_name), attribute)
        if not (isinstance(factory, type) and factory.__module__.startswith(ALLOWED_ORIGINS)):
            raise ConfigError(
                f"{where}._target_ must name a class of Lightning, torch.optim or autodistill.training.lamb, "
                f"got {target!r}."
            )
        return factory(**{**more, **arguments})
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {target} cannot be built: {type(error).__name__}: {error}") from error
