"""Wall time, disk and memory of several students with one teacher: with its features cached, and without.

    python -m benchmarks.distillation.cache --work DIR --threads 2 [--students 8] [--steps 200] [--tiny --output FILE]
    ... --threads 1 --device cuda --precision bf16-mixed --one-process               # on a GPU

The teacher has BERT-base's size and random weights, the students about 5M parameters (`SIZES`), the texts are random
words of exactly ``--length`` tokens. All students read the same stream, as the trials of a study do. With the cache
the teacher runs once over the prefix (its time counts) and the students read its files; without, it runs in every step.
Both use the project's own loop and the losses of ``--losses``.

Every unit (the teacher's pass; a student with or without the cache) is a process of its own, so that its peak memory
is its own, and a line of DIR/records.jsonl: the same command goes on where it was cut off, and one of other settings
needs another DIR. Seconds are those of the pass or of the training, not of the process's start. The cache's pages are
warm in the page cache after the pass, as they are in a study. ``--one-process`` spares the starts: the host's peak
memory is then that of all before. On a GPU one unit that does not count goes first, since its libraries load on first
use.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from autodistill.components.students import Dimensions
from autodistill.components.task import TaskData, TaskSpec
from autodistill.components.training import DistillationLoss, FeatureKey, LossContext, Optimisation, Phase
from autodistill.engine.workbench import model_dimensions
from autodistill.registry import default_registry
from autodistill.schedules.layer_mapping import layer_pairs
from autodistill.training.distil import Distillation, distil
from autodistill.training.softened import teacher_needs_of
from autodistill.training.stream import ExampleStream
from autodistill.training.teacher_cache import TeacherCache
from autodistill.training.teacher_features import OnlineTeacherFeatures, cached_teacher_features
from autodistill.training.tokenised import TokenisedSplit, tokenise
from benchmarks.distillation.results import output_of, write_section
from benchmarks.sections import append_line, script_parser

TASK = TaskSpec("classification", ("a", "b"), ("text",), "classification.accuracy", label_free=True)

#: Layers, width, heads and feed-forward width of the students: 4.6M to 5.6M parameters with BERT's vocabulary.
SIZES = (
    *((4, 128, 4, 512), (6, 128, 4, 512), (8, 128, 2, 384), (3, 144, 4, 576)),
    *((2, 144, 2, 768), (4, 136, 4, 544), (10, 120, 4, 360), (12, 112, 4, 448)),
)

#: A BERT-base teacher: layers, width, heads, feed-forward width; and what ``--tiny`` takes for a try.
TEACHER, TINY_TEACHER = (12, 768, 12, 3072), (2, 64, 4, 128)
VOCABULARY, TINY_VOCABULARY = 30522, 500


def model_of(size: tuple[int, int, int, int], words: int, length: int, seed: int) -> Any:
    """A classifier with random weights."""
    layers, hidden, heads, inner = size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForSequenceClassification(
            BertConfig(
                vocab_size=words,
                num_hidden_layers=layers,
                hidden_size=hidden,
                num_attention_heads=heads,
                intermediate_size=inner,
                max_position_embeddings=max(length, 64),
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        ).eval()


def texts(examples: int, words: int, length: int, work: Path) -> TokenisedSplit:
    """Random words, tokenised into ``work``."""
    vocabulary = {f"w{index}": index for index in range(words)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="w0", unk_token="w0")
    rng = np.random.default_rng(0)
    lines = [" ".join(f"w{word}" for word in rng.integers(1, words, length)) for _ in range(examples)]
    split = datasets.Dataset.from_dict({"id": [str(index) for index in range(examples)], "text": lines})
    data = TaskData(TASK, {"train": split}, f"benchmark-{examples}-{words}-{length}")
    return tokenise(data, tokenizer, length, work)["train"]


class Setting:
    """Models, texts and losses of one command."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.words = TINY_VOCABULARY if given.tiny else VOCABULARY
        self.train = texts(given.steps * given.batch_size, self.words, given.length, given.work / "texts")
        self.teacher = model_of(TINY_TEACHER if given.tiny else TEACHER, self.words, given.length, seed=0)
        self.teacher.to(given.device)

    def student(self, number: int) -> tuple[Any, dict[str, tuple[DistillationLoss, float]]]:
        """A student and its losses."""
        model = model_of(SIZES[number % len(SIZES)], self.words, self.given.length, seed=number + 1)
        return model, self.losses(model_dimensions(model))

    def losses(self, student: Dimensions) -> dict[str, tuple[DistillationLoss, float]]:
        """Label -> (loss, weight), the components' defaults."""
        teacher, registry = model_dimensions(self.teacher), default_registry()
        context = LossContext(student, teacher, layer_pairs("uniform", student.layers, teacher.layers), TASK)
        built = {}
        for name in self.given.losses.split(","):
            parameters = vars(registry.get("loss", name).spec.config())
            built[name] = registry.create("loss", name, parameters, context), 1.0
        return built

    @property
    def keys(self) -> frozenset[FeatureKey]:
        """What any student's losses ask for."""
        losses = [self.student(number)[1] for number in range(self.given.students)]
        return teacher_needs_of(loss for group in losses for loss, _ in group.values())

    def cache(self) -> TeacherCache:
        """The cache, written if need be."""
        folder = self.given.work / "cache"
        found = cached_teacher_features(self.teacher, self.train, self.keys, folder, "benchmark", 10**15, None)
        if not isinstance(found, TeacherCache):
            raise SystemExit("The losses ask for nothing of the teacher: there is nothing to cache.")
        return found


