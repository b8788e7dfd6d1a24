"""The main job from Python: compose, run, read the outcome.

python examples/01_quickstart.py                       # the quickstart; minutes on two CPU cores
python examples/01_quickstart.py budget.trials=4       # arguments are overrides, as on the command line
"""

from __future__ import annotations

import sys

import autodistill


def main(arguments: list[str]) -> None:
    """Run the quickstart with further overrides and print its verdict and its picks."""
    overrides = ["experiment=quickstart", *arguments]
    study = autodistill.run(autodistill.compose(overrides), overrides=overrides)
    summary = study.summary()
    print(summary["verdict"]["claim"])
    for pick in summary["picks"]:
        print(f"{pick['name']}: {pick['architecture']}, {pick['parameters']:,} parameters, {pick['paths']['hf']}")
    print(f"report: {study.directory / 'report.html'}")


if __name__ == "__main__":
    main(sys.argv[1:])
