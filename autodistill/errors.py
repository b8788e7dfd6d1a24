"""The exception tree: what a user can cause, apart from what is a bug.

Everything that derives from `AutoDistillError` is printed by the command line as one paragraph without a
traceback. `UserError` and its children exit with 2 (the user can mend it), the rest with 1 (something broke).
Everything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AutoDistillError(Exception):
    """Base of every error that is told to the user as one paragraph."""

    exit_code = 1


class UserError(AutoDistillError):
    """The user asked for something that cannot be; the message says what can."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration value, key or combination that cannot work."""


class UnknownComponentError(ConfigError):
    """A component name that no plugin provides."""


class DataError(UserError):
    """A data file or data set that is not what the configuration says."""


class TeacherError(UserError):
    """A teacher that cannot be loaded or does not fit the task."""


class TeacherFeaturesError(TeacherError):
    """Features of the teacher that cannot be computed here and now; no run that needs them can begin."""


class StudyError(UserError):
    """A study or storage that does not match what was asked."""


class StudyExistsError(StudyError):
    """A study of this name exists already."""


class AskedMeanwhileError(StudyError):
    """Another process asked for a trial between a proposal and its record; what it asked is to be seen first."""


class MachineError(UserError):
    """A disk or a database that failed under a trial that nothing is wrong with; the same command goes on later."""


class SpaceExhaustedError(AutoDistillError):
    """Every feasible architecture of the space has been proposed already; a clean end of a search."""


class PluginError(AutoDistillError):
    """A plugin that breaks its contract; the message names plugin, distribution and version."""


class TrialError(AutoDistillError):
    """A trial that cannot be finished (diverged, out of memory, ...); the study goes on."""


class OutOfMemoryTrialError(TrialError):
    """A trial for which this machine's memory did not suffice; it may be done on another one, or later."""


class LatencyError(AutoDistillError):
    """A latency that could not be measured; the message names backend and architecture."""


class ExportError(AutoDistillError):
    """An export that failed or whose outputs differ from the trained model's."""


class StudyInterruptedError(AutoDistillError):
    """The user asked to stop; the message says how to go on."""

    exit_code = 130


def did_you_mean(name: str, possible: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest of ``possible``, or an empty string."""
    close = difflib.get_close_matches(name, list(possible), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
