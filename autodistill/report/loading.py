"""How to load a pick: code that a reader can copy from the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autodistill.report import tables

#: Task kind -> transformers' Auto class.
AUTO_CLASSES: Mapping[str, str] = {
    "classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "question_answering": "AutoModelForQuestionAnswering",
    "mlm": "AutoModelForMaskedLM",
}


def snippets(pick: Mapping[str, Any], task_kind: str) -> list[str]:
    """Python for every way to load ``pick``: transformers first, then the first ONNX file.

    Args:
        pick: a pick of the summary.
        task_kind: ``task.kind`` of the summary; unknown kinds load the bare model.
    """
    directory = tables.mapping(pick, "paths").get("hf")
    if not directory:
        return []
    found = [_transformers(str(directory), AUTO_CLASSES.get(task_kind, "AutoModel"))]
    files = [str(export.get("path", "")) for export in tables.entries(pick, "exports")]
    found.extend(_onnxruntime(str(directory), file) for file in [file for file in files if file.endswith(".onnx")][:1])
    return found


def _transformers(directory: str, auto_class: str) -> str:
    return (
        f"from transformers import (\n    {auto_class},\n    AutoTokenizer,\n)\n\n"
        f"folder = {_literal(directory)}\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        f"model = {auto_class}.from_pretrained(\n    folder\n)\n"
        'inputs = tokenizer("some text", return_tensors="pt")\n'
        "outputs = model(**inputs)"
    )


def _onnxruntime(directory: str, file: str) -> str:
    return (
        "import onnxruntime\nfrom transformers import AutoTokenizer\n\n"
        f"folder = {_literal(directory)}\n"
        f"file = {_literal(file)}\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        "session = onnxruntime.InferenceSession(file)\n"
        'inputs = tokenizer("some text", return_tensors="np")\n'
        "names = [entry.name for entry in session.get_inputs()]\n"
        "outputs = session.run(\n    None, {name: inputs[name] for name in names}\n)"
    )


def _literal(path: str) -> str:
    """``path`` as a Python string in double quotes; JSON's escapes are Python's."""
    return json.dumps(path)
