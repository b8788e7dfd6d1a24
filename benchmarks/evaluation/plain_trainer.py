"""The same recipe by transformers' own Trainer: is it the protocol that keeps a model from more, or the model?

    PYTHONPATH=DIR python -m benchmarks.evaluation.plain_trainer --glue GLUE_FOLDER --work FOLDER --task mrpc \
        --learning-rates 2e-4 --epochs 5 --seeds 1 --precision bf16-mixed

Trains a stock classifier from the packaged teacher with `transformers.Trainer` on the train split of the protocol (of
the same tokens, without what is carved for select), AdamW, the learning rate rising and falling linearly, gradients
clipped, at one point of the grid, and scores the published dev set with the protocol's evaluator. `glue_protocol` says
what the protocol reaches at that point. The Trainer needs ``accelerate``, which nothing else does:
``pip install --target DIR --no-deps accelerate``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments

import autodistill
from autodistill.engine.score_statistics import over_seeds
from autodistill.engine.scores import predictions_of, score_all
from autodistill.engine.verdict import entry_of
from autodistill.engine.workbench import Workbench
from autodistill.registry import default_registry
from autodistill.teachers.packaged import packaged_directory
from autodistill.training.fine_tune import CLIP_NORM
from autodistill.training.predict import predict
from autodistill.training.tokenised import TokenisedSplit
from benchmarks.evaluation.fine_tuning_jobs import arguments, setup_of
from benchmarks.evaluation.results import output_of, write_section
from benchmarks.sections import script_parser


def rows_of(split: TokenisedSplit) -> list[dict[str, Any]]:
    """The examples as a Trainer takes them, unpadded."""
    found = []
    for row in range(len(split)):
        batch = split.batch(np.array([row]))
        names = {"input_ids": batch.input_ids, "token_type_ids": batch.token_type_ids, "labels": batch.labels}
        found.append({name: value[0].tolist() for name, value in names.items() if value is not None})
    return found


def trained(bench: Workbench, given: argparse.Namespace, rows: list[dict[str, Any]], seed: int) -> Any:
    """A classifier that the Trainer has trained."""
    torch.manual_seed(seed)
    kind = {"num_labels": 1, "problem_type": "regression"} if bench.task.kind == "regression" else {}
    sizes = kind or {"num_labels": bench.task.num_labels}
    model = AutoModelForSequenceClassification.from_pretrained(packaged_directory(), **sizes)
    recipe = bench.teacher.fine_tuning
    with tempfile.TemporaryDirectory() as folder:
        chosen = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=given.batch_sizes[0],
            num_train_epochs=given.epochs[0],
            learning_rate=given.learning_rates[0],
            warmup_steps=round(recipe.warmup_share * given.epochs[0] * len(rows) / given.batch_sizes[0]),
            weight_decay=recipe.weight_decay,
            max_grad_norm=CLIP_NORM,
            bf16=given.precision == "bf16-mixed",
            use_cpu=given.device == "cpu",
            seed=seed,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        collator = DataCollatorWithPadding(bench.teacher.tokenizer)
        Trainer(model=model, args=chosen, train_dataset=rows, data_collator=collator).train()  # type: ignore[arg-type]
    return model.eval()


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on; of the grid only the first point is trained."""
    names = ("task", "learning_rates", "batch_sizes", "epochs", "seeds", "train_limit", "max_length", "threads")
    return {name: vars(given)[name] for name in (*names, "device", "precision", "set")}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--glue", type=Path, required=True, help="folder of GLUE's official files")
    parser.add_argument("--task", required=True)
    arguments(parser)
    parser.set_defaults(epochs=[5.0], learning_rates=[2e-4], seeds=2)
    return parser


def main() -> int:
    """Train, score, print and write."""
    parser = make_parser()
    given = parser.parse_args()
    section = f"plain_trainer_{given.task}"
    output = output_of(parser, given, section, settings_of)
    torch.set_num_threads(given.threads)
    setup = setup_of(given, given.glue, given.work)
    bench = Workbench(autodistill.compose(setup.overrides(given.task, None, given.task)), default_registry())
    rows, role, started = rows_of(bench.splits["train"]), bench.final_role, time.monotonic()
    scores = []
    for seed in range(given.seeds):
        answers = predict(trained(bench, given, rows, seed), bench.splits[role], device=bench.device)
        scores.append(score_all(bench, predictions_of(bench, role, answers, None)))
        print(f"seed {seed}: { ({name: round(score.value, 4) for name, score in scores[-1].items()}) }", flush=True)
    found: dict[str, Any] = {"seconds": time.monotonic() - started, "metrics": {}}
    for name in (name for name in scores[0] if name.startswith("glue.")):
        item = over_seeds([one[name] for one in scores])
        found["metrics"][name] = entry_of(item, role)
        print(f"{name:20} {100 * item.value:.1f} [{100 * (item.low or 0):.1f}, {100 * (item.high or 0):.1f}]")
    write_section(output, section, settings_of(given), found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
