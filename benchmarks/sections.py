"""The results file of a benchmark: one section per script, each with its command, its machine and its time."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autodistill.engine.environment import describe_environment


def script_parser(description: str | None) -> argparse.ArgumentParser:
    """Options that every script has: where to write, see `ResultsFile.output_of`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    told = "default: the committed file, if its section has the same settings"
    parser.add_argument("--output", type=Path, help=told)
    return parser


@dataclass(frozen=True)
class ResultsFile:
    """Where a benchmark of several scripts keeps what they found.

    Args:
        benchmark: name of the benchmark's folder.
    """

    benchmark: str

    @property
    def path(self) -> Path:
        """The committed file."""
        return Path(__file__).parent / "results" / f"{self.benchmark}.json"

    def read(self, path: Path, section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Results of an earlier run with the same settings, to go on from; empty without one."""
        if not path.exists():
            return {}
        found = json.loads(path.read_text()).get(section, {})
        return dict(found["results"]) if found and found["settings"] == _plain(settings) else {}

    def output_of(
        self,
        parser: argparse.ArgumentParser,
        given: argparse.Namespace,
        section: str,
        settings_of: Callable[[argparse.Namespace], Mapping[str, Any]],
    ) -> Path:
        """Where to write a section: ``--output``, or without it the committed file, if its settings are the same.

        A try, or a measurement of something else, ends here with a message, before it has cost anything: it would
        replace what documents quote. The committed settings are those that the section tells, and of what it does not
        tell, as it is older than the name, those that its command has.

        Args:
            parser: of the script.
            given: its arguments; ``output`` is None where ``--output`` is left out.
            section: to be written.
            settings_of: what of the arguments its results depend on.

        Raises:
            SystemExit: the section is not there, is of other settings, or is of a command that ``parser`` does not
                take any more.
        """
        if given.output is not None:
            return Path(given.output)
        kept = json.loads(self.path.read_text()).get(section)
        if kept is None:
            parser.error(f"the committed results have no section {section!r}: say where to write, --output FILE")
        try:
            made = {**_plain(settings_of(_parsed(parser, kept["command"]))), **kept["settings"]}
        except ValueError as error:
            parser.error(
                f"the committed section {section!r} was made by a command that this script does not take any more "
                f"({error}), so its settings cannot be compared: say where to write, --output FILE. "
                f"It was made by: {kept['command']}"
            )
        own = _plain(settings_of(given))
        changed = [name for name, value in own.items() if name not in made or made[name] != value]
        if changed:
            parser.error(
                f"the committed section {section!r} is of other settings ({', '.join(changed)}) and would be replaced: "
                f"say where to write, --output FILE. It was made by: {kept['command']}"
            )
        return self.path

    def write(self, path: Path, section: str, settings: Mapping[str, Any], results: Any) -> None:
        """Write one section and leave the others as they are."""
        kept = json.loads(path.read_text()) if path.exists() else {"benchmark": self.benchmark}
        script = f"benchmarks.{self.benchmark}.{Path(sys.argv[0]).stem}"
        kept[section] = {
            "command": without_folders(f"python -m {script} {shlex.join(_without_output(sys.argv[1:]))}".strip()),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_environment(),
            "settings": _plain(settings),
            "results": results,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"written: {path}, section {section!r}")


def append_line(path: Path, line: str) -> None:
    """Add a record to a file, on a line of its own also where a kill has cut off the last one."""
    torn = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a") as file:
        file.write("\n" * torn + line + "\n")


def _parsed(parser: argparse.ArgumentParser, command: str) -> argparse.Namespace:
    """The arguments of a stored command.

    Raises:
        ValueError: the parser does not take them; its words would be about arguments that nobody has typed.
    """
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return parser.parse_args(shlex.split(command)[3:])  # python -m MODULE ...
    except SystemExit:
        raise ValueError(told.getvalue().rpartition("error: ")[2].strip()) from None


def _without_output(arguments: Sequence[str]) -> list[str]:
    """Where results were written is told by where they are."""
    kept, skipped = [], False
    for item in arguments:
        if not skipped and item != "--output" and not item.startswith("--output="):
            kept.append(item)
        skipped = item == "--output"
    return kept


def without_folders(text: str) -> str:
    """Absolute paths by their last part alone: where somebody keeps files is nobody's business, and no setting."""
    return re.sub(r"(?<![^\s=:{\"'\[,])/(?=[^\s/])(?:[^\s/\"',\]}]+/(?=[^\s/\"',\]}]))*", "", text)


def _plain(settings: Mapping[str, Any]) -> Any:
    """Settings as JSON gives them back; paths are text."""
    named = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    return json.loads(without_folders(json.dumps(named)))
