"""Registers the built-in latency backends."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.latency.configs import OnnxRuntimeConfig, ReplayConfig, TorchConfig


@hookimpl
def autodistill_latency_backends() -> list[ComponentSpec]:
    """The latency backends that come with AutoDistill."""
    return [
        ComponentSpec(
            name="onnxruntime",
            target="autodistill.latency.onnxruntime:OnnxRuntimeLatency",
            config=OnnxRuntimeConfig,
            summary="Measured: the ONNX export under onnxruntime on this machine's CPU, fp32 or int8.",
            requires=("onnx", "onnxruntime"),
            install_hint="pip install onnx onnxruntime",
        ),
        ComponentSpec(
            name="torch",
            target="autodistill.latency.torch:TorchLatency",
            config=TorchConfig,
            summary="Measured: the transformers model in PyTorch on this machine's CPU or GPU.",
        ),
        ComponentSpec(
            name="replay",
            target="autodistill.latency.replay:ReplayLatency",
            config=ReplayConfig,
            summary="Replayed: measurements from a file, for tests and reproduction.",
        ),
    ]
