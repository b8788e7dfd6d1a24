"""AutoDistill: small, fast language models on the hardware they are served on.

The names here are the Python API. They are resolved on first use, so that ``import autodistill`` costs nothing:

    >>> import autodistill
    >>> config = autodistill.compose(["experiment=quickstart", "budget.trials=4"])
    >>> study = autodistill.run(config)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_LAZY = {
    "ComponentSpec": "autodistill.components.specs",
    "Architecture": "autodistill.components.architecture",
    "AutoDistillError": "autodistill.errors",
    "compose": "autodistill.configs",
    "hookimpl": "autodistill.hookspecs",
    "open_study": "autodistill.engine.study",
    "run": "autodistill.engine.run",
}

__all__ = [
    "Architecture",
    "AutoDistillError",
    "ComponentSpec",
    "__version__",
    "compose",
    "hookimpl",
    "open_study",
    "run",
]

if TYPE_CHECKING:
    from autodistill.components.architecture import Architecture
    from autodistill.components.specs import ComponentSpec
    from autodistill.configs import compose
    from autodistill.engine.run import run
    from autodistill.engine.study import open_study
    from autodistill.errors import AutoDistillError
    from autodistill.hookspecs import hookimpl


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'autodistill' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
