"""The teacher, ready to teach: loaded, fine-tuned on the task when needed, and its answers on the splits.

Fine-tuning happens once per (teacher, data, task, recipe, seed, precision), in the shared cache; it goes on from its
last checkpoint after a crash.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.components.outcome import Predictions, Score
from autodistill.components.students import Dimensions
from autodistill.engine.cache import cache_key, cached_directory
from autodistill.engine.guards import judge_score, score_check
from autodistill.engine.scores import predictions_of
from autodistill.engine.workbench import Workbench, model_dimensions
from autodistill.errors import StudyInterruptedError, TeacherError
from autodistill.exporters.auto_classes import load_pretrained
from autodistill.folders import InUse, write_json
from autodistill.teachers.files import file_digest
from autodistill.training.fine_tune import fine_tune
from autodistill.training.precision import PRECISIONS
from autodistill.training.predict import predict
from autodistill.training.seeds import derive_seed
from autodistill.training.waiting import WhileAnotherWorks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from autodistill.components.outcome import FloatArray


#: Kind of the cache's entries.
KIND = "teachers"

#: Digest of an entry's weights.
DIGEST = "weights.json"


@dataclass
class PreparedTeacher:
    """A teacher that knows the task.

    Args:
        model: float32, eval mode, on the CPU.
        directory: the same as a Hugging Face directory.
        key: digest of everything that made it and of its weights; part of the keys of its features.
        dimensions: its sizes.
        seconds: what making it took, sessions that were interrupted included; 0 when it came from the cache.
    """

    model: PreTrainedModel
    directory: Path
    key: str
    dimensions: Dimensions
    seconds: float
    _in_use: InUse  # it is read again after hours: by references, exports and processes that measure
    _logits: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Number of parameters, the task's head included."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def logits(self, bench: Workbench, role: str) -> FloatArray:
        """Its logits on a split, computed once per process."""
        if role not in self._logits:
            self._logits[role] = predict(self.model, bench.splits[role], device=bench.device)
        return self._logits[role]

    def predictions(self, bench: Workbench, role: str) -> Predictions:
        """Its answers on a split."""
        return predictions_of(bench, role, self.logits(bench, role), None)


def teacher_key(bench: Workbench) -> str:
    """Digest of everything that makes the study's teacher, known before it is made."""
    needed = bench.teacher.needs_fine_tuning(bench.task)
    parts = {
        "teacher": bench.teacher.fingerprint,
        "data": bench.data.fingerprint_of("train"),
        "task": asdict(bench.task),
        "max_length": bench.max_length,
        "recipe": asdict(bench.teacher.fine_tuning) if needed else None,
        "seed": bench.settings.seed if needed else None,
    }
    return cache_key(parts | ({"precision": bench.teacher_precision} if needed and bench.teacher_precision else {}))


def teacher_directory(bench: Workbench) -> Path:
    """Where the study's teacher is kept in the cache, or will be."""
    return bench.settings.cache_dir / KIND / teacher_key(bench)


def take_cached(bench: Workbench) -> None:
    """Let parts that belong to no study take the teacher that a study left in the cache, in whatever precision."""
    own = bench.teacher_precision
    for precision in dict.fromkeys([own, *PRECISIONS.values(), ""]):
        bench.teacher_precision = precision
        if teacher_directory(bench).is_dir():
            return
    bench.teacher_precision = own


def features_key(bench: Workbench) -> str:
    """The `PreparedTeacher.key` of a teacher that is in the cache; before it is made, a key that no features have."""
    entry = teacher_directory(bench)
    return _key_with_weights(entry, entry.name) if entry.is_dir() else entry.name


def _key_with_weights(entry: Path, key: str) -> str:
    """One recipe may make other weights the next time, e.g. on another machine."""
    if not (entry / DIGEST).is_file():  # made by an earlier version
        _write_digest(entry)
    return cache_key({"teacher": key, "weights": json.loads((entry / DIGEST).read_text())["sha256"]})


def _write_digest(entry: Path) -> None:
    """Keep the digest of the saved weights beside them: reading gigabytes anew would delay every start."""
    digests = [file_digest(file) for file in sorted((entry / "hf").glob("*.safetensors"))]
    write_json(entry / DIGEST, {"sha256": hashlib.sha256("".join(digests).encode()).hexdigest()})


