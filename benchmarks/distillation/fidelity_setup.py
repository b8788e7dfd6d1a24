"""What the study of flash fidelity is made of: tasks, space, variants of the recipe, and the draw of architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autodistill.components.architecture import Architecture

#: Replicates of every run: other random starts of what the teacher cannot give, other orders of dropout.
SEEDS = (0, 1)

#: Candidates that are timed for each architecture that is drawn.
CANDIDATES = 4

#: The space of the real tables (`benchmarks.search.table_setup`), so that both say something about the same students.
SPACE = (
    "{num_layers: [1, 2, 3, 4, 5, 6], hidden_size: [96, 144, 192, 240, 288, 336, 384], num_heads: [2, 4, 6, 12], "
    "intermediate_size: [128, 192, 256, 384, 512, 768, 1024, 1536]}"
)

#: Name -> overrides on top of the task's, ``{loss}`` being what it compares answers by and ``{heads}`` those of its
#: teacher. ``default`` is what the others are judged against.
VARIANTS: Mapping[str, Sequence[str]] = {
    "default": (),
    # losses
    "hard_label": ("loss=[hard_label]",),
    "soft_and_hard": ("loss=[logits_kl,hard_label]",),
    "reverse_kl": ("loss.logits_kl.divergence=reverse",),
    "symmetric_kl": ("loss.logits_kl.divergence=symmetric",),
    "jsd": ("loss.logits_kl.divergence=jsd",),
    "temperature_1": ("loss.logits_kl.temperature=1.0",),
    "temperature_4": ("loss.logits_kl.temperature=4.0",),
    "teacher_only": ("loss.mlm_soft.hard_share=0.0",),
    "words_only": ("loss.mlm_soft.hard_share=1.0",),
    "hidden": ("loss=[{loss},hidden_mse]",),
    "cosine": ("loss=[{loss},hidden_cosine]",),
    "embeddings": ("loss=[{loss},embedding_mse]",),
    "relations": ("loss=[{loss},minilm_relation]",),
    "feature_map": ("loss=[{loss},feature_map]", "loss.feature_map.weight=0.01"),
    # these two go head by head: only architectures with as many heads as the teacher take part
    "attention_kl": ("loss=[{loss},attention_kl]", "student.space.num_heads=[{heads}]"),
    "attention_mse": ("loss=[{loss},attention_mse]", "student.space.num_heads=[{heads}]"),
    # schedules; transfer losses that suit any widths and heads
    "two_phase": ("schedule=two_phase", "loss=[{loss},hidden_mse]"),
    "progressive": ("schedule=progressive", "loss=[{loss},hidden_mse]"),
    "wsd": ("schedule=wsd",),
    # layer mappings
    "mapping_last": ("loss=[{loss},hidden_mse]", "schedule.layer_mapping=last"),
    "mapping_first": ("loss=[{loss},hidden_mse]", "schedule.layer_mapping=first"),
    "mapping_skip": ("loss=[{loss},hidden_mse]", "schedule.layer_mapping=skip"),
    # initialisation
    "by_weights": ("student.importance=weights",),
    "first_layers": ("student.layer_selection=first",),
    "random_start": ("student.initialisation=random",),
}


@dataclass(frozen=True)
class FidelityTask:
    """One task of the study.

    Args:
        overrides: data, teacher and losses.
        examples: training examples of the full recipe.
        lr: peak learning rate.
        metric: what is compared, a metric of the task, more is better.
        evaluators: that measure it.
        heads: of the teacher.
        loss: that compares the answers of student and teacher.
    """

    overrides: tuple[str, ...]
    examples: int
    lr: float
    metric: str
    evaluators: str = "[agreement,size]"
    heads: int = 12
    loss: str = "logits_kl"


def fidelity_task(name: str, data: Path, examples: int | None) -> FidelityTask:
    """Return a task by name.

    Args:
        name: ``sst2``; ``corpus``, masked words of any texts; the quickstart's docstrings ``python_docs``, which need
            no files; or ``tiny``.
        data: folder with ``glue/SST-2``, or with ``corpus`` (a folder of texts), or with what
            `autodistill.testing.tiny` writes.
        examples: other training examples of the full recipe; None for the task's own.
    """
    overrides: tuple[str, ...]
    if name == "sst2":
        files = data / "glue" / "SST-2"
        overrides = (
            *("data=text_classification", f"data.train={files / 'train.tsv.gz'}", f"data.test={files / 'dev.tsv'}"),
            *("data.text_columns=[sentence]", "data.label_column=label", "data.select_max=2000"),
            *("data.train_limit=20000", "data.max_length=64", "teacher=quickstart", "loss=[quickstart]"),
        )
        return FidelityTask(overrides, examples or 25600, 2e-4, "classification.accuracy")
    if name == "python_docs":
        overrides = ("data=quickstart", "teacher=quickstart", "loss=[quickstart]")
        return FidelityTask(overrides, examples or 25600, 2e-4, "classification.accuracy")
    if name == "corpus":
        overrides = (
            *("data=corpus", f"data.path={data / 'corpus'}", "data.max_length=64", "teacher=with_mlm_head"),
            "loss=[mlm_soft]",
        )
        return FidelityTask(overrides, examples or 25600, 3e-4, "mlm.accuracy", "[mlm,size]", loss="mlm_soft")
    if name == "tiny":
        overrides = (
            *("data=text_classification", f"data.train={data / 'data' / 'train.tsv'}"),
            *(f"data.test={data / 'data' / 'test.tsv'}", "data.max_length=32", "teacher=huggingface"),
            *(f"teacher.path={data / 'teacher'}", "teacher.fine_tune_epochs=6", "teacher.fine_tune_lr=3e-3"),
            # Smaller batches than the preset's: a twentieth of the recipe has a step for each of two phases then.
            *("trainer.threads=1", "loss=[logits_kl]", "schedule.scale_lr=false", "schedule.batch_size=16"),
        )
        return FidelityTask(overrides, examples or 640, 3e-3, "classification.accuracy", heads=4)
    raise SystemExit(f"--task must be sst2, corpus, python_docs or tiny, got {name!r}.")


def variants_of(task: str) -> list[str]:
    """Variants that suit a task by name: masked words have neither the losses of labels nor their parameters."""
    unsuited = ("logits_kl", "hard_label") if task == "corpus" else ("mlm_soft",)
    return [
        name
        for name, overrides in VARIANTS.items()
        if not any(loss in override for loss in unsuited for override in overrides)
    ]


def study_overrides(
    task: FidelityTask,
    name: str,
    variant: str,
    share: float,
    work: Path,
    space: str = SPACE,
    backend: str = "onnxruntime",
) -> list[str]:
    """The configuration of one study: a task, a variant and a fidelity.

    Args:
        task: see `fidelity_task`.
        name: of the study.
        variant: a key of `VARIANTS`.
        share: fidelity of its flash runs.
        work: folder of studies and cache.
        space: of the students.
        backend: of their latency.
    """
    chosen = [item.format(heads=task.heads, loss=task.loss) for item in VARIANTS[variant]]
    components = [item for item in chosen if item.startswith(("schedule=", "loss=", "student="))]
    return [
        f"study.name={name}",
        f"output_dir={work}",
        "seed=0",
        "student=bert",
        "schedule=one_phase",
        *task.overrides,
        f"student.space={space}",
        *components,
        f"schedule.examples={task.examples}",
        f"schedule.flash_fidelity={share}",
        f"schedule.lr={task.lr}",
        *(item for item in chosen if item not in components),
        *(f"evaluator={task.evaluators}", "baseline=[]", "reference=[]", "export=[]", "logger=none"),
        # Curves are not judged here, and rungs would cost more than the training of a flash run.
        *("pruner.rungs=[]", f"latency=[{backend}]", f"latency.{backend}.threads=1"),
    ]


def over_bands(latencies: Mapping[Architecture, float], count: int) -> list[Architecture]:
    """One architecture from each of ``count`` equal bands of the candidates' latency: the middle one of each.

    Args:
        latencies: candidate -> milliseconds.
        count: architectures to draw, at most as many as there are candidates.
    """
    ranked = sorted(latencies, key=lambda item: (latencies[item], item.canonical))
    bands = np.array_split(np.arange(len(ranked)), count)
    return [ranked[int(band[len(band) // 2])] for band in bands]
