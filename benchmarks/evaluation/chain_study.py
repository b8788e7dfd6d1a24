"""The study behind the task-agnostic chain: a corpus, a teacher with a head for masked tokens, and students by hand.

The students are the study's picks from the start, so no search chooses them: the engine trains them by the flash recipe
and by the full one, reads the test split once for each, and compares them with the teacher and the truncated teacher.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autodistill.components.outcome import Job as EngineJob
from autodistill.components.task import TaskSpec
from autodistill.engine.comparison import compare
from autodistill.engine.finals import baseline_trials, model_directory
from autodistill.engine.manual import manual_trial
from autodistill.engine.records import FINAL_RUN_STATES, RunKind, TrialRecord
from autodistill.engine.session import Session
from autodistill.errors import DataError, TrialError
from autodistill.training.arrays import open_array
from autodistill.training.packing import part_directory
from benchmarks.evaluation.jobs import Job
from benchmarks.quiet_study import quiet_session

#: Name -> architecture; by the FLOPs of the encoder on 128 tokens: 48 %, 26 %, 13 % and 30 % of the teacher's.
STUDENTS: Mapping[str, Mapping[str, Any]] = {
    "bert_half": {
        "family": "bert",
        "choices": {"num_layers": 5, "hidden_size": 384, "num_heads": 12, "intermediate_size": 512},
    },
    "bert_quarter": {
        "family": "bert",
        "choices": {"num_layers": 6, "hidden_size": 192, "num_heads": 6, "intermediate_size": 768},
    },
    "bert_eighth": {
        "family": "bert",
        "choices": {"num_layers": 3, "hidden_size": 192, "num_heads": 6, "intermediate_size": 768},
    },
    "mobilebert": {
        "family": "mobilebert",
        "choices": {
            "num_layers": 6,
            "hidden_size": 384,
            "bottleneck_size": 128,
            "num_heads": 4,
            "intermediate_size": 512,
            "num_ffn": 2,
        },
    },
}

#: The students learn from it; a row too.
TEACHER = "teacher"

#: The teacher without half of its layers.
BASELINE = "teacher_truncated-3"

#: Every row that has a model.
MODELS = (TEACHER, BASELINE, *STUDENTS)

#: The job that makes data and teacher.
PREPARE = "prepare"

#: The title of an article of WikiText; those of its sections have more signs.
TITLE = re.compile(r"= [^=].* =$")


@dataclass(frozen=True)
class ChainSetup:
    """What the study is made of.

    Args:
        data: folder with ``corpus``.
        files: patterns of its files that are trained on.
        work: folder of the study.
        max_length: tokens per row.
        examples: rows of the full recipe.
        flash_examples: rows of a flash run.
        teacher_examples: rows from which the teacher's head is trained at most; no more than one pass.
        batch_size: rows per step, of all.
        lr: peak learning rate of the students.
        trainer: overrides of the trainer.
        cache_gb: of the teacher's features and else; 0 runs the teacher on every batch, which suits a GPU.
        more: overrides of anything, at the end.
    """

    data: Path
    files: tuple[str, ...]
    work: Path
    max_length: int
    examples: int
    flash_examples: int
    teacher_examples: int
    batch_size: int
    lr: float
    trainer: tuple[str, ...]
    cache_gb: float
    more: tuple[str, ...] = ()

    @property
    def corpus(self) -> Path:
        """Folder of links to the training files: those of the held-out splits lie beside them in ``data``."""
        return self.work / "corpus"

    def model(self, name: str) -> Path:
        """Where a trained model is; a link."""
        return self.work / "models" / name

    def overrides(self) -> list[str]:
        """The configuration of the study."""
        held_out = self.data.resolve() / "corpus"
        return [
            *("study.name=chain", f"output_dir={self.work.resolve() / 'study'}", f"cache_max_gb={self.cache_gb}"),
            *("data=corpus", f"data.path={self.corpus.resolve()}", f"data.max_length={self.max_length}"),
            f"data.select={held_out / 'wikitext2.valid.txt.gz'}",
            f"data.test={held_out / 'wikitext2.test.txt.gz'}",
            *("teacher=with_mlm_head", f"teacher.fine_tune_max_examples={self.teacher_examples}"),
            f"teacher.fine_tune_batch_size={self.batch_size}",
            *("student=corpus", "loss=[mlm_soft]", "evaluator=[mlm,size]", "baseline=[teacher_truncated]"),
            *("schedule=corpus", f"schedule.examples={self.examples}", f"schedule.lr={self.lr}"),
            f"schedule.flash_fidelity={self.flash_examples / self.examples}",
            f"schedule.batch_size={self.batch_size}",
            # Latency has benchmarks of its own; here the size of a model says what it costs.
            *("latency=[]", "~objectives.latency", "+objectives.flops={metric: size.flops, direction: null}"),
            *("export=[]", "reference=[]", "logger=none"),
            *self.trainer,
            *self.more,
        ]


@contextmanager
def open_chain(setup: ChainSetup) -> Iterator[Session]:
    """Open the study, making it and its teacher when they are not there."""
    overrides = setup.overrides()
    with quiet_session(overrides) as session:
        yield session


def distil_jobs(setup: ChainSetup) -> list[Job]:
    """The teacher first, then each student and the baseline."""
    students = [Job(name, distil, (setup, name), (PREPARE,)) for name in (*STUDENTS, BASELINE)]
    return [Job(PREPARE, prepare, (setup,)), *students]


def prepare(setup: ChainSetup) -> None:
    """Write the corpus' tokens, train the teacher's head, and add the trials of all students."""
    setup.corpus.mkdir(parents=True, exist_ok=True)
    found = sorted({file for pattern in setup.files for file in (setup.data / "corpus").glob(pattern)})
    if not found:
        raise DataError(f"{setup.data / 'corpus'} has no file {', '.join(setup.files)}.")
    for file in found:
        _link(setup.corpus / file.name, file)
    with open_chain(setup) as session:
        numbers = [manual_trial(session, given) for given in STUDENTS.values()]
        session.storage.set_step(session.study.id, "picks_frozen", {"trials": numbers, "searched": 0})
        baseline_trials(session)
        _link(setup.model(TEACHER), session.teacher.directory)


def distil(setup: ChainSetup, name: str) -> None:
    """The flash run and the full run of a student; the baseline's full run. One that failed before is tried again."""
    kinds: tuple[RunKind, ...] = ("full",) if name == BASELINE else ("flash", "full")
    with open_chain(setup) as session:
        trial = trials_of(session)[name]
        over = {run.kind for run in session.storage.runs(session.study.id) if _is_over(run, trial)}
        for kind in kinds:
            if kind not in over:
                result = session.runner(retry_failed=True).work(EngineJob(session.study.name, trial.number, kind))
                if result.state == "failed":
                    raise TrialError(f"{name}: {result.error}")
        _link(setup.model(name), model_directory(session, trial))


