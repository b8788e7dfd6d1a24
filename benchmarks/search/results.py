"""This benchmark's results file; see `benchmarks.sections`."""

from __future__ import annotations

from benchmarks.sections import ResultsFile

_FILE = ResultsFile("search")
RESULTS = _FILE.path
output_of = _FILE.output_of
write_section = _FILE.write
