"""Registers the built-in teachers; data only."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.teachers.configs import HuggingFaceTeacherConfig, IBBertTeacherConfig


@hookimpl
def autodistill_teachers() -> list[ComponentSpec]:
    """Register ``huggingface`` and ``ib_bert``."""
    return [
        ComponentSpec(
            name="huggingface",
            target="autodistill.teachers.huggingface:HuggingFaceTeacher",
            config=HuggingFaceTeacherConfig,
            summary="A transformers model from a directory; without one, the packaged all-MiniLM-L6-v2.",
        ),
        ComponentSpec(
            name="ib_bert",
            target="autodistill.teachers.ib_bert:IBBertTeacher",
            config=IBBertTeacherConfig,
            summary="IB-BERT, MobileBERT's teacher, as an architecture that learns the task from a random start.",
        ),
    ]
