"""The teacher ``ib_bert``: MobileBERT's teacher as an architecture, which learns the task from a random start.

The weights of IB-BERT-large were never published (Sun et al. 2020, arXiv 2004.02984). This teacher is for those who
train it themselves, on a corpus by masked language modelling, and then give it by ``teacher=huggingface``.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, MobileBertConfig, PreTrainedModel, PreTrainedTokenizerBase

from autodistill.components.students import FineTuning, TeacherContext, Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.components.training import FEATURES
from autodistill.errors import TeacherError
from autodistill.students.heads import head_of, label_fields
from autodistill.teachers.checkpoint import dropout_fields
from autodistill.teachers.configs import WORD_EMBEDDING
from autodistill.teachers.files import TOKENIZER_FILES, tokenizer_digests
from autodistill.teachers.packaged import packaged_directory
from autodistill.training.packed import vocabulary_size

#: Segments, as BERT has them.
TYPES = 2


class IBBertTeacher:
    """Inverted-bottleneck BERT: narrow between the blocks and wide inside them, layer norm, GELU, one FFN per block.

    transformers' MobileBERT with these settings. Two things differ from the paper, because transformers cannot build
    them: queries, keys and values read the block's wide input, not the narrow stream, and the bottlenecks are
    normalised by an affine map without statistics, as MobileBERT's are. The encoder of the default sizes has 332M
    parameters with BERT's vocabulary.

    Args:
        context: folders of the study.
        tokenizer: directory of the tokeniser, or None for the packaged quickstart teacher's.
        num_layers: blocks.
        hidden_size: width between them.
        intra_size: width inside them.
        num_heads: attention heads per block.
        intermediate_size: units of the feed-forward network.
        max_positions: longest sequence in tokens.
        start_seed: of the random start.
        allow_weak: whether students may learn from it though it has not learnt the task; read by the engine.
        fine_tuning: ``fine_tune_*`` of `autodistill.teachers.configs.FineTunedTeacherConfig`.

    Raises:
        TeacherError: there is no tokeniser.
    """

    features = frozenset(FEATURES)
    labels: tuple[str, ...] = ()

    def __init__(
        self,
        context: TeacherContext,
        *,
        tokenizer: str | None,
        num_layers: int,
        hidden_size: int,
        intra_size: int,
        num_heads: int,
        intermediate_size: int,
        max_positions: int,
        start_seed: int,
        allow_weak: bool,
        **fine_tuning: Any,
    ) -> None:
        self.context = context
        self.allow_weak = allow_weak
        self.name = f"IB-BERT, {num_layers} blocks of {hidden_size}/{intra_size}, from a random start"
        self._directory = packaged_directory() if tokenizer is None else Path(tokenizer).expanduser()
        if not any((self._directory / name).is_file() for name in TOKENIZER_FILES):
            raise TeacherError(
                f"teacher.tokenizer={tokenizer} has no tokeniser (none of {', '.join(TOKENIZER_FILES)}). "
                "Save one there with tokenizer.save_pretrained."
            )
        self._seed = start_seed
        self._sizes = {
            "num_hidden_layers": num_layers,
            "hidden_size": hidden_size,
            "intra_bottleneck_size": intra_size,
            "num_attention_heads": num_heads,
            "intermediate_size": intermediate_size,
            "max_position_embeddings": max_positions,
        }
        named = {name.removeprefix("fine_tune_"): value for name, value in fine_tuning.items()}
        self._fine_tuning = FineTuning(**named)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokeniser, which is also every student's."""
        return AutoTokenizer.from_pretrained(self._directory, local_files_only=True, trust_remote_code=False)

    @property
    def vocabulary(self) -> Vocabulary:
        """What a student's embedding must fit."""
        pad = self.tokenizer.pad_token_id
        return Vocabulary(
            size=vocabulary_size(self.tokenizer),
            max_positions=self._sizes["max_position_embeddings"],
            type_size=TYPES,
            pad_token_id=0 if pad is None else pad,
        )

    @cached_property
    def fingerprint(self) -> str:
        """Digest of sizes, seed and tokeniser, which decide the weights."""
        parts = [self._sizes, self._seed, tokenizer_digests(self._directory)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def fine_tuning(self) -> FineTuning:
        """How it learns the task."""
        return self._fine_tuning

    def needs_fine_tuning(self, task: TaskSpec) -> bool:
        """Always: it starts at random."""
        return True

    def load(self, task: TaskSpec) -> PreTrainedModel:
        """The model with a head for ``task``, random weights by the start's seed, float32, eval mode.

        Raises:
            TeacherError: the task has nothing to learn from.
        """
        if task.label_free or task.kind == "embedding":
            raise TeacherError(
                "teacher=ib_bert starts at random and must learn its task, but the data has no labels. Use data with "
                "labels, or teacher=huggingface with a checkpoint that knows the task."
            )
        dropout = dropout_fields(MobileBertConfig(), self._fine_tuning.dropout)
        config = MobileBertConfig(
            **self._sizes,
            **dropout,
            vocab_size=self.vocabulary.size,
            type_vocab_size=TYPES,
            pad_token_id=self.vocabulary.pad_token_id,
            embedding_size=WORD_EMBEDDING,
            num_feedforward_networks=1,
            hidden_act="gelu",
            normalization_type="layer_norm",
            use_bottleneck=True,
            use_bottleneck_attention=True,
            key_query_shared_bottleneck=False,
            attn_implementation="sdpa",
            **label_fields(task),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            model: PreTrainedModel = getattr(transformers, f"MobileBert{head_of(task).suffix}")(config).eval()
        return model
