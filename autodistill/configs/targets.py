"""`_target_` for Lightning callbacks and loggers, optimisers and schedulers, behind an allow-list.

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
    "torch.optim.lr_scheduler",
)


def instantiate(node: Mapping[str, Any], where: str, **more: Any) -> Any:
    """Build ``node["_target_"]`` with the node's other keys as keyword arguments.

    Args:
        node: mapping with ``_target_``; nested targets are refused.
        where: configuration key, for messages.
        more: further keyword arguments; the node's own win.

    Raises:
        ConfigError: no target, a target that is not allowed, cannot be imported, or rejects its arguments.
    """
    target = node.get("_target_")
    if not isinstance(target, str) or "." not in target:
        raise ConfigError(f"{where} needs the key _target_, e.g. _target_: pytorch_lightning.loggers.CSVLogger.")
    module_name, _, attribute = target.rpartition(".")
    if not any(module_name == allowed or module_name.startswith(f"{allowed}.") for allowed in ALLOWED):
        raise ConfigError(
            f"{where}._target_ may name classes of {', '.join(ALLOWED)} only, got {target!r}. "
            "Anything else is a component: write a plugin and choose it by name."
        )
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    try:
        factory = getattr(import_module(module_name), attribute)
        return factory(**{**more, **arguments})
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {target} cannot be built: {type(error).__name__}: {error}") from error
