"""Report: what a person reads of a study, on the terminal and as one HTML page.

Everything here is a pure function of the summary, the content of ``summary.json`` (schema version 1), finished or not.
``terminal`` and ``html`` are the two doors; ``tables`` and ``points`` turn the summary into rows and points,
``formats`` turns numbers into words; ``progress`` is what a run shows while it works. Nothing here trains or measures.
"""
