"""This benchmark's results file; see `benchmarks.sections`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.sections import ResultsFile, script_parser


def study_parser(description: str | None) -> argparse.ArgumentParser:
    """Options of a script whose runs are studies below a folder, composed from overrides."""
    parser = script_parser(description)
    parser.add_argument("--work", type=Path, required=True, help="folder of the studies")
    parser.add_argument("overrides", nargs="*")
    return parser


_FILE = ResultsFile("distillation")
RESULTS = _FILE.path
output_of = _FILE.output_of
write_section = _FILE.write
