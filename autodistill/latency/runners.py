"""Runners: one runtime each, as the worker process sees it.

A runner class is built with ``(path, setup)``, prepares requests and runs them to their end. A plugin's backend may
name its own class; each imports its runtime when it is built, so that a worker holds one runtime only.
"""

from __future__ import annotations

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
    """

    batch_size: int
    lengths: tuple[int, ...]
    precision: str
    threads: int
    device: str
    options: Mapping[str, Any] = field(default_factory=dict)


class Runner(Protocol):
    """A loaded model; built as ``Class(path, setup)``."""

    def prepare(self, inputs: Inputs) -> Any:
        """Turn ``batch x tokens`` arrays into what `run` takes."""
        ...

    def run(self, request: Any) -> None:
        """Answer one request; return when the answer is there."""
        ...

    def facts(self) -> dict[str, Any]:
        """``versions`` (mapping); ``device`` (its name) and ``peak_memory_bytes`` where the runtime knows better."""
        ...


class OnnxRuntimeRunner:
    """An ONNX file under onnxruntime's CPU provider."""

    def __init__(self, path: Path, setup: Setup) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setup.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = [node.name for node in self._session.get_inputs()]
        self._version: str = onnxruntime.__version__

    def prepare(self, inputs: Inputs) -> Any:
        """The columns that the model takes."""
        return {name: inputs[name] for name in self._names}

    def run(self, request: Any) -> None:
        """Answer one request."""
        self._session.run(None, request)

    def facts(self) -> dict[str, Any]:
        """The runtime's version."""
        return {"versions": {"onnxruntime": self._version, "numpy": np.__version__}}


class TorchRunner:
    """A Hugging Face directory in PyTorch; with ``options["compile"]`` compiled first."""

    def __init__(self, path: Path, setup: Setup) -> None:
        import torch

        from autodistill.exporters.auto_classes import load_pretrained
        from autodistill.exporters.parity import accepted_columns

        torch.set_num_threads(setup.threads)
        torch.set_flush_denormal(True)
        self._device = setup.device
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[setup.precision]
        model = load_pretrained(path)
        self._columns = accepted_columns(model)
        placed: Any = model.to(dtype=dtype).to(setup.device)
        self._model = torch.compile(placed) if setup.options.get("compile") else placed
        if self._device == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def prepare(self, inputs: Inputs) -> Any:
        """The columns that the model takes, as tensors on the device."""
        import torch

        return {name: torch.from_numpy(inputs[name]).to(self._device) for name in self._columns}

    def run(self, request: Any) -> None:
        """Answer one request and wait for the device."""
        import torch

        with torch.inference_mode():
            self._model(**request)
        if self._device == "cuda":
            torch.cuda.synchronize()

    def facts(self) -> dict[str, Any]:
        """Versions, and on a GPU its name and the peak of its allocated memory."""
        import torch
        import transformers

        facts: dict[str, Any] = {"versions": {"torch": torch.__version__, "transformers": transformers.__version__}}
        if self._device == "cuda":
            facts["device"] = torch.cuda.get_device_name()
            facts["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
        return facts
