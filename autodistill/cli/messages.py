"""What the command line says when it ends early, on stderr."""

from __future__ import annotations

import sys

from autodistill.errors import AutoDistillError

#: Exit code of a command that the user interrupted (128 + SIGINT).
INTERRUPTED = 130


def print_error(error: AutoDistillError) -> None:
    """Write an error as one paragraph, with the notes that were added on its way up."""
    print(f"autodistill: error: {error}", file=sys.stderr)
    for note in getattr(error, "__notes__", ()):
        print(f"  {note}", file=sys.stderr)


def print_interrupted() -> None:
    """Say that a command that has no message of its own was interrupted, and how to go on."""
    print("autodistill: interrupted. What is finished is kept; the same command does the rest.", file=sys.stderr)
