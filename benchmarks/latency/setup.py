"""What the scripts share: architectures of two families, backends with the configuration's defaults, options."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencySubject
from autodistill.components.students import Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.registry import Registry, default_registry
from benchmarks.latency import results
from benchmarks.sections import script_parser

TASK = TaskSpec("classification", ("negative", "positive"), ("text",), "classification.accuracy")

#: BERT's: its vocabulary decides the size of the embeddings, and nothing else here.
VOCABULARY, TINY_VOCABULARY = Vocabulary(30522, 512, 2, 0), Vocabulary(60, 64, 2, 0)

_BERT = ("num_layers", "hidden_size", "num_heads", "intermediate_size")
_MOBILE = ("num_layers", "hidden_size", "bottleneck_size", "num_heads", "intermediate_size", "num_ffn")


def bert(*sizes: int) -> Architecture:
    """Layers, width, heads, feed-forward width."""
    return Architecture("bert", dict(zip(_BERT, sizes, strict=True)))


def mobilebert(*sizes: int) -> Architecture:
    """Layers, width, bottleneck, heads, feed-forward width, feed-forward networks."""
    return Architecture("mobilebert", dict(zip(_MOBILE, sizes, strict=True)))


#: Published sizes.
PUBLISHED: Mapping[str, Architecture] = {
    "tinybert_4l": bert(4, 312, 12, 1200),
    "minilm_6l": bert(6, 384, 12, 1536),
    "mobilebert": mobilebert(24, 512, 128, 4, 512, 4),
    "bert_base": bert(12, 768, 12, 3072),
}

#: Twenty architectures of two families, from small to large, several depths of a shape and single ones.
TWENTY: tuple[Architecture, ...] = (
    *(bert(depth, 128, 2, 512) for depth in (3, 6, 12)),
    *(bert(depth, 256, 4, 1024) for depth in (2, 5, 8)),
    *(bert(depth, 384, 12, 1536) for depth in (3, 6, 12)),
    bert(6, 512, 8, 2048),
    *(mobilebert(depth, 256, 128, 4, 512, 2) for depth in (6, 12, 24)),
    *(mobilebert(depth, 512, 128, 4, 512, 4) for depth in (6, 12, 24)),
    *(mobilebert(depth, 384, 64, 2, 384, 2) for depth in (6, 12)),
    mobilebert(18, 384, 96, 4, 384, 2),
    mobilebert(24, 512, 160, 4, 640, 4),
)

#: For a look at whether the scripts run.
TINY: tuple[Architecture, ...] = (
    *(bert(depth, 32, 2, 64) for depth in (2, 6)),
    bert(8, 64, 2, 64),
    mobilebert(2, 160, 32, 2, 64, 1),
)
TINY_PUBLISHED: Mapping[str, Architecture] = {"tiny_bert": TINY[0], "tiny_mobilebert": TINY[3]}

#: What does not decide a figure.
NOT_RECORDED = ("records", "work", "output")


class Models:
    """Architectures as subjects, and backends that time them.

    Args:
        work_dir: scratch space, and the store of blocks and calibrations.
        tiny: a small vocabulary and short positions.
    """

    def __init__(self, work_dir: Path, *, tiny: bool) -> None:
        self.tiny = tiny
        self.registry: Registry = default_registry()
        self.vocabulary = TINY_VOCABULARY if tiny else VOCABULARY
        self.work_dir = work_dir
        self.families = {
            name: self.registry.create("student", name, vars(self.registry.get("student", name).spec.config()))
            for name in ("bert", "mobilebert")
        }

    def subject(self, architecture: Architecture, name: str | None = None) -> LatencySubject:
        """Random weights."""
        return LatencySubject(name or str(architecture), architecture, partial(self._build, architecture))

    def _build(self, architecture: Architecture) -> Any:
        return self.families[architecture.family].build(architecture, TASK, self.vocabulary)

    def backend(self, name: str, reference: Architecture | None = None, **parameters: Any) -> Any:
        """A backend with its defaults, but for what is given.

        Args:
            name: registry name.
            reference: what ratios refer to.
            parameters: that differ from the defaults.
        """
        config = self.registry.get("latency", name).spec.config(**parameters)
        context = LatencyContext(
            name,
            (),
            self.work_dir,
            self.subject(reference, "the reference") if reference is not None else None,
            build=self._build,
            flops=lambda item, tokens: self.families[item.family].flops(item, TASK, self.vocabulary, tokens),
            max_positions=self.vocabulary.max_positions,
            model_key=f"benchmark {self.vocabulary.size} {reference}",
        )
        return self.registry.create("latency", name, vars(config), context)


def options(description: str | None, backends: list[str]) -> argparse.ArgumentParser:
    """Options that all scripts have."""
    parser = script_parser(description)
    parser.add_argument("--records", type=Path, required=True, help="finished measurements; keep it to go on")
    parser.add_argument("--work", type=Path, help="scratch folder; default: beside the records")
    parser.add_argument("--backends", nargs="+", default=backends)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--length", type=int, default=128, help="tokens per sequence, at batch 1")
    parser.add_argument("--seconds", type=float, default=4.0, help="for one model at most")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to see whether it runs")
    return parser


def models_of(given: argparse.Namespace) -> Models:
    """The models of a script's options."""
    return Models(given.work or given.records.parent / "work", tiny=given.tiny)


def size_of(given: argparse.Namespace) -> str:
    """What every measurement of a run has in common; part of the keys of its records."""
    return f"length {given.length}" + (f" threads {given.threads}" if given.threads else "")


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    return {name: value for name, value in vars(given).items() if name not in NOT_RECORDED}


def section_of(name: str, given: argparse.Namespace) -> str:
    """One section for the default number of threads, and one for each that is asked for."""
    return name + (f"_threads_{given.threads}" if given.threads else "")


def output_of(parser: argparse.ArgumentParser, given: argparse.Namespace, name: str) -> Path:
    """Where to write the results of ``name``; see `benchmarks.sections.ResultsFile.output_of`."""
    return results.output_of(parser, given, section_of(name, given), settings_of)


def write(path: Path, name: str, given: argparse.Namespace, found: Any) -> None:
    """Write the results of ``name``."""
    results.write_section(path, section_of(name, given), settings_of(given), found)


def measured(given: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """Parameters of a measuring backend from a script's options."""
    return {"lengths": given.length, "threads": given.threads, "max_seconds": given.seconds, **more}


class Clock:
    """Seconds of a block."""

    def __enter__(self) -> Clock:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._start
