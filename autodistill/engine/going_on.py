"""The command that goes on with a study, as it can be pasted into a shell."""

from __future__ import annotations

import shlex

from autodistill.configs.paths import quoted


def command_to_go_on(name: str, output_dir: str, storage_url: str) -> str:
    """``autodistill run ...`` for an existing study.

    Args:
        name: of the study; those of a sweep have characters that Hydra wants in quotes.
        output_dir: named unless it is the default.
        storage_url: named when it is a file in another place; a server's may hold a password and is only referred to.
    """
    words = ["study.name=" + quoted(name)]
    if output_dir != "outputs":
        words.append("output_dir=" + quoted(output_dir))
    command = shlex.join(["autodistill", "run", *words])
    if not storage_url.startswith("sqlite:///"):
        return f"{command} storage.url=URL (the same as now)"
    if storage_url != f"sqlite:///{output_dir}/studies.db":
        return f"{command} {shlex.quote('storage.url=' + quoted(storage_url))}"
    return command
