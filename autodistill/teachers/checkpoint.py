"""Loading a checkpoint into a model class with the head of a task, and refusing weights that do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from autodistill.errors import TeacherError
from autodistill.students.embeddings import silence_padding


def load_checkpoint(
    model_class: Any, directory: Path, name: str, fields: Mapping[str, Any], new_head: bool, attention: str
) -> PreTrainedModel:
    """Load a model in float32 and eval mode.

    Args:
        model_class: an auto class of transformers.
        directory: with config.json and safetensors.
        name: of the teacher, for messages.
        fields: of the configuration, which take the place of the checkpoint's: those of its head, dropout.
        new_head: whether the head is meant to be new; otherwise its weights must be there too.
        attention: transformers' name of the attention implementation.

    Raises:
        TeacherError: weights are missing or left over, have other shapes or cannot be read.
    """
    try:
        with quiet():
            model, report = model_class.from_pretrained(
                directory,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation=attention,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **fields,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise TeacherError(f"The weights of the teacher {name} cannot be loaded: {error}") from error
    _check_report(model, report, name, directory, new_head)
    if new_head:
        _restart_unused_pooler(model)
    if getattr(model.config, "trigram_input", False):
        silence_padding(model.get_input_embeddings())
    model.float().eval()
    return model


def _check_report(model: Any, report: Mapping[str, Any], name: str, directory: Path, new_head: bool) -> None:
    missing = [key for key in report["missing_keys"] if not (_is_replaceable(model, key, new_head))]
    if missing:
        raise TeacherError(
            f"The weights of the teacher {name} do not fit its configuration: {_some(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing in {directory}. Its config.json or its weights are of "
            "another model."
        )
    mismatched = sorted(entry for entry in report["mismatched_keys"] if not _is_replaceable(model, entry[0], new_head))
    if mismatched:
        key, stored, wanted = mismatched[0][:3]
        raise TeacherError(
            f"The weights of the teacher {name} do not fit its configuration: {key} has the shape {tuple(stored)} in "
            f"{directory}, and config.json asks for {tuple(wanted)} ({len(mismatched)} such tensors). "
            "Its config.json or its weights are of another model."
        )
    unread = [key for key in report["unexpected_keys"] if _is_of_encoder(model, key)]
    if unread:
        raise TeacherError(
            f"The weights of the teacher {name} do not fit its configuration: {_some(unread)} "
            f"{'has' if len(unread) == 1 else 'have'} no place in the {type(model).__name__} that config.json in "
            f"{directory} describes, so that it would answer otherwise than the model that was trained. Correct "
            f"config.json; what transformers {transformers.__version__} cannot build (such as relative positions of "
            "BERT) cannot teach."
        )


def _is_replaceable(model: Any, key: str, new_head: bool) -> bool:
    """Whether a weight may start at random: a new head, and a pooler that only a new head or none reads."""
    prefix = model.base_model_prefix + "."
    headless = model.base_model is model
    if key.removeprefix(prefix).startswith("pooler."):
        return new_head or headless
    return new_head and key.startswith(prefix) is False and not headless


def _is_of_encoder(model: Any, key: str) -> bool:
    """Whether a tensor of the files is a weight of the encoder, not of a head, a pooler or a buffer of old versions."""
    part = key.removeprefix(model.base_model_prefix + ".").partition(".")[0]  # some are saved without the prefix
    inside = part in dict(model.base_model.named_children())  # the decoder of a Funnel is not, where it has no use
    if ".position_embeddings." in key and not getattr(model.config, "position_biased_input", True):
        return False  # DeBERTa's, which its pre-training read beside the encoder
    return inside and part != "pooler" and key.endswith((".weight", ".bias"))


@torch.no_grad()
def _restart_unused_pooler(model: Any) -> None:
    """Start a pooler that no training has touched as an orthogonal map, as part of the new head.

    Sentence encoders such as all-MiniLM-L6-v2 average tokens, and their checkpoints carry a pooler that was never
    trained: weights so small that the head behind it hardly learns. Its sign is a bias of exact zeros, the random
    start of transformers, which training never leaves in place.
    """
    dense = getattr(getattr(model.base_model, "pooler", None), "dense", None)
    if dense is not None and not dense.bias.any():
        torch.nn.init.orthogonal_(dense.weight)


@torch.no_grad()
def reorder_classes(model: PreTrainedModel, order: Sequence[int]) -> None:
    """Bring the outputs of a classification head into another order, in place.

    Args:
        model: with a head that ends in a linear layer.
        order: for each new output the old one.

    Raises:
        TeacherError: the head is of another form.
    """
    encoder = set(model.base_model.modules())
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear) and module not in encoder]
    if not linear or linear[-1].out_features != len(order):
        raise TeacherError(
            f"The head of {type(model).__name__} does not end in a linear layer with one output per class, so its "
            "classes cannot be brought into the order of the data's. Name the data's classes in the order of the "
            "checkpoint's."
        )
    for parameter in linear[-1].parameters():
        parameter.copy_(parameter[list(order)])


def dropout_fields(config: PretrainedConfig, share: float | None) -> dict[str, float]:
    """Fields of a configuration that give every dropout of its model this share; none for None.

    A model must be built with them: where its own are 0, some classes have no module that could be changed later, and
    many keep that of attention as a number.

    Args:
        config: of any transformers model.
        share: in [0, 1).
    """
    if share is None:
        return {}
    named = [name for name in config.to_dict() if "dropout" in name or name.endswith("_pdrop")]
    return {name: share for name in named if type(getattr(config, name)) in (int, float)}


def _some(keys: Sequence[str]) -> str:
    shown = sorted(keys)[:3]
    rest = len(keys) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back transformers' own reports, e.g. of new and unexpected weights, which `load_checkpoint` judges."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