def run_unit(given: argparse.Namespace) -> dict[str, Any]:
    """Do one unit: ``pass``, ``cached:I`` or ``online:I``."""
    torch.set_num_threads(given.threads)
    setting = Setting(given)
    kind, _, number = given.unit.partition(":")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if kind == "pass":
        shutil.rmtree(given.work / "cache", ignore_errors=True)  # of a pass that was cut off
        keys = setting.keys
        started = time.perf_counter()
        cache = setting.cache()
        seconds = time.perf_counter() - started
        size = sum(path.stat().st_size for path in cache.directory.iterdir())
        return {"seconds": seconds, "disk_bytes": size, "features": len(keys), **_memory()}
    student, losses = setting.student(int(number))
    keys = teacher_needs_of(loss for loss, _ in losses.values())
    teacher: Any = setting.cache() if kind == "cached" else OnlineTeacherFeatures(setting.teacher, keys)
    if kind == "cached":
        setting.teacher = None
    folder = given.work / "runs" / given.unit.replace(":", "-")
    shutil.rmtree(folder, ignore_errors=True)
    request = Distillation(
        student=student,
        losses=losses,
        phases=[Phase("all", frozenset({"transfer", "prediction"}), given.steps)],
        optimisation=Optimisation(given.batch_size, 3e-4, 0.1, 0.01, 1.0),
        train=setting.train,
        stream=ExampleStream(len(setting.train), 0, setting.train.lengths),
        teacher=teacher,
        seed=0,
        checkpoint_dir=folder,
        trainer={"accelerator": given.device, "precision": given.precision},
        checkpoint_every_steps=10**9,
    )
    started = time.perf_counter()
    result = distil(request)
    seconds = time.perf_counter() - started
    if result.state != "complete":
        raise SystemExit(f"{given.unit} ended as {result.state} after {result.steps} of {given.steps} steps.")
    shutil.rmtree(folder, ignore_errors=True)
    parameters = sum(parameter.numel() for parameter in student.parameters())
    return {"seconds": seconds, "parameters": parameters, "last_loss": result.losses["total"], **_memory()}


def _memory() -> dict[str, int]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux gives kilobytes
    device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return {"peak_memory_bytes": peak, "peak_device_bytes": device}


