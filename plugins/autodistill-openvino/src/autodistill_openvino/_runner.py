"""OpenVINO as the worker process sees it; see `autodistill.latency.runners`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodistill.latency.runners import Inputs, Setup


class OpenVinoRunner:
    """An ONNX file compiled by OpenVINO for the CPU, one stream, tuned for latency."""

    def __init__(self, path: Path, setup: Setup) -> None:
        import openvino

        core = openvino.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(setup.threads),
            "INFERENCE_PRECISION_HINT": "bf16" if setup.precision == "bf16" else "f32",
            "CPU_DENORMALS_OPTIMIZATION": "YES",
        }
        compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
        self._request = compiled.create_infer_request()
        self._names = [port.get_any_name() for port in compiled.inputs]
        self._version: str = openvino.__version__

    def prepare(self, inputs: Inputs) -> Any:
        """The columns that the model takes, as tensors that share their memory."""
        import openvino

        return {name: openvino.Tensor(inputs[name], shared_memory=True) for name in self._names}

    def run(self, request: Any) -> None:
        """Answer one request."""
        self._request.infer(request)

    def facts(self) -> dict[str, Any]:
        """The runtime's version."""
        return {"versions": {"openvino": self._version}}
