"""What a sentence encoder makes of its tokens' states, as sentence-transformers writes it beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodistill.errors import TeacherError
from autodistill.teachers.files import read_json

#: Modules that change nothing but the length of a vector, which is 1 here.
HARMLESS = frozenset({"Transformer", "Normalize"})

#: Names of the pooling that is used here; the second differs by a factor, and vectors have unit length.
MEAN = frozenset({"mean", "mean_sqrt_len_tokens", "mean_tokens"})


def check_mean_pooling(directory: Path, name: str) -> None:
    """Refuse a sentence encoder whose sentence embedding is not the mean of its tokens' states.

    Args:
        directory: of the model. Without files of sentence-transformers nothing is known, and the mean is taken.
        name: of the teacher, for messages.

    Raises:
        TeacherError: it takes another pooling, or changes the mean by further layers.
    """
    for kind, folder in _modules(directory):
        if kind in HARMLESS:
            continue
        file = directory / folder / "config.json"
        if kind != "Pooling":
            found = f"has a layer {kind} behind its pooling ({directory / 'modules.json'})"
        elif not file.is_file():
            found = f"has a pooling that nothing describes ({file} is missing)"
        elif (modes := _modes(read_json(file, dict))) <= MEAN and modes:
            continue
        else:
            found = f"makes sentence embeddings by the pooling {' and '.join(sorted(modes)) or '(none)'} ({file})"
        raise TeacherError(
            f"The teacher {name} {found}, but students learn the mean of its tokens' states, which would not be "
            "this model's embedding. Use a sentence encoder that takes the mean of its tokens "
            "(all-MiniLM, all-mpnet, e5, gte, ...)."
        )


def _modules(directory: Path) -> list[tuple[str, str]]:
    """(class, folder) of every module of sentence-transformers, in order."""
    if (directory / "modules.json").is_file():
        modules = read_json(directory / "modules.json", list)
        return [(str(module.get("type")).rpartition(".")[2], str(module.get("path"))) for module in modules]
    return [("Pooling", "1_Pooling")] if (directory / "1_Pooling" / "config.json").is_file() else []


def _modes(config: Mapping[str, Any]) -> set[str]:
    """Poolings that are joined: one text in new files, one truth value each in older ones."""
    if isinstance(config.get("pooling_mode"), str):
        return {config["pooling_mode"]}
    prefix = "pooling_mode_"
    return {key.removeprefix(prefix) for key, value in config.items() if key.startswith(prefix) and value is True}