def _is_over(run: Any, trial: TrialRecord) -> bool:
    return bool(run.trial == trial.number and run.state in FINAL_RUN_STATES - {"failed"})


def trials_of(session: Session) -> dict[str, TrialRecord]:
    """Name of the row -> trial; made by `prepare`."""
    trials = [session.storage.trial(session.study.id, manual_trial(session, given)) for given in STUDENTS.values()]
    baselines = {trial.label: trial for trial in session.storage.trials(session.study.id) if trial.origin == "baseline"}
    return {**dict(zip(STUDENTS, trials, strict=True)), BASELINE: baselines[BASELINE]}


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    link.symlink_to(target.resolve())


# -- what came of it -------------------------------------------------------------------------------------------------


def distilled_rows(setup: ChainSetup) -> dict[str, dict[str, Any]]:
    """Name -> size, score of the flash run on select, scores on test with intervals, and gains over the others.

    Rows whose full run is not complete are left out.
    """
    with open_chain(setup) as session:
        by_article(session)
        finals, trials = compare(session), trials_of(session)
        flash = {
            run.trial: run.metrics["mlm.accuracy"]["value"]
            for run in session.storage.runs(session.study.id)
            if run.kind == "flash" and run.state == "complete"
        }
        teacher = session.bench.family.architecture_of(session.teacher.model)
        whole = math.nan if teacher is None else _encoder_flops(session, teacher)
        rows = {TEACHER: {**_row(finals["teacher"]), "share_of_flops": 1.0}}
        for name, trial in trials.items():
            found = finals["baselines" if name == BASELINE else "picks"].get(str(trial.number))
            if found is not None:
                share = _encoder_flops(session, trial.architecture) / whole
                rows[name] = {**_row(found), "share_of_flops": share, "flash_accuracy": flash.get(trial.number)}
    return rows


def by_article(session: Session) -> None:
    """Let whole articles of the test split count as independent, of which WikiText's blank lines make sections."""
    bench = session.bench
    split, stream = bench.splits["test"], bench.data.splits["test"]
    articles, first = [], 0
    for part in range(stream.parts):
        begun = first + np.cumsum([bool(TITLE.match(text.strip())) for text in stream.documents(part)])
        articles.append(begun[open_array(part_directory(split.directory, part) / "documents.npy")])
        first = int(begun[-1]) if len(begun) else first
    _, numbers = np.unique(np.concatenate(articles), return_inverse=True)
    if numbers.any():  # other texts have no titles
        vars(split)["documents"] = numbers


def _row(found: Mapping[str, Any]) -> dict[str, Any]:
    gains = {other: item["gain"] for other, item in found.get("versus", {}).items()}
    return {"parameters": found["parameters"], "mlm": found["metrics"], "gains": gains}


def _encoder_flops(session: Session, architecture: Any) -> float:
    """Operations on 128 tokens with a head for two classes, beside which a vocabulary's head would hide the encoder."""
    task = TaskSpec("classification", ("0", "1"), ("text",), "classification.accuracy")
    return float(session.bench.family_of(architecture.family).flops(architecture, task, session.bench.vocabulary, 128))
