"""Runners: one runtime each, as the worker process sees it.

A runner class is built with ``(path, setup)``, prepares requests and runs them to their end. A plugin's backend may
name its own class; each imports its runtime when it is built, so that a worker holds one runtime only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Inputs = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a runner must heed.

    Args:
        batch_size: sequences per request.
        lengths: tokens of each request.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``int8``.
        threads: CPU threads.
        device: ``cpu`` or ``cuda``.
        options: the backend's own.
        device_name: what reports call the device, unless the runner's facts know better.
    """

    batch_size: int
    lengths: tuple[int, ...]
    precision: str
    threads: int
    device: str
    options: Mapping[str, Any] = field(default_factory=dict)
    device_name: str = ""


class Runner(Protocol):
    """A loaded model; built as ``Class(path, setup)``."""

    def prepare(self, inputs: Inputs) -> Any:
        """Turn ``batch x tokens`` arrays into what `run` takes."""
        ...

    def run(self, request: Any) -> None:
        """Answer one request; return when the answer is there."""
        ...

    def facts(self) -> dict[str, Any]:
        """``versions`` (mapping); ``device`` (its name), ``peak_memory_bytes`` and ``precision`` (what it really
        computes in) where the runtime knows better.
        """
        ...


class AnsweringRunner(Runner, Protocol):
    """The runner of a backend that also tells what models answer."""

    def logits(self, inputs: Inputs) -> NDArray[Any]:
        """The outputs of the head for ``batch x tokens`` arrays."""
        ...


#: Execution provider's short name -> onnxruntime's name.
PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxRuntimeRunner:
    """An ONNX file under onnxruntime; ``options["provider"]`` is a key of `PROVIDERS`, the device's by default.

    A request includes the way of its tokens to a GPU and of its answer back.
    """

    def __init__(self, path: Path, setup: Setup) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setup.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        provider = PROVIDERS[setup.options.get("provider") or setup.device]
        if provider not in onnxruntime.get_available_providers():
            raise RuntimeError(
                f"onnxruntime {onnxruntime.__version__} was built without {provider}; it has "
                f"{', '.join(onnxruntime.get_available_providers())}. Install it: pip install onnxruntime-gpu"
            )
        chosen = with_options(provider, setup.precision)
        self._session = onnxruntime.InferenceSession(str(path), options, providers=chosen)
        # onnxruntime falls back to the CPU when a provider's libraries do not load, and would be timed there.
        if self._session.get_providers()[0] != provider:
            raise RuntimeError(
                f"{provider} of onnxruntime {onnxruntime.__version__} could not be loaded: its libraries are missing "
                "or do not fit the driver. Install CUDA, cuDNN (and TensorRT) of the versions that onnxruntime names."
            )
        self._names = [node.name for node in self._session.get_inputs()]
        self._version: str = onnxruntime.__version__

    def prepare(self, inputs: Inputs) -> Any:
        """The columns that the model takes."""
        return {name: inputs[name] for name in self._names}

    def run(self, request: Any) -> None:
        """Answer one request."""
        self._session.run(None, request)

    def logits(self, inputs: Inputs) -> NDArray[Any]:
        """The outputs of the head."""
        found: NDArray[Any] = self._session.run(["logits"], self.prepare(inputs))[0]
        return found

    def facts(self) -> dict[str, Any]:
        """The runtime's version."""
        return {"versions": {"onnxruntime": self._version, "numpy": np.__version__}}


def with_options(provider: str, precision: str) -> list[tuple[str, dict[str, str]]]:
    """Execution providers of onnxruntime with their options: fp32 is computed in fp32, as PyTorch does, not in TF32.

    Args:
        provider: onnxruntime's name of it.
        precision: of the workload.
    """
    exact = (PROVIDERS["cuda"], {"use_tf32": "0"})
    if provider == PROVIDERS["cuda"]:
        return [exact]
    if provider != PROVIDERS["tensorrt"]:
        return [(provider, {})]
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # TensorRT's provider has no option for it
    # CUDA takes what TensorRT does not know, which would else go to the CPU.
    return [(provider, {"trt_fp16_enable": "1"} if precision == "fp16" else {}), exact]


class TorchRunner:
    """A Hugging Face directory in PyTorch; with ``options["compile"]`` compiled first.

    With ``options["cuda_graphs"]`` every request is captured once and replayed, its tokens copied in.
    """

    def __init__(self, path: Path, setup: Setup) -> None:
        import torch

        from autodistill.exporters.auto_classes import load_pretrained
        from autodistill.exporters.parity import accepted_columns

        torch.set_num_threads(setup.threads)
        torch.set_flush_denormal(True)
        self._device = setup.device
        if self._device == "cuda":  # the reference's memory is not this model's
            self._held_before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[setup.precision]
        model = load_pretrained(path)
        self._columns = accepted_columns(model)
        placed: Any = model.to(dtype=dtype).to(setup.device)
        self._model = torch.compile(placed) if setup.options.get("compile") else placed
        self._graphs = bool(setup.options.get("cuda_graphs"))

    def prepare(self, inputs: Inputs) -> Any:
        """The columns that the model takes, on the host (pinned for a GPU); a captured graph beside them."""
        import torch

        request: dict[str, Any] = {name: torch.from_numpy(inputs[name]) for name in self._columns}
        if self._device != "cuda":
            return request, None
        request = {name: column.pin_memory() for name, column in request.items()}
        return request, self._capture(request) if self._graphs else None

    def _capture(self, request: dict[str, Any]) -> Any:
        """(graph, its inputs on the device); warmed up on a side stream, as PyTorch asks for."""
        import torch

        static = {name: column.to(self._device) for name, column in request.items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(3):  # PyTorch's own example warms up so often
                self._model(**static)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph):
            output = self._model(**static)
        return graph, static, output

    def run(self, request: Any) -> None:
        """Answer one request: tokens to the device, the model, and wait for the device."""
        import torch

        columns, captured = request
        with torch.inference_mode():
            if captured is not None:
                graph, static, _ = captured
                for name, column in columns.items():
                    static[name].copy_(column, non_blocking=True)
                graph.replay()
            elif self._device == "cuda":
                self._model(**{name: column.to(self._device, non_blocking=True) for name, column in columns.items()})
            else:
                self._model(**columns)
        if self._device == "cuda":
            torch.cuda.synchronize()

    def logits(self, inputs: Inputs) -> NDArray[Any]:
        """The outputs of the head, float32."""
        import torch

        from autodistill.training.features import head_outputs

        columns = {name: torch.from_numpy(inputs[name]).to(self._device) for name in self._columns}
        with torch.inference_mode():
            outputs = head_outputs(self._model(**columns), columns["attention_mask"])
        if outputs is None:
            raise RuntimeError("the model has no outputs that could be told")
        found: NDArray[Any] = outputs.float().cpu().numpy()
        return found

    def facts(self) -> dict[str, Any]:
        """Versions, and on a GPU its name and the peak of what this model has allocated there."""
        import torch
        import transformers

        facts: dict[str, Any] = {"versions": {"torch": torch.__version__, "transformers": transformers.__version__}}
        if self._device == "cuda":
            facts["device"] = torch.cuda.get_device_name()
            facts["peak_memory_bytes"] = torch.cuda.max_memory_allocated() - self._held_before
        return facts
