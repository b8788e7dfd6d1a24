"""The nine tasks of GLUE (Wang et al. 2018, arXiv 1804.07461): columns, classes and files of the official layout."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GlueTask:
    """One task.

    Args:
        name: as the hub and the literature write it.
        folder: of the official files.
        texts: one or two columns of the official files.
        hub_texts: the same columns on the hub.
        label: column of the label.
        classes: names by class id; empty for a regression.
        values: what stands in the label column of the files, by class id; empty: the class names.
        header: column names of files that have no first line with them.
        tests: name -> file of the published dev sets; a name is the prefix of their ids.
        skips_short_rows: whether rows with too few columns are left out, as the official readers do.
    """

    name: str
    folder: str
    texts: tuple[str, ...]
    hub_texts: tuple[str, ...]
    label: str
    classes: tuple[str, ...]
    values: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    tests: tuple[tuple[str, str], ...] = (("test", "dev"),)
    skips_short_rows: bool = False


_ENTAILMENT = ("entailment", "not_entailment")
_PAIR = ("sentence1", "sentence2")
_BINARY = ("0", "1")

#: Scores of STS-B, both ends included.
STSB_RANGE = (0.0, 5.0)

TASKS: dict[str, GlueTask] = {
    task.name: task
    for task in (
        GlueTask(
            "cola",
            "CoLA",
            ("sentence",),
            ("sentence",),
            "label",
            ("unacceptable", "acceptable"),
            values=_BINARY,
            header=("source", "label", "mark", "sentence"),
        ),
        GlueTask("sst2", "SST-2", ("sentence",), ("sentence",), "label", ("negative", "positive"), values=_BINARY),
        GlueTask(
            "mrpc",
            "MRPC",
            ("#1 String", "#2 String"),
            _PAIR,
            "Quality",
            ("not_equivalent", "equivalent"),
            values=_BINARY,
        ),
        GlueTask("stsb", "STS-B", _PAIR, _PAIR, "score", ()),
        GlueTask(
            "qqp",
            "QQP",
            ("question1", "question2"),
            ("question1", "question2"),
            "is_duplicate",
            ("not_duplicate", "duplicate"),
            values=_BINARY,
            skips_short_rows=True,
        ),
        GlueTask(
            "mnli",
            "MNLI",
            _PAIR,
            ("premise", "hypothesis"),
            "gold_label",
            ("entailment", "neutral", "contradiction"),
            tests=(("matched", "dev_matched"), ("mismatched", "dev_mismatched")),
        ),
        GlueTask("qnli", "QNLI", ("question", "sentence"), ("question", "sentence"), "label", _ENTAILMENT),
        GlueTask("rte", "RTE", _PAIR, _PAIR, "label", _ENTAILMENT),
        GlueTask("wnli", "WNLI", _PAIR, _PAIR, "label", ("not_entailment", "entailment"), values=_BINARY),
    )
}
