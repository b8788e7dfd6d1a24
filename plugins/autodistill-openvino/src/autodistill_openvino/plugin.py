"""What this plugin registers. Data only: the implementation is named by a string and imported on first use."""

from __future__ import annotations

from autodistill import ComponentSpec, hookimpl
from autodistill_openvino.configs import OpenVinoConfig


@hookimpl
def autodistill_latency_backends() -> list[ComponentSpec]:
    """Register the backend."""
    return [
        ComponentSpec(
            name="openvino",
            target="autodistill_openvino._backend:OpenVinoLatency",
            config=OpenVinoConfig,
            summary="Measured: the ONNX export under OpenVINO on this machine's CPU, fp32, bf16 or int8.",
            requires=("openvino",),
            install_hint="pip install openvino",
        )
    ]
