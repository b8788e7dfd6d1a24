"""The task-agnostic chain for real: corpus, teacher, flash and full distillation, fine-tuning on GLUE, one table.

    python -m benchmarks.evaluation.chain --data DATA --work WORK --output FILE         # everything, one after another
    python -m benchmarks.evaluation.chain --data DATA --work WORK --device cuda --precision bf16-mixed --threads 1 \
        --workers 14 --batch-size 64 --seconds 420 --output FILE                         # many processes on one GPU
    ... --step prepare | distil --models bert_half | finetune --models bert_half --tasks rte | report    # a part

The teacher is the packaged all-MiniLM-L6-v2; a head for masked tokens is trained for it once. Three BERTs cut from it,
a small MobileBERT and the truncated teacher are distilled from it on texts (`DATA/corpus/train-*.txt.gz`) by the same
recipe, and scored on the masked tokens of WikiText-2's test split, which no choice has seen. Then each of them, and the
teacher, is fine-tuned on tasks of GLUE (`DATA/glue`) by the protocol of `glue_protocol`. Prints and writes the table:
parameters, FLOPs, masked-token accuracy, the official metrics with intervals over examples and seeds, and the average.

Nothing is done twice: the same command goes on where it was stopped, also after a kill; steps may run at the same time
in several processes. The report has what is done.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from autodistill.evaluators.glue_tasks import GLUE_METRICS
from benchmarks.evaluation.chain_study import MODELS, PREPARE, TEACHER, ChainSetup, distil_jobs, distilled_rows
from benchmarks.evaluation.fine_tuning_jobs import (
    FineTuningSetup,
    arguments,
    averages,
    jobs_of,
    setup_of,
    shown,
    trainer_overrides,
)
from benchmarks.evaluation.jobs import Job, run_jobs
from benchmarks.evaluation.results import output_of, write_section
from benchmarks.sections import script_parser

#: Those of the paper's table whose training sets are at hand; the longest first.
TASKS = ("sst2", "cola", "stsb", "mrpc", "rte")

#: What does not decide a figure.
NOT_RECORDED = ("data", "work", "output", "section", "step", "workers", "seconds")


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AUTODISTILL_DATA", "data")))
    parser.add_argument("--step", choices=("all", PREPARE, "distil", "finetune", "report"), default="all")
    parser.add_argument("--section", default="chain", help="of the results")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="rows of the table")
    parser.add_argument("--tasks", nargs="+", choices=tuple(GLUE_METRICS), default=list(TASKS))
    parser.add_argument("--corpus", nargs="+", default=["train-*.txt.gz"], help="patterns of files of DATA/corpus")
    parser.add_argument("--examples", type=int, default=400_000, help="rows of text of the full recipe")
    parser.add_argument("--flash-examples", type=int, help="of a flash run; default: a twentieth of the full recipe")
    parser.add_argument("--teacher-examples", type=int, default=200_000, help="of the teacher's new head, at most")
    parser.add_argument("--batch-size", type=int, default=32, help="rows of text per step")
    parser.add_argument("--lr", type=float, default=3e-4, help="peak learning rate of the distillation")
    parser.add_argument("--row-length", type=int, default=128, help="tokens of a row of text")
    parser.add_argument("--cache-gb", type=float, default=0.0, help="teacher's features; 0 runs it on every batch")
    parser.add_argument("--set-distil", nargs="+", default=[], help="more overrides of the distillation, KEY=VALUE")
    arguments(parser)
    return parser


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    return {name: value for name, value in vars(given).items() if name not in NOT_RECORDED}


def chain_setup(given: argparse.Namespace) -> ChainSetup:
    """The study that the command line says."""
    return ChainSetup(
        data=given.data,
        files=tuple(given.corpus),
        work=given.work,
        max_length=given.row_length,
        examples=given.examples,
        flash_examples=given.flash_examples or max(1, given.examples // 20),
        teacher_examples=given.teacher_examples,
        batch_size=given.batch_size,
        lr=given.lr,
        trainer=trainer_overrides(given),
        cache_gb=given.cache_gb,
        more=tuple(given.set_distil),
    )


def folder_of(model: str, task: str) -> str:
    """Of the fine-tuning of a model on a task."""
    return f"{model}-{task}"


def all_jobs(given: argparse.Namespace, chain: ChainSetup, tuning: FineTuningSetup) -> list[Job]:
    """The jobs of the steps and models that the command line says."""
    distilled = [job for job in distil_jobs(chain) if job.name in (PREPARE, *given.models)]
    tuned = [
        job
        for task in given.tasks
        for model in given.models
        for job in jobs_of(
            tuning,
            folder_of(model, task),
            chain.model(model),
            task,
            after=(PREPARE if model == TEACHER else model,),
        )
    ]
    return {
        "all": [*distilled, *tuned],
        PREPARE: distilled[:1],
        "distil": distilled[1:],
        "finetune": tuned,
        "report": [],
    }[given.step]


def table(given: argparse.Namespace, chain: ChainSetup, tuning: FineTuningSetup) -> dict[str, Any]:
    """Every row that has been distilled, with what has been fine-tuned."""
    rows = {}
    for model, row in distilled_rows(chain).items():
        found = {task: tuning.outcome(folder_of(model, task)) for task in given.tasks}
        outcomes = {task: outcome for task, outcome in found.items() if outcome is not None}
        rows[model] = {**row, "tasks": outcomes, "averages": averages(outcomes)}
    return rows


def show(rows: dict[str, Any], tasks: list[str]) -> None:
    """Print the table: each task's first official metric, and the average as papers report it."""
    header = ["model", "params", "FLOPs", "flash", "masked tokens", *tasks, "mean"]
    lines = [header, *(_cells(name, row, tasks) for name, row in rows.items())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print("In percent, with 95 % intervals. params: with the head for masked tokens; FLOPs: of the encoder, of the")
    print("teacher's; flash: on WikiText-2's valid split; masked tokens: on its test split; tasks: on the dev sets.")


def _cells(name: str, row: dict[str, Any], tasks: list[str]) -> list[str]:
    flash, mean = row.get("flash_accuracy"), row["averages"].get("paper")
    tuned = [(row["tasks"].get(task), f"glue.{GLUE_METRICS[task][0]}") for task in tasks]
    return [
        name,
        f"{row['parameters'] / 1e6:.1f}M",
        f"{row['share_of_flops']:.0%}",
        "" if flash is None else f"{100 * flash:.1f}",
        shown(row["mlm"]["mlm.accuracy"]),
        *(shown(outcome["metrics"][metric]) if outcome else "" for outcome, metric in tuned),
        f"{shown(mean)} over {len(mean['tasks'])}" if mean else "",
    ]


def main() -> int:
    """Do a step, or all; 1 when something is left to do."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, given.section, settings_of) if given.step in ("all", "report") else None
    chain, tuning = chain_setup(given), setup_of(given, given.data / "glue", given.work / "fine_tuning")
    left = run_jobs(all_jobs(given, chain, tuning), given.workers, given.seconds)
    if output is not None and PREPARE not in left:
        rows = table(given, chain, tuning)
        show(rows, given.tasks)
        write_section(output, given.section, settings_of(given), rows)
    if left:
        print(f"left to do: {', '.join(left)}; the same command goes on")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
