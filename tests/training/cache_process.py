"""A process that builds a teacher cache: ``python cache_process.py CACHE_DIR [PASSES]``, killed after so many passes.

Prints how many examples the teacher answered. Beside the tests, not one of them.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from training_tiny import make_data, make_model, make_tokenizer

from autodistill.components.training import FeatureKey
from autodistill.training import teacher_cache
from autodistill.training.teacher_features import cached_teacher_features
from autodistill.training.tokenised import TokenisedSplit, tokenise

KEYS: frozenset[FeatureKey] = frozenset({("logits", None), ("hidden_states", 2), ("attentions", 1)})


def train_split(root: Path) -> TokenisedSplit:
    return tokenise(make_data(200), make_tokenizer(), 16, root)["train"]


def build(root: Path, passes: int | None = None) -> tuple[Any, int]:
    """Build the cache in small passes; kill this process in the one after ``passes``."""
    teacher_cache.BATCH_SIZE, teacher_cache.SAVE_EVERY = 8, 3
    seen: list[int] = []
    teacher = make_model()

    def count(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        if passes is not None and len(seen) == passes:
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append(len(named["input_ids"]))

    teacher.register_forward_pre_hook(count, with_kwargs=True)
    features = cached_teacher_features(teacher, train_split(root), KEYS, root, "teacher", 10**9, None)
    return features, sum(seen)


if __name__ == "__main__":
    print("ready", flush=True)
    print(build(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)[1])
