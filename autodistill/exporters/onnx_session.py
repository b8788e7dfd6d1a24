"""What needs onnxruntime, run in a fresh process: two runtimes in one process fight over threads.

`run_onnx` and `quantise_onnx` are what others call; ``python -m autodistill.exporters.onnx_session`` is the process.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autodistill.errors import ExportError
from autodistill.exporters.batch_files import Array, read_answers, read_batches, write_answers, write_batches
from autodistill.lifeline import run_apart, text_of

#: Lines of the process's stderr that an error shows.
_SHOWN_LINES = 5


def run_onnx(path: Path, batches: Sequence[Mapping[str, Any]], *, threads: int) -> list[Array]:
    """Logits of an ONNX model for every batch, computed by onnxruntime in a process of its own.

    Args:
        path: the model.
        batches: column -> ``batch x tokens`` int64 arrays; columns that the model does not take are left out.
        threads: CPU threads.

    Raises:
        ExportError: onnxruntime cannot load or run the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        write_batches(inputs, batches)
        _call(f"onnxruntime cannot run {path.name}", "run", path, inputs, outputs, threads)
        return read_answers(outputs)


def quantise_onnx(source: Path, target: Path) -> None:
    """Write ``target``: ``source`` with weights as int8 and activations quantised as they come (dynamic).

    Raises:
        ExportError: onnxruntime cannot quantise the model.
    """
    _call(f"onnxruntime cannot quantise {source.name}", "quantise", source, target)


def _call(what: str, *arguments: object) -> None:
    command = [sys.executable, "-m", __name__, *map(str, arguments)]
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
        status = run_apart(command, printed=printed, said=said, environment=package_environment())
        if status:
            lines = "\n".join(text_of(said).strip().splitlines()[-_SHOWN_LINES:])
            raise ExportError(f"{what} (exit status {status}):\n{lines}")


def package_environment() -> dict[str, str]:
    """The environment for a child process that must find this package, installed or not."""
    import autodistill

    root = str(Path(autodistill.__file__).parent.parent)
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path}


def _run(model: str, inputs: str, outputs: str, threads: str) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    wanted = [node.name for node in session.get_inputs()]
    answers = [
        session.run(["logits"], {name: batch[name] for name in wanted})[0] for batch in read_batches(Path(inputs))
    ]
    write_answers(Path(outputs), answers)


def _quantise(source: str, target: str) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QInt8)


def main(arguments: Sequence[str]) -> None:
    """Do what the command line says: ``run MODEL INPUTS OUTPUTS THREADS`` or ``quantise SOURCE TARGET``."""
    commands: dict[str, Callable[..., None]] = {"run": _run, "quantise": _quantise}
    commands[arguments[0]](*arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
