"""Registers the built-in student families; data only."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.students.configs import BertFamilyConfig, MobileBertFamilyConfig


@hookimpl
def autodistill_student_families() -> list[ComponentSpec]:
    """Register ``bert`` and ``mobilebert``."""
    return [
        ComponentSpec(
            name="bert",
            target="autodistill.students.bert:BertFamily",
            config=BertFamilyConfig,
            summary="Post-norm BERT encoders: depth, width, heads and feed-forward width; starts from a BERT teacher.",
        ),
        ComponentSpec(
            name="mobilebert",
            target="autodistill.students.mobilebert:MobileBertFamily",
            config=MobileBertFamilyConfig,
            summary="MobileBERT encoders: deep and thin with bottlenecks and stacked feed-forward networks.",
        ),
    ]
