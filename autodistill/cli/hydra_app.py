"""Runs a verb under Hydra: composition, ``--cfg``, ``--info``, sweeps and launchers, with our own error boundary.

Hydra prints errors and exits with 1 on its own account; asked for full errors it raises them, and they are
translated here. A job never raises into Hydra: its outcome is written to a small file that the parent reads, which
also works when a launcher runs jobs in other processes.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.cli.messages import INTERRUPTED, print_error, print_interrupted
from autodistill.cli.stored import with_stored_overrides
from autodistill.cli.verbs import READING
from autodistill.configs.composition import (
    DEFAULT_STUDY_NAME,
    compose,
    compose_raw,
    is_sweep,
    prepare_hydra,
    search_path_override,
    translated_errors,
    user_search_path,
    with_search_path,
)
from autodistill.configs.settings import read_settings
from autodistill.configs.store import CONFIG_NAME, CONFIG_PACKAGE
from autodistill.errors import AutoDistillError, ConfigError, UserError
from autodistill.registry import Registry, default_registry

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: Where the jobs of this command write their outcomes; set for child processes of launchers.
OUTCOMES_VARIABLE = "AUTODISTILL_OUTCOMES_DIR"

#: The log that `conf/hydra/job_logging` makes in a study's folder.
LOG_NAME = "autodistill.log"

#: Loggers whose levels it sets.
_LOGGERS = ("hydra", "hydra_plugins")

#: Hydra's flag that one of these words may follow, also without them.
_INFO = ("--info", "-i")
_INFO_ABOUT = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")

#: Flags of Hydra that run nothing.
_SHOWING = (*_INFO, "--cfg", "-c", "--hydra-help", "--shell-completion", "-sc")
_MULTIRUN = ("-m", "--multirun")
_FLAGS_WITH_VALUE = (
    "--cfg",
    "-c",
    "--package",
    "-p",
    "--config-dir",
    "-cd",
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
)


def run_verb(verb: str, arguments: Sequence[str]) -> int:
    """Run ``verb`` with Hydra's arguments and return the exit code (of a sweep, the worst of its jobs')."""
    registry = default_registry()
    flags, overrides = split_arguments(arguments)
    if verb == "run" and not overrides and not set(flags) & set(_MULTIRUN):
        overrides = ["experiment=quickstart"]
    flags, places = _without_config_dir(flags)
    overrides += places
    multirun = (
        bool(set(flags) & set(_MULTIRUN))
        or "hydra.mode=MULTIRUN" in overrides
        or (any(item.startswith("experiment=") for item in overrides) and is_sweep(overrides, registry))
    )
    if multirun:
        overrides = [*overrides, *_sweep_overrides(overrides, registry)]
    elif not {flag.partition("=")[0] for flag in flags} & set(_SHOWING):
        if verb not in READING:  # they need where the study is, and work without the plugins that it was made with
            overrides = with_stored_overrides(overrides, registry)
        _check_before_hydra(verb, overrides, registry)
        overrides = [*overrides, "hydra.mode=RUN"]  # the stored experiment of a sweep's study asks for the sweep again
    overrides = with_search_path(overrides, registry)
    if not multirun:
        return _run_hydra(verb, [*overrides, *flags], registry, multirun)
    from autodistill.cli.sweep_secrets import secrets_in_environment

    with secrets_in_environment(overrides) as referring:
        return _run_hydra(verb, [*referring, *flags], registry, multirun)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split into Hydra's flags (with their values) and overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    previous = ""
    for argument in arguments:
        is_value = previous in _FLAGS_WITH_VALUE or (previous in _INFO and argument in _INFO_ABOUT)
        (flags if is_value or argument.startswith("-") else overrides).append(argument)
        previous = "" if is_value else argument
    return flags, overrides


def _without_config_dir(flags: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags without Hydra's ``--config-dir``, and the override that says the same wherever we compose ourselves."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    given, rest = parser.parse_known_args(flags)
    return rest, [] if given.config_dir is None else [search_path_override([given.config_dir])]


def _check_before_hydra(verb: str, overrides: list[str], registry: Registry) -> None:
    """Refuse a wrong configuration before Hydra makes a folder for it."""
    from autodistill.cli.verbs import check

    check(verb, compose(overrides, registry))


def _sweep_overrides(overrides: list[str], registry: Registry) -> list[str]:
    """Keep what a sweep does not vary out of the names of its studies, and the names that it gives them."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    prepare_hydra(registry)
    with translated_errors(registry):
        parsed = OverridesParser.create().parse_overrides(overrides)
    fixed = sorted({"study.name", *(item.key_or_group for item in parsed if not item.is_sweep_override())})
    return [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]"]


def _run_hydra(verb: str, arguments: list[str], registry: Registry, multirun: bool) -> int:
    import hydra

    prepare_hydra(registry)
    with _outcome_directory() as outcomes, _hydra_environment(arguments), translated_errors(registry):
        job, interruption = _Job(verb), None
        try:
            hydra.main(version_base="1.3", config_path=f"pkg://{CONFIG_PACKAGE}", config_name=CONFIG_NAME)(job)()
        except KeyboardInterrupt as error:
            interruption = error
        results = [json.loads(path.read_text()) for path in sorted(outcomes.glob("*.json"))]
    if interruption is not None and all(result["exit_code"] != INTERRUPTED for result in results):
        raise interruption  # of Hydra between jobs; a job's own has been told
    if multirun and verb in ("run", "explore") and results:
        from autodistill.cli.sweep import print_sweep

        print_sweep(results)
    return max((result["exit_code"] for result in results), default=0)


