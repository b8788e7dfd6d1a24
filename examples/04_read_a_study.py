"""Read a study that exists: trials, history, Pareto front and summary. Loads no model and changes nothing.

python examples/04_read_a_study.py quickstart          # name of the study
python examples/04_read_a_study.py quickstart results  # and its output directory, if not `outputs`
"""

from __future__ import annotations

import sys

import numpy as np

import autodistill


def main(name: str, output_dir: str = "outputs") -> None:
    """Print a study's trials, its front and its verdict."""
    study = autodistill.open_study(name, output_dir=output_dir)

    history = study.history()  # columnar, what search strategies see: one row per trial, NaN where nothing was measured
    for row, architecture in enumerate(history.architectures):
        values = {metric: column[row] for metric, column in history.metrics.items() if np.isfinite(column[row])}
        print(f"trial {row} {history.states[row]}: {architecture}")
        print("  " + ", ".join(f"{metric} {value:.4g}" for metric, value in sorted(values.items())))

    summary = study.summary()  # what summary.json holds
    objectives = [f"{item['metric']} ({item['direction']})" for item in summary["objectives"]]
    print(f"objectives: {', '.join(objectives)}")
    print(f"Pareto front: trials {summary['pareto']}, hypervolume {summary['hypervolume']}")
    for pick in summary["picks"]:
        print(f"{pick['name']}: {pick['state']}, exports {[item['format'] for item in pick['exports']]}")
    print(f"seconds: {summary['seconds']}")
    print(f"verdict: {summary['verdict']['claim']}")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["quickstart"]))
