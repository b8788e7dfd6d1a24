"""``autodistill studies``: the studies of a storage, and the trials of one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.engine.storage import Storage
from autodistill.engine.storage_connection import missing_file

if TYPE_CHECKING:
    from rich.console import Console

    from autodistill.configs.settings import Settings


def list_studies(settings: Settings, console: Console) -> None:
    """Print a line per study: name, when it was made, data, trials by state, the verdict's state."""
    from rich.table import Table
    from rich.text import Text

    url = settings.storage_url
    missing = missing_file(url)
    if missing is not None:
        console.print(f"No studies yet in {missing}.", highlight=False, markup=False)
        return
    table = Table("study", "made", "teacher", "data", "trials", "finished")
    with Storage(url) as storage:
        for record in storage.studies():
            states = Counter(storage.trial_states(record.id).values())
            counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "none"
            finished = "yes" if storage.step(record.id, "finals") else "no"
            ready = storage.step(record.id, "teacher")
            teacher = Path(ready["name"]).name if ready else "not ready yet"  # a path's last part tells it apart
            cells = [record.name, record.created[:16], teacher, str(record.identity["data"]["name"]), counts, finished]
            table.add_row(*map(Text, cells))
    console.print(table)


def show_study(settings: Settings, console: Console) -> None:
    """Print a study's trials."""
    from rich.table import Table
    from rich.text import Text

    from autodistill.cli.model_verbs import number
    from autodistill.engine.study import open_study
    from autodistill.report.tables import metric_of

    study = open_study(settings.study_name, settings.storage_url, settings.output_dir)
    summary: dict[str, Any] = study.summary()
    metrics = [item["metric"] for item in summary["objectives"]]
    table = Table(title=Text(study.name), title_justify="left")
    for name in ("trial", "origin", "state", *metrics, "architecture"):
        table.add_column(Text(name))
    for row in summary["history"]:
        values = [number(metric_of(metric, row["metrics"], row["latencies"])) for metric in metrics]
        choices = ", ".join(f"{name}={value}" for name, value in row["architecture"].items())
        origin = f"{row['origin']} {row['name'] or ''}".strip()
        cells = (str(row["trial"]), origin, row["state"], *values, f"{row['family']}({choices})")
        table.add_row(*map(Text, cells))
    console.print(table)
    console.print(summary["verdict"]["claim"], highlight=False, markup=False)
