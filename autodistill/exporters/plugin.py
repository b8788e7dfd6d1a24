"""Registers the built-in exporters."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.exporters.configs import HuggingFaceConfig, OnnxConfig
from autodistill.hookspecs import hookimpl


@hookimpl
def autodistill_exporters() -> list[ComponentSpec]:
    """The exporters that come with AutoDistill."""
    return [
        ComponentSpec(
            name="huggingface",
            target="autodistill.exporters.huggingface:HuggingFaceExporter",
            config=HuggingFaceConfig,
            summary="Directory with safetensors and tokeniser, loaded by transformers' Auto classes.",
        ),
        ComponentSpec(
            name="onnx",
            target="autodistill.exporters.onnx:OnnxExporter",
            config=OnnxConfig,
            summary="One ONNX file with free batch and token axes, checked against onnxruntime.",
            requires=("onnx", "onnxruntime"),
            install_hint="pip install onnx onnxruntime",
        ),
    ]
