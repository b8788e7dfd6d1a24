"""The command that goes on with a study, as it can be pasted into a shell."""

from __future__ import annotations

import shlex

from autodistill.configs.paths import quoted
from autodistill.report.formats import without_secrets

#: The environment variable that the command takes a server's password from; the name is ours to choose.
PASSWORD_VARIABLE = "AUTODISTILL_PASSWORD"


def command_to_go_on(name: str, output_dir: str, storage_url: str, verb: str = "run") -> str:
    """``autodistill run ...`` for an existing study.

    Args:
        name: of the study; those of a sweep have characters that Hydra wants in quotes.
        output_dir: named unless it is the default.
        storage_url: named unless it is the default; a password in it, which may be masked, is only referred to.
        verb: what the study goes on with.
    """
    words = ["study.name=" + quoted(name)]
    if output_dir != "outputs":
        words.append("output_dir=" + quoted(output_dir))
    if storage_url != f"sqlite:///{output_dir}/studies.db":
        url = without_secrets(storage_url, lambda _: f"${{oc.env:{PASSWORD_VARIABLE}}}")
        words.append("storage.url=" + quoted(url))
    command = shlex.join(["autodistill", verb, *words])
    return f"{command} ({PASSWORD_VARIABLE} holding the password)" if PASSWORD_VARIABLE in command else command
