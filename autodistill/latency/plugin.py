"""Registers the built-in latency backends."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.latency.configs import CommandConfig, OnnxRuntimeConfig, ReplayConfig, RooflineConfig, TorchConfig


@hookimpl
def autodistill_latency_backends() -> list[ComponentSpec]:
    """The latency backends that come with AutoDistill."""
    return [
        ComponentSpec(
            name="onnxruntime",
            target="autodistill.latency.onnxruntime:OnnxRuntimeLatency",
            config=OnnxRuntimeConfig,
            summary="Measured: the ONNX export under onnxruntime: CPU fp32 or int8, CUDA, TensorRT.",
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
            name="roofline",
            target="autodistill.latency.roofline:RooflineLatency",
            config=RooflineConfig,
            summary="Analytical: operators against a data sheet (TPU v4i, T4, H200, your own, this machine).",
        ),
        ComponentSpec(
            name="command",
            target="autodistill.latency.command:CommandLatency",
            config=CommandConfig,
            summary="Measured elsewhere: your own script times the exported model (phone, simulator, server).",
        ),
        ComponentSpec(
            name="replay",
            target="autodistill.latency.replay:ReplayLatency",
            config=ReplayConfig,
            summary="Replayed: measurements from a file, for tests and reproduction.",
        ),
    ]
