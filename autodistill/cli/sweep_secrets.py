"""Passwords and tokens stay out of what Hydra writes of a sweep: ``multirun.yaml``, logs, files of launchers.

Those of overrides go to the jobs by the environment, and Hydra sees references to it. Those of presets are read again
by every job, so they are masked in the configuration that Hydra saves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.experimental.callback import Callback  # noqa: TID253 (this module is imported when Hydra is about to run)
from omegaconf import DictConfig, OmegaConf, open_dict, read_write  # noqa: TID253

from autodistill.engine.secret_overrides import without_secret
from autodistill.report.formats import SECRET, without_secrets

#: Environment variables of the secrets, for child processes of launchers; a number follows.
_VARIABLE = "AUTODISTILL_SECRET_"


@contextmanager
def secrets_in_environment(overrides: Sequence[str]) -> Iterator[list[str]]:
    """The overrides with references in place of secrets, which the environment holds within the block."""
    names: list[str] = []

    def refer(secret: str) -> str:
        names.append(f"{_VARIABLE}{len(names)}")
        os.environ[names[-1]] = secret
        return f"${{oc.env:{names[-1]}}}"

    try:
        yield [without_secret(override, refer) for override in overrides]
    finally:
        for name in names:
            os.environ.pop(name)


def masked_references(override: str) -> str:
    """An override of a job as it may be stored: what the environment held for this sweep means nothing later."""
    return re.sub(rf"\$\{{oc\.env:{_VARIABLE}\d+\}}", SECRET, override)


class MaskedSweepFile(Callback):
    """Masks what Hydra saves as ``multirun.yaml``; jobs are composed from their overrides anew."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called by Hydra before it saves the sweep's configuration."""
        with read_write(config), open_dict(config):
            for key in config:
                if key != "hydra" and isinstance(config._get_node(key), DictConfig):
                    config[key] = without_secrets(OmegaConf.to_container(config[key], resolve=False))