class _Job:
    """One job of Hydra: a verb on one composed configuration; picklable, for launchers."""

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.__name__ = "autodistill"  # Hydra names the job after the task function
        self.__module__ = "autodistill.cli.hydra_app"
        self.__qualname__ = "_Job"

    def __call__(self, config: DictConfig) -> int:
        """Run the verb; every error becomes an exit code here, so that a sweep's other jobs go on.

        Raises:
            KeyboardInterrupt: the user asked to stop, which means the sweep, not only this job.
        """
        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get()
        code, study = 1, hydra.runtime.output_dir
        in_sweep = hydra.mode is not None and hydra.mode.name == "MULTIRUN"
        whose = f"This was the job {Path(study).name} of the sweep."
        try:
            with _log_in_use():
                code = self._run(config)
        except AutoDistillError as error:
            code = error.exit_code
            if in_sweep and code != INTERRUPTED:
                error.add_note(whose)
            print_error(error)
        except KeyboardInterrupt:
            print_interrupted()
            code = INTERRUPTED
        except Exception as error:
            if in_sweep:
                error.add_note(whose)
            traceback.print_exc()
        _write_outcome({"exit_code": code, "study": study})
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return code

    def _run(self, config: DictConfig) -> int:
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        from autodistill.cli.sweep_secrets import masked_references
        from autodistill.cli.verbs import check, perform

        registry = default_registry()
        hydra = HydraConfig.get()
        name = Path(hydra.runtime.output_dir).name or DEFAULT_STUDY_NAME
        if hydra.mode is not None and hydra.mode.name == "MULTIRUN":
            config.study.name = name
        settings = read_settings(config, registry, name)
        check(self.verb, settings)
        given: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)  # what they refer to may be a secret
        overrides = [masked_references(str(override)) for override in given]
        places = user_search_path(hydra.overrides.hydra, registry)
        overrides += [search_path_override(places)] if places else []  # presets that the study is made of are there
        return perform(self.verb, settings, registry, overrides)


@contextmanager
def _log_in_use() -> Iterator[None]:
    """Hold the study's log; afterwards remove log and folder of a command that wrote nothing, such as ``studies``.

    Commands on one study share both: another one that holds the log goes on writing to it.
    """
    from hydra.core.hydra_config import HydraConfig

    folder = Path(HydraConfig.get().runtime.output_dir)
    with ExitStack() as stack:
        try:
            log = stack.enter_context(open(folder / LOG_NAME, "rb"))
        except FileNotFoundError:  # another `hydra/job_logging`
            yield
            return
        with suppress(OSError):  # a file system without locks, where nothing is removed either
            fcntl.flock(log, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if [file.name for file in folder.glob("*")] == [LOG_NAME] and os.fstat(log.fileno()).st_size == 0:
                with suppress(OSError):  # somebody uses it
                    fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    (folder / LOG_NAME).unlink()
                    folder.rmdir()


def _write_outcome(outcome: dict[str, Any]) -> None:
    directory = os.environ.get(OUTCOMES_VARIABLE)
    if directory is None:
        return
    handle, name = tempfile.mkstemp(dir=directory, suffix=".part")
    with os.fdopen(handle, "w") as file:
        json.dump(outcome, file)
    count = len(list(Path(directory).glob("*.json")))
    os.replace(name, Path(directory) / f"{count:06d}-{os.getpid()}.json")


@contextmanager
def _outcome_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="autodistill-"))
    previous = os.environ.get(OUTCOMES_VARIABLE)
    os.environ[OUTCOMES_VARIABLE] = str(directory)
    try:
        yield directory
    finally:
        os.environ.pop(OUTCOMES_VARIABLE, None)
        if previous is not None:
            os.environ[OUTCOMES_VARIABLE] = previous
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _hydra_environment(arguments: list[str]) -> Iterator[None]:
    """``sys.argv`` as Hydra reads it, its errors raised instead of printed, and its folders private.

    Afterwards everything is as before, for the next command of this process.
    """
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    levels = [(logger, logger.level) for logger in map(logging.getLogger, _LOGGERS)]
    umask = os.umask(0o077)  # Hydra makes the study's folder with the usual mode; children of launchers inherit this
    sys.argv = ["autodistill", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    except SystemExit as stop:  # argparse and --cfg end this way
        if stop.code not in (0, None):
            raise UserError("Hydra refused these arguments; see the lines above.") from stop
    except ValueError as error:
        if isinstance(error.__cause__, OSError):  # of the log
            raise _no_folder(error.__cause__) from error
        raise ConfigError(f"Hydra refused these arguments: {error}") from error
    except OSError as error:
        if error.filename is None:
            raise
        raise _no_folder(error) from error
    finally:
        os.umask(umask)
        sys.argv = argv
        for logger, level in levels:
            logger.setLevel(level)
        os.environ.pop("HYDRA_FULL_ERROR", None)
        if full_error is not None:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def _no_folder(error: OSError) -> UserError:
    return UserError(f"The study's folder cannot be made or written to: {error}. Say where else: output_dir=DIR.")


__all__ = ["compose_raw", "run_verb", "split_arguments"]
