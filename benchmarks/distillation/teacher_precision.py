"""What a teacher that computes in bfloat16 saves, and what its students lose.

    python -m benchmarks.distillation.teacher_precision --work WORK [--architectures 12] [--rounds 5] trainer.threads=2

The teacher and the data of the quickstart. Three comparisons of ``trainer.teacher_precision=bf16-mixed`` with
``32-true``: seconds of the teacher's pass over the same batches, in turn; its softened answers (temperature 2) on the
first texts of the train split, as the mean Kullback-Leibler divergence from those of float32 and as the share of texts
with another likeliest class; and the flash scores of the same random architectures with the same seeds, distilled from
either, paired. bfloat16 is fast where the processor has instructions for it, which ``bf16_instructions`` of the results
tells.

Every flash run is a trial of a study below WORK: a benchmark that was cut off goes on with the same command. Overrides
replace presets of the quickstart, e.g. ``trainer.accelerator=cuda``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import t as student_t

import autodistill
from autodistill.engine.session import Session
from autodistill.report.progress import QuietProgress
from autodistill.training.batches import on_device
from autodistill.training.cache_plan import compute
from autodistill.training.devices import placed
from autodistill.training.precision import TEACHING_PRECISIONS
from autodistill.training.softened import LOGITS
from benchmarks.distillation.results import output_of, study_parser, write_section
from benchmarks.quiet_study import quiet_session

if TYPE_CHECKING:
    from autodistill.components.training import Batch

#: Of the results file.
SECTION = "teacher_precision"

#: Of the softened answers that are compared, as of the default loss.
TEMPERATURE = 2.0

#: Texts of a pass of the teacher.
BATCH_SIZE = 32

#: What the processor says of itself where it multiplies matrices of bfloat16.
INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")


def overrides_of(given: argparse.Namespace, precision: str) -> list[str]:
    """The study of one precision: random architectures, flash runs only, nothing timed."""
    return [
        *("experiment=quickstart", f"output_dir={given.work.resolve()}", f"study.name={precision}"),
        *("search=random", f"budget.trials={given.architectures}", "pruner=none", "~constraints.speed"),
        *("latency=[]", "~objectives.latency", "baseline=[]", "reference=[]", "export=[]", "logger=none"),
        *given.overrides,
        f"trainer.teacher_precision={precision}",
    ]


def batches_of(session: Session, examples: int) -> Iterator[Batch]:
    """The first texts of the train split, on the study's device."""
    split = session.bench.splits["train"]
    for start in range(0, min(examples, len(split)), BATCH_SIZE):
        rows = np.arange(start, min(start + BATCH_SIZE, len(split)))
        yield on_device(split.batch(rows), session.bench.device)


def compare_passes(session: Session, examples: int, rounds: int) -> dict[str, Any]:
    """Seconds of a pass in each precision, the ratio of every round, and how far the answers are apart."""
    model, keys = session.teacher.model, frozenset({LOGITS})
    batches = list(batches_of(session, examples))
    seconds: dict[str, list[float]] = {precision: [] for precision in TEACHING_PRECISIONS}
    answers: dict[str, torch.Tensor] = {}
    with placed(model, session.bench.device):
        for _ in range(1 + rounds):  # the first warms up
            for precision, spent in seconds.items():
                started = time.perf_counter()
                found = [compute(model, batch, keys, precision)[LOGITS].cpu() for batch in batches]
                spent.append(time.perf_counter() - started)
                answers[precision] = torch.cat(found)
    exact, quick = (answers[precision] for precision in TEACHING_PRECISIONS)
    logs = [(value / TEMPERATURE).log_softmax(-1) for value in (exact, quick)]
    ratios = [one / other for one, other in zip(*(spent[1:] for spent in seconds.values()), strict=True)]
    return {
        "texts": len(exact),
        "seconds": {precision: statistics.median(spent[1:]) for precision, spent in seconds.items()},
        "times_as_fast": {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)},
        "divergence": float(torch.nn.functional.kl_div(logs[1], logs[0], log_target=True, reduction="batchmean")),
        "other_class": float((exact.argmax(-1) != quick.argmax(-1)).double().mean()),
    }


def flash_scores(overrides: Sequence[str]) -> dict[str, float]:
    """Architecture -> flash score on the select split; trained now unless the study has it."""
    settings = autodistill.compose(overrides)
    with QuietProgress() as progress:
        study = autodistill.run(settings, overrides=list(overrides), explore_only=True, progress=progress)
    summary = json.loads((study.directory / "summary.json").read_text())
    metric = next(goal["metric"] for goal in summary["objectives"] if goal["label"] == "quality")
    return {
        json.dumps(row["architecture"], sort_keys=True): float(row["metrics"][metric]["value"])
        for row in summary["history"]
        if row["state"] == "complete"
    }


def paired(scores: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Mean flash score in each precision and their mean difference, with its 95 % interval over architectures."""
    exact, quick = scores
    both = sorted(exact.keys() & quick.keys())
    if len(both) < 2:
        raise SystemExit("fewer than two architectures were trained with both: an interval needs --architectures >= 2")
    differences = np.array([quick[name] - exact[name] for name in both])
    mean, n = float(differences.mean()), len(both)
    half = float(student_t.ppf(0.975, n - 1) * differences.std(ddof=1) / n**0.5)
    return {
        "architectures": n,
        "score": {
            precision: float(np.mean([found[name] for name in both]))
            for precision, found in zip(TEACHING_PRECISIONS, scores, strict=True)
        },
        "gain_of_bf16": {"mean": mean, "low": mean - half, "high": mean + half},
    }


def instructions() -> list[str]:
    """Of bfloat16, that this processor has; nothing where the kernel does not list any."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return []
    return [name for name in INSTRUCTIONS if name in words]


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    return {name: getattr(given, name) for name in ("architectures", "examples", "rounds", "overrides")}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = study_parser(__doc__)
    parser.add_argument("--architectures", type=int, default=12, help="at least 2")
    parser.add_argument("--examples", type=int, default=1024, help="texts of a timed pass")
    parser.add_argument("--rounds", type=int, default=5)
    return parser


def main() -> int:
    """Compare, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    on_gpu = {"trainer.accelerator=cuda", "trainer=gpu_bf16"} & set(given.overrides)
    section = f"{SECTION}_cuda" if on_gpu else SECTION
    output = output_of(parser, given, section, settings_of)
    with quiet_session(overrides_of(given, TEACHING_PRECISIONS[0])) as session:
        passes = compare_passes(session, given.examples, given.rounds)
    flash = paired([flash_scores(overrides_of(given, precision)) for precision in TEACHING_PRECISIONS])
    results = {"pass": passes, "flash": flash, "bf16_instructions": instructions()}
    print(json.dumps(results, indent=1))
    write_section(output, section, settings_of(given), results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