def summary(records: dict[str, dict[str, Any]], students: int) -> dict[str, Any]:
    """The ratio and what it rests on."""
    cached = [records[f"cached:{index}"] for index in range(students)]
    online = [records[f"online:{index}"] for index in range(students)]
    with_cache = records["pass"]["seconds"] + sum(unit["seconds"] for unit in cached)
    without = sum(unit["seconds"] for unit in online)
    return {
        "students": students,
        "seconds_with_cache": round(with_cache, 2),
        "seconds_without_cache": round(without, 2),
        "ratio": round(without / with_cache, 3),
        "seconds_of_the_pass": round(records["pass"]["seconds"], 2),
        "disk_bytes": records["pass"]["disk_bytes"],
        "peak_memory_bytes_with_cache": max(unit["peak_memory_bytes"] for unit in (records["pass"], *cached)),
        "peak_memory_bytes_without_cache": max(unit["peak_memory_bytes"] for unit in online),
        "largest_relative_difference_of_last_losses": max(
            abs(own["last_loss"] - other["last_loss"]) / abs(other["last_loss"])
            for own, other in zip(cached, online, strict=True)
        ),
        "units": records,
    }


def read_records(path: Path, settings: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Unit -> what was measured with these settings; half a line is what a kill leaves.

    Raises:
        SystemExit: a record is of other settings, or does not tell them, as those of earlier versions do not.
    """
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        made = record.pop("settings", {})
        if other := [name for name, value in settings.items() if made.get(name) != value]:
            raise SystemExit(
                f"{path} has records of other settings ({', '.join(other)}), which cannot be compared with those of "
                "this command: give the settings of the records, or name another folder, --work DIR."
            )
        found[record.pop("unit")] = record
    return found


def unit_here(given: argparse.Namespace, unit: str) -> str:
    """A line of the records, of a unit done in this process."""
    found = run_unit(argparse.Namespace(**vars(given) | {"unit": unit}))
    return json.dumps({"unit": unit, "settings": settings_of(given), **found})


def unit_apart(unit: str) -> str:
    """A line of the records, of a unit done in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.distillation.cache", *sys.argv[1:], "--unit", unit]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


def settings_of(given: argparse.Namespace) -> dict[str, str]:
    """What the results depend on."""
    return {key: str(value) for key, value in vars(given).items() if key not in ("work", "output", "unit")}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of texts, cache and records")
    parser.add_argument("--students", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--length", type=int, default=64, help="tokens per text")
    parser.add_argument("--losses", default="logits_kl,minilm_relation", help="registry names")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one-process", action="store_true", help="all units in this process")
    parser.add_argument("--tiny", action="store_true", help="small models, to try the script")
    parser.add_argument("--unit", help=argparse.SUPPRESS)
    return parser


def main() -> int:
    """Run what is missing and write the results."""
    parser = make_parser()
    given = parser.parse_args()
    if given.unit:
        print(unit_here(given, given.unit))
        return 0
    section = "cache" if given.device == "cpu" else f"cache_{given.device}_{given.precision}"
    output = output_of(parser, given, section, settings_of)
    given.work.mkdir(parents=True, exist_ok=True)
    path = given.work / "records.jsonl"
    kinds = [f"{kind}:{index}" for index in range(given.students) for kind in ("cached", "online")]
    records = read_records(path, settings_of(given))
    units = [unit for unit in ("pass", *kinds) if unit not in records]
    if given.one_process and given.device == "cuda" and units:
        unit_here(given, "online:0")
    for unit in units:
        line = unit_here(given, unit) if given.one_process else unit_apart(unit)
        append_line(path, line)
        print(line, flush=True)
    found = summary(read_records(path, settings_of(given)), given.students)
    print(json.dumps({key: value for key, value in found.items() if key != "units"}, indent=1))
    write_section(output, section, settings_of(given), found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
