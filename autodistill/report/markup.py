"""Small pieces of HTML: escaped text, explained terms, tables, definition lists, code.

Whatever comes from a study passes through `text` and is escaped there; `Html` marks what is markup already. The
sections of the page are in `autodistill.report.sections`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from autodistill.report import formats

#: One line for every term that a reader may not know; shown as tool tips and in the glossary.
TERMS: Mapping[str, str] = {
    "teacher": "The large model that the small ones learn from.",
    "reference": "A model that is not distilled, for orientation: a quantised teacher, a linear model.",
    "baseline": "A standard way to get a small model without a search, trained with the same recipe as the picks.",
    "pick": "A model chosen from the search, trained with the full recipe and measured once on the test split.",
    "95 % interval": "Where the true value lies in 95 of 100 such measurements.",
    "paired gain": "Difference on the same test examples; a gain is shown only when its whole interval is above zero.",
    "equal recipe": "Every model gets the same training; what the search cost besides is not counted.",
    "equal total compute": "The search may spend no more arithmetic than training all baselines does.",
    "trivial answer": "The best answer that is the same for every example, such as the most frequent class.",
    "kept": "Share of the teacher's value that the model reaches.",
    "speed-up": "How many times faster than the teacher, timed in turn; of undisturbed requests, not of medians.",
    "median": "Half of the requests take less, in milliseconds per request.",
    "spread": "Half the 95 % interval of the median, relative to it.",
    "p90": "Nine of ten requests take less.",
    "p99": "99 of 100 requests take less; needs 300 measurements.",
    "throughput": "Sequences per second in a single stream: one request after another.",
    "of teacher": "Time relative to the teacher's, timed in turn; 1 divided by the speed-up.",
    "care": "Why a timing may be trusted less, such as a wide interval or an estimate that is a lower bound.",
    "flash": "A short run: the full recipe compressed to a small fraction, to score many architectures cheaply.",
    "final": "After the full recipe.",
    "Pareto front": "The models that no other model beats in every objective.",
    "hypervolume": "Size of the region that the front dominates: it grows while the front improves.",
    "target": "What latency is measured on: a machine, a precision, a load. Each has a front of its own.",
    "importance": "Share of a metric's variance over the search space that one parameter explains alone.",
    "prediction": "Each trial predicted by a model of all trials of other architectures, and what it scored in truth.",
    "rank correlation": "1 when flash and final scores put the models in the same order, 0 when they are unrelated.",
    "select split": "Examples for choosing: flash scores, early stopping, picks.",
    "test split": "Examples that are read once, at the very end.",
    "parity": "How closely an exported model repeats the outputs of the trained one.",
    "running": "A trial that is being timed or trained.",
    "interrupted": "A trial or full run whose process ended before it did; the next run takes it up.",
    "stopped": "A flash run that was given up early because it was far behind.",
    "infeasible": "An architecture that breaks a constraint; known before training, so nothing was spent on it.",
}


class Html(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


def text(value: Any) -> Html:
    """``value`` as escaped text, or as it is when it is `Html`."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def model_name(value: str) -> Html:
    """The name of a model or label, which may break after an underscore on narrow screens."""
    return Html(escape(value).replace("_", "_<wbr>"))


def unbroken(value: str) -> str:
    """``value`` with the spaces inside ``91.2 %`` and ``[90.1, 92.3]`` made unbreakable; for running text."""
    return re.sub(rf"(?<=\d) (?=%)|(?<=\d,) (?=[+{formats.MINUS}\d])", "\u00a0", value)


def tag(element: str, *content: Any, **attributes: Any) -> Html:
    """An element; attributes that are None are left out, underscores become hyphens, ``class_`` is ``class``."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{element}{written}>{''.join(text(part) for part in content)}</{element}>")


def term(word: str, key: str | None = None) -> Html:
    """``word`` with its explanation as a tool tip when `TERMS` has one."""
    explanation = TERMS.get(key or word)
    return text(word) if explanation is None else tag("abbr", unbroken(word), title=explanation)


def number(value: str, below: str = "", title: str | None = None) -> Html:
    """A number with its interval or unit in small type below it."""
    return Html(tag("span", value, title=title) + (tag("small", below) if below else ""))


def section(title: str, *content: Any, lead: Any = None, anchor: str) -> Html:
    """A section of the page with its heading and one leading line."""
    first = [tag("p", lead, class_="lead")] if lead else []
    return tag("section", tag("h2", title), *first, *content, id=anchor)


def table(
    caption: str, header: Sequence[Any], rows: Iterable[Sequence[Any]], classes: Iterable[str | None] | None = None
) -> Html:
    """A table whose first column heads its rows; scrolls sideways by itself on narrow screens.

    Args:
        caption: what it shows.
        header: titles of the columns.
        rows: cells, text or `Html`.
        classes: one per row, or None.
    """
    rows = list(rows)
    head = tag("thead", tag("tr", *(tag("th", title, scope="col") for title in header)))
    styles = list(classes) if classes is not None else [None] * len(rows)
    body = tag("tbody", *(_table_row(cells, style) for cells, style in zip(rows, styles, strict=True)))
    inner = tag("table", tag("caption", tag("span", caption)), head, body)
    return tag("div", inner, class_="scroll", role="region", aria_label=caption, tabindex=0)


def _table_row(cells: Sequence[Any], style: str | None) -> Html:
    first, *rest = cells
    return tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest), class_=style)


def facts(values: Mapping[str, Any]) -> Html:
    """A definition list of named facts."""
    return tag("dl", *(_fact(key, value) for key, value in values.items()))


def _fact(key: str, value: Any) -> Html:
    if key.endswith("_bytes"):
        key, value = key.removesuffix("_bytes"), formats.scaled(value, "B")
    return Html(tag("dt", key.replace("_", " ")) + tag("dd", formats.readable(value)))


def details(title: Any, *content: Any) -> Html:
    """Content that is folded away until asked for."""
    return tag("details", tag("summary", title), *content)


def wide(*content: Any) -> Html:
    """A cell of running text: aligned left, and wrapped."""
    return tag("div", *content, class_="wide")


def code(source: str) -> Html:
    """A block of code or configuration."""
    return tag("pre", tag("code", source), tabindex=0)
