"""Which of transformers' Auto classes loads a model, told by the name of its class."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.errors import ExportError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: End of a model class's name -> name of the Auto class.
AUTO_CLASSES = {
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForQuestionAnswering": "AutoModelForQuestionAnswering",
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForCausalLM": "AutoModelForCausalLM",
    "Model": "AutoModel",
}


def auto_class(class_name: str) -> Any:
    """The Auto class for a model class's name, e.g. ``"BertForSequenceClassification"``.

    Raises:
        ExportError: no Auto class is known for it.
    """
    import transformers

    for ending, name in AUTO_CLASSES.items():
        if class_name.endswith(ending):
            return getattr(transformers, name)
    raise ExportError(
        f"No Auto class of transformers is known for {class_name!r}; "
        f"known are classes whose name ends with {', '.join(AUTO_CLASSES)}."
    )


def load_pretrained(directory: Path) -> PreTrainedModel:
    """Load a saved directory by its Auto class: local files, safetensors, no remote code; eval mode, float32.

    Weights that were saved in half precision become float32, as which they are exported, timed and scored;
    transformers by itself takes over what the file has.

    Raises:
        ExportError: ``config.json`` does not name a model class that an Auto class loads.
    """
    import torch

    architectures = json.loads((directory / "config.json").read_text()).get("architectures") or [""]
    loader = auto_class(architectures[0])
    with no_progress_bar():
        model: PreTrainedModel = loader.from_pretrained(
            directory, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    return model.eval()


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing progress bars for files of a few megabytes."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
