"""Peak memory of a large corpus: generate text, survey it, tokenise it in parallel, read masked rows, teach a head.

    .venv/bin/python -m benchmarks.data.memory --accumulate 4     (2.2 GB of text; about 5 GB of disk)
    ... benchmarks.data.memory --output FILE                      (a head is taught as by teacher=with_mlm_head)

Peak memory is that of the process and of everything it starts, added up every tenth of a second: resident bytes, and
the private ones without pages of files that are only mapped, which the system takes back when it wants. The text and
what was tokenised stay in --work, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from autodistill.teachers.configs import FineTunedTeacherConfig
from benchmarks.data.results import output_of, write_section
from benchmarks.data.text import write_text
from benchmarks.sections import script_parser

#: Masked rows that are read, in batches of 32.
READ = 64_000

#: Steps in which the teacher's new head for masked tokens is taught.
STEPS = 4


class Watch(threading.Thread):
    """Samples the memory of this process and its children."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = {"resident": 0, "private": 0}
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until `stop`."""
        own = psutil.Process()
        while not self._ended.wait(0.1):
            resident = private = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    found = process.memory_info()
                except psutil.NoSuchProcess:
                    continue
                resident += found.rss
                private += found.rss - found.shared
            self.peak["resident"] = max(self.peak["resident"], resident)
            self.peak["private"] = max(self.peak["private"], private)

    def stop(self) -> dict[str, float]:
        """Peaks in decimal megabytes."""
        self._ended.set()
        self.join()
        return {f"peak_{name}_megabytes": round(value / 1e6, 1) for name, value in self.peak.items()}


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    return {"megabytes": given.megabytes, "batch_size": given.batch_size, "accumulate": given.accumulate}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--megabytes", type=int, default=2200)
    # Memory of teaching goes with the batch; teacher=with_mlm_head takes the default.
    preset = FineTunedTeacherConfig.fine_tune_batch_size
    parser.add_argument("--batch-size", type=int, default=preset, help="examples of a step of teaching")
    parser.add_argument("--accumulate", type=int, default=1, help="parts of such a step, as trainer.accumulate")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "autodistill-memory")
    return parser


def main() -> None:
    """Measure each stage."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, "memory", settings_of)
    given.work.mkdir(parents=True, exist_ok=True)
    text = given.work / f"text-{given.megabytes}.txt"
    write_text(text, given.megabytes)
    results: dict[str, Any] = {"text_bytes": text.stat().st_size}
    stages = {"survey": survey, "tokenise": tokenise_all, "read": read}
    for name, stage in {**stages, "teach": functools.partial(teach, given.batch_size, given.accumulate)}.items():
        watch = Watch()
        watch.start()
        started = time.perf_counter()
        facts = stage(text, given.work)
        results[name] = {**facts, "seconds": round(time.perf_counter() - started, 1), **watch.stop()}
        print(name, results[name])
    write_section(output, "memory", settings_of(given), results)


def survey(text: Path, work: Path) -> dict[str, Any]:
    """The first pass."""
    notes = load(text, work).notes
    held_out = sum(count for name, count in notes.items() if name.startswith("held_out_"))
    return {"documents": notes["train_documents"] + held_out}


def load(text: Path, work: Path) -> Any:
    """The corpus, dealt to its splits."""
    from autodistill.components.task import DataContext
    from autodistill.data.corpus import Corpus
    from autodistill.data.corpus_configs import CorpusConfig

    config = CorpusConfig(path=str(text), select_documents=100, test_documents=100)
    return Corpus(DataContext(work / "cache"), **asdict(config)).load()


def tokenise_all(text: Path, work: Path) -> dict[str, Any]:
    """Rows of 128 tokens, in as many processes as there are cores."""
    return {"rows": len(split(text, work))}


def split(text: Path, work: Path) -> Any:
    """The training split, tokenised unless it is there."""
    from transformers import AutoTokenizer

    from autodistill.teachers.packaged import packaged_directory
    from autodistill.training.tokenised import tokenise

    tokenizer = AutoTokenizer.from_pretrained(packaged_directory(), local_files_only=True)
    return tokenise(load(text, work), tokenizer, 128, work / "cache")["train"]


def read(text: Path, work: Path) -> dict[str, Any]:
    """Masked batches in the order of the stream."""
    from autodistill.training.stream import ExampleStream

    train = split(text, work)
    stream = ExampleStream(len(train), 0, train.lengths, train.copies)
    started = time.perf_counter()
    for start in range(0, READ, 32):
        train.batch(stream.rows_at(start, start + 32))
    return {"rows": READ, "rows_per_second": round(READ / (time.perf_counter() - started))}


def teach(batch_size: int, accumulate: int, text: Path, work: Path) -> dict[str, Any]:
    """Some steps of what gives the packaged teacher a head for masked tokens; most of the memory is the model's."""
    from transformers import AutoModelForMaskedLM

    from autodistill.components.students import FineTuning
    from autodistill.teachers.packaged import packaged_directory
    from autodistill.training.fine_tune import fine_tune

    model = AutoModelForMaskedLM.from_pretrained(packaged_directory(), local_files_only=True)
    recipe = FineTuning(
        epochs=1.0,
        batch_size=batch_size,
        lr=1e-4,
        warmup_share=0.1,
        weight_decay=0.01,
        max_examples=STEPS * batch_size,
    )
    with tempfile.TemporaryDirectory(dir=work) as checkpoint:
        fine_tune(
            model,
            split(text, work),
            recipe,
            seed=0,
            trainer={"accelerator": "cpu", "devices": 1},
            loggers=[],
            callbacks=[],
            checkpoint_dir=Path(checkpoint),
            progress=None,
            accumulate=accumulate,
        )
    return {"rows": STEPS * batch_size, "batch_size": batch_size, "accumulate": accumulate}


if __name__ == "__main__":
    main()
