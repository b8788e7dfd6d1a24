"""The page is whole, harmless and self-contained, whatever a study holds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from autodistill.report import appendix, figures, sections
from autodistill.report.html import render_html, write_report
from autodistill.report.markup import Html

from .conftest import throughput_objective

VOID = {"meta", "link", "wbr"}
#: Attributes through which a page loads something.
LOADING = {"src", "href", "srcset", "data", "poster", "action", "formaction", "xlink:href", "background"}


class Page(HTMLParser):
    """Elements, texts and balance of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(source.replace(get_plotlyjs(), ""))  # megabytes that need no parsing
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.elements)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Pages rendered once: rendering is pure, and plotly's library is large."""
    return {}


@pytest.fixture(params=["summary", "partial_summary", "bare_summary"])
def page(request: pytest.FixtureRequest, pages: dict[str, str]) -> Page:
    if request.param not in pages:
        pages[request.param] = render_html(request.getfixturevalue(request.param))
    return Page(pages[request.param])


@pytest.fixture
def full(summary: dict[str, Any], pages: dict[str, str]) -> str:
    if "summary" not in pages:
        pages["summary"] = render_html(summary)
    return pages["summary"]


def test_every_page_is_balanced_markup(page: Page) -> None:
    assert page.unbalanced == []
    assert page.open == []


def test_no_page_loads_anything(page: Page) -> None:
    attributes = [(tag, key, value) for tag, found in page.elements for key, value in found.items()]
    assert [found for found in attributes if found[1] in LOADING] == [("link", "href", "data:,")]
    metas = [found for tag, found in page.elements if tag == "meta"]
    policies = [found["content"] for found in metas if found.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0] is not None
    assert policies[0].startswith("default-src 'none'")
    styles = "".join(page.texts["style"])
    assert "url(" not in styles
    assert "@import" not in styles


def test_every_page_is_accessible(page: Page) -> None:
    elements = dict(page.elements)
    assert elements["html"]["lang"] == "en"
    assert page.count("h1") == 1
    assert page.count("h2") >= 5
    assert page.count("table") == page.count("caption") > 0
    assert page.texts["title"][0] == "reviews | AutoDistill"
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_every_figure_is_told_in_words(page: Page, request: pytest.FixtureRequest) -> None:
    plots = [attributes for _, attributes in page.elements if attributes.get("class") == "plot"]
    assert len(plots) == "".join(page.texts["script"]).count("Plotly.newPlot(")
    for plot in plots:
        assert plot["role"] == "img"
        assert re.fullmatch(r".+; .+\.", str(plot["aria-label"]))
        assert "<" not in str(plot["aria-label"])


def test_words_of_figures_name_axes_groups_and_picks(full: str) -> None:
    told = [str(attributes["aria-label"]) for _, attributes in Page(full).elements if "aria-label" in attributes]
    pareto = next(words for words in told if "picks, final" in words)
    assert pareto.startswith("accuracy, % against median latency in ms (onnxruntime); flash trial: ")
    assert "picks, final: pick 12, pick 31, pick 40" in pareto
    assert "share of the variance, %; layers, hidden size, attention heads, intermediate size." in told


def test_the_library_is_inside_once(full: str) -> None:
    assert full.count("plotly.js v") == 1
    assert full.count("Plotly.newPlot(") >= 3


@pytest.mark.parametrize(
    "wanted",
    [
        "it beats uniform_scaling_4l, the strongest baseline",
        "truncated to 128 tokens",
        "+1.5 points [+0.6, +2.4]",
        "embeddings exact; attention reduced",
        "picks/12/onnx/model.onnx",
        "same answer for 99.2 % of 256 examples",
        "AutoModelForSequenceClassification.from_pretrained",
        "onnxruntime.InferenceSession(file)",
        "25 min 44 s",
        "9.40 PFLOP",
        "dropped near duplicates",
        "The loss became nan at step 31",
        "budget.trials=96",
        "onnxruntime.p50_ms &lt;= 8.00",
    ],
)
def test_a_finished_study_shows(full: str, wanted: str) -> None:
    assert wanted in full.replace("\u00a0", " ").replace("<wbr>", "")


