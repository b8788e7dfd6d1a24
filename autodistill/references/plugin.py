"""Registers the built-in references; data only."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.references.configs import TeacherInt8Config, TfidfLinearConfig


@hookimpl
def autodistill_references() -> list[ComponentSpec]:
    """Register ``tfidf_linear`` and ``teacher_int8``."""
    return [
        ComponentSpec(
            name="tfidf_linear",
            target="autodistill.references.tfidf_linear:TfidfLinear",
            config=TfidfLinearConfig,
            summary="Logistic regression on TF-IDF of words and word pairs; trained on the labels alone.",
            requires=("sklearn",),
            install_hint="pip install scikit-learn",
        ),
        ComponentSpec(
            name="teacher_int8",
            target="autodistill.references.teacher_int8:TeacherInt8",
            config=TeacherInt8Config,
            summary="The fine-tuned teacher with 8-bit weights (onnxruntime's dynamic quantisation), no training.",
            requires=("onnx", "onnxruntime"),
            install_hint="pip install onnx onnxruntime",
        ),
    ]
