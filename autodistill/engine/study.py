"""A study as a user holds it: its trials, front, summary and report. Reads only; loads no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodistill.components.search import History
from autodistill.engine.records import StudyRecord, TrialRecord
from autodistill.engine.storage import Storage
from autodistill.engine.storage_connection import missing_file
from autodistill.engine.summary import SummaryBuilder
from autodistill.errors import StudyError
from autodistill.folders import write_json


class Study:
    """A study in a storage.

    Args:
        record: what the storage says of it.
        storage_url: where it lives.
        output_dir: folder of the folders of studies.
    """

    def __init__(self, record: StudyRecord, storage_url: str, output_dir: Path) -> None:
        self._record = record
        self._url = storage_url
        self.directory = output_dir / record.name

    @property
    def name(self) -> str:
        """Name of the study."""
        return self._record.name

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved configuration of its last run."""
        return self._record.config

    def trials(self) -> list[TrialRecord]:
        """Its trials, by number."""
        with Storage(self._url) as storage:
            return storage.trials(self._record.id)

    def history(self) -> History:
        """What search strategies see of it."""
        with Storage(self._url) as storage:
            return storage.history(self._record.id)

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``, as of now."""
        with Storage(self._url) as storage:
            return SummaryBuilder(storage, storage.get_study(self.name), str(self.directory.parent), self._url).build()

    def written_summary(self) -> dict[str, Any]:
        """The content of ``summary.json`` as `write_report` wrote it last, which is cheaper than `summary`."""
        written: dict[str, Any] = json.loads((self.directory / "summary.json").read_text(encoding="utf-8"))
        return written

    def write_report(self) -> Path:
        """Write ``summary.json`` and ``report.html`` into the study's folder; returns the page's path."""
        from autodistill.report.html import write_report

        summary = self.summary()
        write_json(self.directory / "summary.json", summary)
        page = self.directory / "report.html"
        write_report(summary, page)
        return page

    def __repr__(self) -> str:
        return f"Study({self.name!r}, directory={str(self.directory)!r})"


def open_study(name: str, storage_url: str | None = None, output_dir: str | Path = "outputs") -> Study:
    """Open an existing study.

    Args:
        name: its name.
        storage_url: where studies are stored; by default the SQLite file in ``output_dir``.
        output_dir: folder of the folders of studies.

    Raises:
        StudyError: there is no such study; lists those that exist.
    """
    folder = Path(output_dir)
    url = storage_url or f"sqlite:///{folder / 'studies.db'}"
    missing = missing_file(url)
    if missing is not None:
        raise StudyError(
            f"There is no storage at {missing}, so no study {name!r}. Run one: autodistill run, "
            "or say where it is: output_dir=DIR."
        )
    with Storage(url) as storage:
        return Study(storage.get_study(name), url, folder)
