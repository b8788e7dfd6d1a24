"""OpenVINO as the worker process sees it; see `autodistill.latency.runners`."""

from __future__ import annotations

from collections.abc import Sequence
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
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        taken = precision_taken(setup.precision, hint, core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        self._precision = {} if taken == setup.precision else {"precision": taken}
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

    def logits(self, inputs: Inputs) -> Any:
        """The outputs of the head."""
        self._request.infer(self.prepare(inputs))
        return self._request.get_tensor("logits").data.copy()

    def facts(self) -> dict[str, Any]:
        """The runtime's version, and the precision that it has taken where that is another than was asked for."""
        return {"versions": {"openvino": self._version}, **self._precision}


def precision_taken(asked: str, hint: str, capabilities: Sequence[str]) -> str:
    """What the runtime computes in: bf16 is only a hint, which a CPU without it answers in fp32.

    Args:
        asked: ``fp32``, ``bf16`` or ``int8`` (of the model's file, whatever the hint).
        hint: the compiled model's type of inference, as OpenVINO calls it.
        capabilities: of the device, as OpenVINO calls them.
    """
    if asked != "bf16" or (hint == "bf16" and "BF16" in capabilities):
        return asked
    return "fp32"
