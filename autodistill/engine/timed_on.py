"""How and where a study times its models, as it came out: what its milliseconds hold for.

A configuration leaves to the machine what it does not say (``threads: null``), and the study's identity holds the
configuration. What it came to when the teacher was timed is stored with the teacher, and holds for all that is timed
later, by whatever process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autodistill.components.latency import LatencyBackend, Workload
from autodistill.errors import StudyError
from autodistill.latency.machine import device_name, processor_name

#: Label of a latency backend -> the fields of its workload; under ``machine`` the name of what times here, under
#: ``calibration`` what the backend found out about it.
TimedOn = Mapping[str, Mapping[str, Any]]


def timed_on(backends: Mapping[str, LatencyBackend]) -> dict[str, dict[str, Any]]:
    """What backends came to in this process, JSON-able; nothing of a plugin's that tells no workload.

    Only what is measured by this machine itself has a ``machine``: data sheets, files and foreign targets are the same
    everywhere.
    """
    found: dict[str, dict[str, Any]] = {}
    for label, backend in backends.items():
        workload = getattr(backend, "workload", None)
        if isinstance(workload, Workload):
            found[label] = workload.as_dict()
            if backend.kind == "measured" and workload.device in ("cpu", "cuda"):
                found[label]["machine"] = _machine(workload.device)
            if backend.kind != "measured" or workload.device == "cuda":
                del found[label]["threads"]  # of a processor that does not do the work
            calibration = getattr(backend, "calibration", None)
            if calibration is not None:
                found[label]["calibration"] = dict(calibration)
    return found


def _machine(device: str) -> str:
    """The model of processor or GPU; not how many there are, of which a workload takes its threads."""
    return processor_name() if device == "cpu" else device_name(device)


def check_timed_on(name: str, stored: TimedOn, given: TimedOn) -> None:
    """Raise `StudyError` where this process would time otherwise than the study does.

    Args:
        name: of the study.
        stored: of the study; empty for one that has timed nothing yet, or that an earlier version made.
        given: of this process.
    """
    differences = list(_differences(stored, given))
    if not differences:
        return
    listed = "\n".join(
        f"  latency.{label}.{key}: the study has {_short(stored[label][key])}, now {_short(given[label][key])}"
        for label, key in differences
    )
    threads = [f"latency.{label}.threads={stored[label]['threads']}" for label, key in differences if key == "threads"]
    ways = [f"give {' '.join(threads)}"] if threads else []
    keys = {key for _, key in differences}
    if "machine" in keys:
        ways.append("go on with it on a machine like its first")
    if "calibration" in keys:  # another process began at the same moment: now it is stored
        ways.append("give the same command again, which takes what the study found out")
    raise StudyError(
        f"The study {name!r} times its models otherwise than they would be timed here:\n{listed}\n"
        f"Its milliseconds would not compare. Either {' and '.join(ways) or 'go on with it as it began'}, or give the "
        "new one its own name: study.name=NAME."
    )


def calibrations(timed: TimedOn) -> dict[str, Mapping[str, Any]]:
    """Label -> what a backend found out about the machine that a study began on."""
    return {label: facts["calibration"] for label, facts in timed.items() if "calibration" in facts}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # 80: one line of a terminal


def _differences(stored: TimedOn, given: TimedOn) -> Iterator[tuple[str, str]]:
    """(label, field) of what both know and is not the same; which labels there are is the identity's matter."""
    for label in sorted(stored.keys() & given.keys()):
        for key in sorted(stored[label].keys() & given[label].keys()):
            if not _alike(key, stored[label][key], given[label][key]):
                yield label, key


def _alike(key: str, stored: Any, given: Any) -> bool:
    """Whether they are the same; of an ARM processor earlier versions knew the architecture alone."""
    return bool(stored == given) or (key == "machine" and str(given).startswith(f"{stored}, implementer "))
