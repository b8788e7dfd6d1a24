"""The reference ``teacher_int8``: the fine-tuned teacher after onnxruntime's dynamic quantisation, no training.

A student that is not better than this at the same latency is not worth its distillation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from autodistill.components.students import ReferenceContext, ReferenceResult
from autodistill.exporters.onnx_export import export_onnx
from autodistill.exporters.onnx_session import quantise_onnx, run_onnx

#: Columns that an encoder may take.
COLUMNS = ("input_ids", "attention_mask", "token_type_ids")

#: How files are loaded: from the directory alone, without code of its own.
SAFE: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}


class TeacherInt8:
    """The teacher with weights as int8 and activations quantised as they come.

    Args:
        context: task, splits and the fine-tuned teacher's directory.
        opset: ONNX operator set.
        batch_size: examples per batch when it predicts.
        threads: CPU threads when it predicts.
    """

    def __init__(self, context: ReferenceContext, *, opset: int, batch_size: int, threads: int) -> None:
        self.context = context
        self.opset = opset
        self.batch_size = batch_size
        self.threads = threads

    def available(self) -> str | None:
        """None for tasks with one answer per text, else the reason."""
        kind = self.context.task.kind
        return None if kind in ("classification", "regression") else f"teacher_int8 cannot answer tasks of kind {kind}"

    def measure(self) -> ReferenceResult:
        """Export, quantise and predict select and test.

        Raises:
            ExportError: torch or onnxruntime cannot convert or run the teacher.
        """
        path, parameters = self._quantised()
        roles = [role for role in ("select", "test") if role in self.context.splits]
        tokenizer = AutoTokenizer.from_pretrained(self.context.teacher_dir, **SAFE)
        return ReferenceResult(
            name=self.context.label,
            logits={role: self._predict(path, tokenizer, role) for role in roles},
            parameters=parameters,
            onnx_path=path,
            notes={"bytes": path.stat().st_size, "precision": "int8", "quantisation": "dynamic, int8 weights"},
        )

    def _quantised(self) -> tuple[Path, int]:
        model = AutoModelForSequenceClassification.from_pretrained(
            self.context.teacher_dir, use_safetensors=True, **SAFE
        )
        self.context.work_dir.mkdir(parents=True, exist_ok=True)
        full, path = self.context.work_dir / "teacher.onnx", self.context.work_dir / "teacher_int8.onnx"
        export_onnx(model.float().eval(), full, opset=self.opset)
        quantise_onnx(full, path)
        full.unlink()
        return path, sum(parameter.numel() for parameter in model.parameters())

    def _predict(self, path: Path, tokenizer: PreTrainedTokenizerBase, role: str) -> NDArray[np.float32]:
        """Logits in the split's order: ``examples x classes``."""
        encoded = self._encode(tokenizer, role)
        order = np.argsort([len(ids) for ids in encoded["input_ids"]], kind="stable")
        rows = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        batches = [padded(encoded, chunk, int(tokenizer.pad_token_id)) for chunk in rows]
        answers = np.concatenate(run_onnx(path, batches, threads=self.threads)).astype(np.float32)
        logits = np.empty_like(answers)
        logits[order] = answers
        return logits

    def _encode(self, tokenizer: Any, role: str) -> Mapping[str, list[list[int]]]:
        split = self.context.splits[role]
        texts = [list(split[name]) for name in self.context.task.text_columns]
        encoded: Mapping[str, list[list[int]]] = tokenizer(
            *texts,
            truncation=True,
            max_length=self.context.max_length,
            padding=False,
            return_attention_mask=True,
        )
        return encoded


def padded(encoded: Mapping[str, list[list[int]]], rows: Iterable[int], pad: int) -> dict[str, NDArray[np.int64]]:
    """Some examples as arrays ``batch x tokens``, each padded to the longest of them."""
    rows = list(rows)
    length = max(len(encoded["input_ids"][row]) for row in rows)
    batch = {name: np.full((len(rows), length), pad if name == "input_ids" else 0) for name in COLUMNS}
    for name, array in batch.items():
        for index, row in enumerate(rows):
            if name in encoded:  # a tokeniser that tells no segments leaves them all 0
                array[index, : len(encoded[name][row])] = encoded[name][row]
    return batch
