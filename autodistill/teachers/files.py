"""Files of a model directory: which must be there, what they hold and their digests; no weights are loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodistill.errors import TeacherError

#: Formats that can run code when they are read; never opened.
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.bin", "pytorch_model.pt")

#: Files that define a tokeniser; those that exist enter the fingerprint.
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
)


@dataclass(frozen=True)
class ModelFiles:
    """A model directory that holds what it must.

    Args:
        directory: where it is.
        weights: safetensors files, one or several shards.
    """

    directory: Path
    weights: tuple[Path, ...]

    @classmethod
    def find(cls, directory: Path) -> ModelFiles:
        """Look into a directory.

        Raises:
            TeacherError: no config.json, no tokeniser, no weights, or weights in a format that is refused.
        """
        if not (directory / "config.json").is_file():
            raise TeacherError(
                f"The teacher's directory {directory} has no config.json. It must hold config.json, model.safetensors "
                "and the files of its tokeniser, as save_pretrained of transformers writes them."
            )
        weights = _weight_files(directory)
        if not any((directory / name).is_file() for name in TOKENIZER_FILES):
            raise TeacherError(
                f"The teacher's directory {directory} has no tokeniser (none of {', '.join(TOKENIZER_FILES)}). "
                "Save it there with tokenizer.save_pretrained."
            )
        return cls(directory, weights)

    @property
    def config(self) -> dict[str, Any]:
        """The content of config.json.

        Raises:
            TeacherError: it is not a JSON object.
        """
        content: dict[str, Any] = read_json(self.directory / "config.json", dict)
        return content

    def weights_digest(self) -> str:
        """SHA-256 of the weights: of the file when there is one, of the shards' digests when there are several."""
        digests = [file_digest(path) for path in self.weights]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    def fingerprint(self) -> str:
        """SHA-256 over the digests of weights, configuration and tokeniser."""
        parts = [self.weights_digest(), *_digests(self.directory, "config.json"), *tokenizer_digests(self.directory)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def tokenizer_digests(directory: Path) -> list[str]:
    """``NAME:SHA-256`` of every file in a directory that decides what its tokeniser does."""
    return _digests(directory, "tokenizer_config.json", *TOKENIZER_FILES)


def _digests(directory: Path, *names: str) -> list[str]:
    return [f"{name}:{file_digest(directory / name)}" for name in names if (directory / name).is_file()]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _weight_files(directory: Path) -> tuple[Path, ...]:
    single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if single.is_file():
        return (single,)
    if index.is_file():
        return _shards(directory, sorted(set(read_json(index, dict).get("weight_map", {}).values())))
    pickled = [name for name in PICKLED if (directory / name).is_file()]
    if pickled:
        raise TeacherError(
            f"The teacher's directory {directory} has its weights in {pickled[0]}, a pickle, which can run any code "
            "when it is opened; only model.safetensors is read. If you trust its source, load it yourself and save it "
            "again with model.save_pretrained."
        )
    raise TeacherError(f"The teacher's directory {directory} has no weights: model.safetensors is missing.")


def _shards(directory: Path, names: Sequence[str]) -> tuple[Path, ...]:
    missing = [name for name in names if not (directory / name).is_file()]
    if missing or not names:
        raise TeacherError(
            f"The teacher's directory {directory} lacks {', '.join(missing) or 'the shards'} "
            "that its model.safetensors.index.json names. Copy or download it anew."
        )
    return tuple(directory / name for name in names)


def read_json(path: Path, expected: type) -> Any:
    """The content of one of the teacher's files.

    Args:
        path: of the file.
        expected: ``dict`` or ``list``.

    Raises:
        TeacherError: it is no JSON, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TeacherError(f"{path} of the teacher is not valid JSON: {error}.") from error
    if not isinstance(content, expected):
        wanted = "a JSON list" if expected is list else "a JSON object"
        raise TeacherError(f"{path} of the teacher must hold {wanted}, got {type(content).__name__}.")
    return content