def prepare_teacher(
    bench: Workbench,
    progress: Callable[[int, int], None] | None = None,
    stop_requested: Callable[[], bool] | None = None,
) -> PreparedTeacher:
    """Load the teacher for the study's task, fine-tuning it first when its head is new.

    Args:
        bench: the study's shared parts.
        progress: called with (steps done, steps in all).
        stop_requested: asked during training, and while another process trains; true ends it at the next checkpoint,
            and the waiting.

    Raises:
        TeacherError: it cannot be loaded.
        StudyInterruptedError: a stop was requested; the next run goes on from the checkpoint.
    """
    needed = bench.teacher.needs_fine_tuning(bench.task)
    key = teacher_key(bench)
    seconds = 0.0

    def build(directory: Path) -> None:
        nonlocal seconds
        seconds = _build(bench, directory, needed, progress, stop_requested)

    in_use = InUse(bench.settings.cache_dir / KIND / key)
    waiting = WhileAnotherWorks("makes the teacher ready", stop_requested)
    entry = cached_directory(bench.settings.cache_dir, KIND, key, build, waiting)
    model = load_pretrained(entry / "hf")
    made_of = _key_with_weights(entry, key)
    return PreparedTeacher(model, entry / "hf", made_of, model_dimensions(model), seconds, in_use)


def _build(
    bench: Workbench,
    directory: Path,
    needed: bool,
    progress: Callable[[int, int], None] | None,
    stop_requested: Callable[[], bool] | None,
) -> float:
    """Make the teacher; returns the seconds of that, with those of sessions that were interrupted."""
    import torch

    started, earlier = time.monotonic(), 0.0
    seed = derive_seed(bench.settings.seed, bench.data.fingerprint_of("train"), "teacher")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the new head's start
        model = bench.teacher.load(bench.task)
    if needed:
        began = time.monotonic()
        trainer = trainer_arguments(bench.settings.trainer)
        if bench.teacher_precision:
            trainer |= {"precision": bench.teacher_precision}
        result = fine_tune(
            model,
            bench.splits["train"],
            bench.teacher.fine_tuning,
            seed=seed,
            trainer=trainer,
            loggers=[],
            callbacks=[],
            checkpoint_dir=directory / "checkpoint",
            progress=progress,
            stop_requested=stop_requested,
            checkpoint_every_steps=int(bench.settings.trainer["checkpoint_every_steps"]),
            accumulate=int(bench.settings.trainer.get("accumulate", 1)),
        )
        if result.state != "complete":
            raise StudyInterruptedError("Interrupted while fine-tuning the teacher; its checkpoint is kept.")
        earlier = max(0.0, result.seconds - (time.monotonic() - began))  # its seconds are those of all sessions
    model.save_pretrained(directory / "hf")
    bench.tokenizer.save_pretrained(directory / "hf")
    _write_digest(directory)
    shutil.rmtree(directory / "checkpoint", ignore_errors=True)
    return time.monotonic() - started + earlier


def check_learnt(bench: Workbench, scores: Mapping[str, Score], trivial: Mapping[str, float]) -> None:
    """Stop before time is spent on the students of a teacher that does not know the task.

    Args:
        bench: the study's shared parts.
        scores: the teacher's metrics on the select split.
        trivial: what always giving the same answer scores.

    Raises:
        TeacherError: the lower end of the teacher's 95 % interval is not above the trivial answer, and
            ``teacher.allow_weak`` is not set.
    """
    metric = bench.task.metric
    if bench.settings.one("teacher").parameters.get("allow_weak", False):
        return
    score, floor = scores[metric], trivial[metric]
    learnt = judge_score(score, floor, bench.directions[metric])
    if learnt != "learnt":
        alarm = score_check(f"The teacher {bench.teacher.name}", metric, score.value, floor, learnt)["alarm"]
        raise TeacherError(
            f"{alarm} Students would learn nothing from it. Fine-tune it longer (teacher.fine_tune_epochs, "
            "teacher.fine_tune_lr), give a checkpoint that knows the task, or more data; teacher.allow_weak=true goes "
            "on all the same."
        )


def trainer_arguments(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The trainer group's keys that are Lightning's own."""
    ours = ("threads", "teacher_precision", "accumulate", "compile", "checkpoint_every_steps", "callbacks")
    return {key: value for key, value in trainer.items() if key not in ours}
