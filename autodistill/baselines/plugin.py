"""Registers the built-in baselines; data only."""

from __future__ import annotations

from autodistill.baselines.configs import PublishedArchitectureConfig, TeacherTruncatedConfig, UniformScalingConfig
from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl

_PUBLISHED = {
    "distilbert_6l": ("DistilBert6Layer", "DistilBERT's sizes: 6 layers of width 768 (arXiv 1910.01108)."),
    "minilm_6l": ("MiniLm6Layer", "MiniLM's sizes: 6 layers of width 384 (arXiv 2002.10957)."),
    "mobilebert": ("MobileBert24Layer", "MobileBERT's sizes: 24 layers of width 512 and 128 (arXiv 2004.02984)."),
    "tinybert_4l": ("TinyBert4Layer", "TinyBERT's sizes: 4 layers of width 312 (arXiv 1909.10351)."),
}


@hookimpl
def autodistill_baselines() -> list[ComponentSpec]:
    """Register the baselines of this package."""
    published = [
        ComponentSpec(
            name=name,
            target=f"autodistill.baselines.named:{attribute}",
            config=PublishedArchitectureConfig,
            summary=summary,
        )
        for name, (attribute, summary) in _PUBLISHED.items()
    ]
    return [
        ComponentSpec(
            name="teacher_truncated",
            target="autodistill.baselines.teacher_truncated:TeacherTruncated",
            config=TeacherTruncatedConfig,
            summary="The teacher with fewer layers, all else equal.",
        ),
        ComponentSpec(
            name="uniform_scaling",
            target="autodistill.baselines.uniform_scaling:UniformScaling",
            config=UniformScalingConfig,
            summary="The teacher scaled by one knob in depth, width, heads and feed-forward width: a curve.",
        ),
        *published,
    ]
