"""The command line: ``autodistill VERB [hydra overrides]``.

`main` is the one error boundary: what a user can cause becomes one paragraph on stderr and exit code 2, a failure 1,
an interruption 130; anything else is a bug and keeps its traceback. Help, version and ``plugins`` import neither
torch nor Hydra.
"""

from __future__ import annotations

import select
import sys
import traceback
from collections.abc import Sequence
from typing import IO

from autodistill.cli.help import VERBS, general_help, verb_help
from autodistill.cli.messages import INTERRUPTED, print_error, print_interrupted
from autodistill.errors import AutoDistillError, UserError, did_you_mean


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 failure, 2 the user's mistake, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(given)
    except AutoDistillError as error:
        print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        print_interrupted()
        return INTERRUPTED
    except BrokenPipeError:
        if not any(_abandoned(stream) for stream in (sys.stdout, sys.stderr)):  # another pipe: to a process of ours
            traceback.print_exc()
            return 1
        sys.stderr.close()  # the reader went away (| head): not an error, and nothing more can be said
        return 0
    except Exception:
        traceback.print_exc()
        return 1


def _abandoned(stream: IO[str]) -> bool:
    """Whether a stream is a pipe that nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):  # no file behind it
        return False
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(general_help())
        return 0
    if given[0] == "--version":
        from autodistill import __version__

        print(f"autodistill {__version__}")
        return 0
    verb, rest = given[0], given[1:]
    if verb not in VERBS:
        raise UserError(f"Unknown verb {verb!r}.{did_you_mean(verb, VERBS)} Verbs are: {', '.join(VERBS)}.")
    if "-h" in rest or "--help" in rest:
        print(verb_help(verb))
        return 0
    if verb == "plugins":
        from autodistill.cli.plugins import plugins

        return plugins(rest)
    from autodistill.cli.hydra_app import run_verb

    return run_verb(verb, rest)
