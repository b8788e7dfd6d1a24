"""This benchmark's results file; see `benchmarks.sections`."""

from __future__ import annotations

from benchmarks.sections import ResultsFile

#: What ``--output`` says of itself.
OUTPUT_HELP = "default: the committed file, if its section has the same settings"

_FILE = ResultsFile("distillation")
RESULTS = _FILE.path
output_of = _FILE.output_of
write_section = _FILE.write
