"""The conversion to ONNX alone: a transformers model in, one file with free batch and token axes out.

Used by the ``onnx`` exporter (which adds the parity check), by the ``onnxruntime`` latency backend and by references.
Attention is written out as matrix products ("eager") for the conversion: onnxruntime runs that graph faster than the
decomposed fused operator, and it converts in half the time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.errors import ExportError
from autodistill.exporters.parity import accepted_columns

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

#: What torch's tracer says about every transformers model, whatever is exported; parity checks are the real guard.
_EXPECTED_WARNINGS = (
    (DeprecationWarning, "You are using the legacy TorchScript-based ONNX export"),
    (DeprecationWarning, "The feature will be removed. Please remove usage of this function"),
    (UserWarning, "Exporting aten::index operator of advanced indexing"),
    (UserWarning, "Constant folding - Only steps=1 can be constant folded"),
)


#: Operators of ONNX and onnxruntime that multiply quantised weights.
_QUANTISED = {"MatMulInteger", "QLinearMatMul", "DynamicQuantizeMatMul", "QGemm", "MatMulNBits"}


def export_onnx(model: PreTrainedModel, path: Path, *, opset: int) -> None:
    """Write ``model`` as ONNX: the columns it takes of input_ids, attention_mask, token_type_ids -> logits.

    The model is left as it was (mode, attention implementation).

    Args:
        model: any transformers model with outputs as `autodistill.training.features.head_outputs` knows them (of
            question answering start and end together, of an encoder its sentence embedding), on the CPU.
        path: file to write; its directory exists.
        opset: ONNX operator set.

    Raises:
        ExportError: the model has no logits, or torch cannot convert it.
    """
    import torch

    columns = accepted_columns(model)
    example = _example(columns)
    with _prepared(model):
        axes = _free_axes(model, columns, example)
        with _expected_warnings_silenced():
            try:
                torch.onnx.export(
                    _logits_only(model, columns).eval(),
                    example,
                    str(path),
                    input_names=list(columns),
                    output_names=["logits"],
                    dynamic_axes=axes,
                    opset_version=opset,
                    dynamo=False,
                )
            except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
                raise ExportError(
                    f"{type(model).__name__} cannot be written as ONNX (opset {opset}): {error}"
                ) from error


def _example(columns: tuple[str, ...]) -> tuple[torch.Tensor, ...]:
    """Two sequences of three tokens, one of them padded; sizes that no dimension of a model is mistaken for."""
    import torch

    values = {
        "input_ids": torch.tensor([[2, 3, 4], [2, 3, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
        "token_type_ids": torch.zeros(2, 3, dtype=torch.int64),
    }
    return tuple(values[name] for name in columns)


def _free_axes(
    model: PreTrainedModel, columns: tuple[str, ...], example: tuple[torch.Tensor, ...]
) -> dict[str, dict[int, str]]:
    import torch

    from autodistill.training.features import head_outputs

    with torch.inference_mode():
        output = model(**dict(zip(columns, example, strict=True)))
    logits = head_outputs(output, example[columns.index("attention_mask")])
    if logits is None:
        raise ExportError(
            f"{type(model).__name__} has no logits to export; its outputs are {', '.join(output.keys())}."
        )
    free = {0: "batch", 1: "tokens"}
    per_token = logits.ndim == 3  # batch x tokens x classes
    return dict.fromkeys(columns, free) | {"logits": free if per_token else {0: "batch"}}


def _logits_only(model: PreTrainedModel, columns: tuple[str, ...]) -> torch.nn.Module:
    import torch

    from autodistill.training.features import head_outputs

    class LogitsOnly(torch.nn.Module):
        """Positional columns in, the head's outputs out."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            named = dict(zip(columns, inputs, strict=True))
            logits: torch.Tensor | None = head_outputs(self.model(**named), named["attention_mask"])
            if logits is None:
                raise ExportError(f"{type(self.model).__name__} has no logits to export.")
            return logits

    return LogitsOnly()


@contextmanager
def _prepared(model: PreTrainedModel) -> Iterator[None]:
    """Eval mode and eager attention for the time of the block."""
    config: Any = model.config
    training, attention = model.training, config._attn_implementation
    model.eval()
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = attention
        model.train(training)


@contextmanager
def _expected_warnings_silenced() -> Iterator[None]:
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        for category, message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        yield


def is_quantised(path: Path) -> bool:
    """Whether an ONNX file multiplies quantised weights: by operators for it, or dequantised before (QDQ form).

    Raises:
        ExportError: it is no ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except DecodeError as error:
        raise ExportError(f"{path} is no ONNX file, or a broken one: {error}") from error
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    return any(
        node.op_type in _QUANTISED or (node.op_type == "DequantizeLinear" and node.input[0] in constants)
        for node in graph.node
    )
