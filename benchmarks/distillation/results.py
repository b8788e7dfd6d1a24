"""This benchmark's results file; see `benchmarks.sections`."""

from __future__ import annotations

from benchmarks.sections import ResultsFile

_FILE = ResultsFile("distillation")
RESULTS = _FILE.path
write_section = _FILE.write
