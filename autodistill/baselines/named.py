"""Baselines with published sizes: `tinybert_4l`, `minilm_6l`, `distilbert_6l` and `mobilebert`.

Only the architecture is theirs; the initialisation, data and recipe are the study's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autodistill.components.architecture import Architecture
from autodistill.components.students import BaselineContext, NamedArchitecture


class PublishedArchitecture:
    """A fixed architecture from the literature.

    Args:
        context: gives the label, which is the name in reports.
    """

    family: str
    choices: Mapping[str, int]

    def __init__(self, context: BaselineContext) -> None:
        self.context = context

    def architectures(self) -> Sequence[NamedArchitecture]:
        """The one architecture, named like its label."""
        return [NamedArchitecture(self.context.label, Architecture(self.family, self.choices))]


class TinyBert4Layer(PublishedArchitecture):
    """TinyBERT-4 (Jiao et al. 2020, arXiv 1909.10351): 4 layers, width 312, feed-forward 1200, 12 heads."""

    family = "bert"
    choices = {"num_layers": 4, "hidden_size": 312, "num_heads": 12, "intermediate_size": 1200}  # noqa: RUF012


class MiniLm6Layer(PublishedArchitecture):
    """MiniLM-L6-H384 (Wang et al. 2020, arXiv 2002.10957): 6 layers, width 384, feed-forward 1536, 12 heads."""

    family = "bert"
    choices = {"num_layers": 6, "hidden_size": 384, "num_heads": 12, "intermediate_size": 1536}  # noqa: RUF012


class DistilBert6Layer(PublishedArchitecture):
    """DistilBERT (Sanh et al. 2019, arXiv 1910.01108): 6 layers, width 768, feed-forward 3072, 12 heads."""

    family = "bert"
    choices = {"num_layers": 6, "hidden_size": 768, "num_heads": 12, "intermediate_size": 3072}  # noqa: RUF012


class MobileBert24Layer(PublishedArchitecture):
    """MobileBERT (Sun et al. 2020, arXiv 2004.02984): 24 layers, width 512, bottleneck 128, 4 heads, 4 networks."""

    family = "mobilebert"
    choices = {  # noqa: RUF012
        "num_layers": 24,
        "hidden_size": 512,
        "bottleneck_size": 128,
        "num_heads": 4,
        "intermediate_size": 512,
        "num_ffn": 4,
    }