def test_passwords_do_not_reach_the_page(full: str) -> None:
    assert "lovelace1815" not in full
    assert "ada:***@db.example" in full


@pytest.mark.parametrize("malice", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script><b>'"])
def test_hostile_labels_stay_text(
    summary: dict[str, Any], malice: str, poisoned: Callable[[dict[str, Any], str], dict[str, Any]], full: str
) -> None:
    source = render_html(poisoned(summary, malice))
    assert malice not in source
    expected, hostile = Page(full), Page(source)
    for tag in ("script", "img", "b"):
        assert hostile.count(tag) == expected.count(tag)
    assert not [key for _, attributes in hostile.elements for key in attributes if key.startswith("on")]


def test_hostile_labels_are_no_markup_in_figures(
    summary: dict[str, Any], poisoned: Callable[[dict[str, Any], str], dict[str, Any]]
) -> None:
    figure = figures.pareto_figure(poisoned(summary, '<a href="http://x">y</a>'))
    assert "<a " not in str(figure.to_dict())


@pytest.mark.parametrize("missing", ["teacher", "task", "seconds", "cost", "verdict", "trials"])
def test_any_part_may_be_missing(summary: dict[str, Any], missing: str) -> None:
    del summary[missing]
    assert Page(render_html(summary)).open == []


def test_an_empty_summary_is_a_page() -> None:
    assert Page(render_html({})).unbalanced == []


def test_ten_thousand_trials_make_a_page_of_bounded_size(summary: dict[str, Any]) -> None:
    small = len(render_html(summary))
    summary["history"] = [row | {"trial": n} for n, row in enumerate(summary["history"] * 250)]
    page = render_html(summary)
    assert len(page) - small < 4_000_000
    assert "the last 1000 of 12000" in page


def test_the_page_is_written_whole_or_not_at_all(
    tmp_path: Path, summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "reviews" / "report.html"
    write_report(summary, path)
    before = path.read_text(encoding="utf-8")
    assert before.startswith("<!DOCTYPE html>")

    def fail(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(summary | {"study": "other"}, path)
    assert path.read_text(encoding="utf-8") == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_the_same_summary_gives_the_same_page(summary: dict[str, Any], full: str) -> None:
    assert render_html(summary) == full


@pytest.mark.parametrize(
    ("metric", "direction", "words"),
    [
        ("onnxruntime.p50_ms", "minimize", "Up and to the left is better."),
        ("onnxruntime.throughput", "maximize", "Up and to the right is better."),
        ("mlm.perplexity", "minimize", "Down and to the left is better."),
    ],
)
def test_the_better_corner_is_that_of_the_objectives(
    summary: dict[str, Any], metric: str, direction: str, words: str
) -> None:
    if metric.startswith("mlm"):
        summary["task"]["metric"] = metric
        summary["objectives"][0] = {"label": "quality", "metric": metric, "direction": direction}
    else:
        summary["objectives"][1] = {"label": "latency", "metric": metric, "direction": direction}
    assert words in sections.pareto_section(summary, Html(""), Html(""))


def test_a_throughput_that_is_an_objective_is_shown_for_every_model(summary: dict[str, Any]) -> None:
    throughput_objective(summary)
    for part in (sections.comparison_section(summary), sections.opening(summary)[-1]):
        assert "throughput at p99" in part
    assert sections.comparison_section(summary).count(" /s<") == 10
    detail = next(part for part in appendix.closing(summary) if 'id="latency"' in part)
    assert "req/s at p99" in detail
    assert "loaded p99 ms" in detail
    assert "loaded p50 ms" not in detail  # no report has it


def test_flags_of_timings_are_told(summary: dict[str, Any]) -> None:
    summary["picks"][0]["latencies"]["onnxruntime"]["flags"] = ["lower_bound"]
    detail = next(part for part in appendix.closing(summary) if 'id="latency"' in part)
    assert detail.count("lower bound<") == 1
    assert sections.comparison_section(summary).count("lower bound") == 1
