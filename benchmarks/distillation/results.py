"""This benchmark's results file; see `benchmarks.sections`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.sections import ResultsFile

#: What ``--output`` says of itself.
OUTPUT_HELP = "default: the committed file, if its section has the same settings"


def study_parser(description: str | None) -> argparse.ArgumentParser:
    """Options of a script whose runs are studies below a folder, composed from overrides."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the studies")
    parser.add_argument("--output", type=Path, help=OUTPUT_HELP)
    parser.add_argument("overrides", nargs="*")
    return parser


_FILE = ResultsFile("distillation")
RESULTS = _FILE.path
output_of = _FILE.output_of
write_section = _FILE.write
