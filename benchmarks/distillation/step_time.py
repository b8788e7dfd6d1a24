"""What does a training step cost here, in a bare PyTorch loop, in TextBrewer and in a Hugging Face Trainer?

    python -m benchmarks.distillation.step_time --teacher 6x384 --steps 60 [--rounds 3] [--contenders bare ...]
    ... --device cuda --precision bf16-mixed [--compile]                             # on a GPU

One student, the teacher runs in every step (no cache), on the same batches of the same stream, with the same losses
(KL of the logits at temperature 2, mean squared error of hidden states with learned projections), fused AdamW and
clipped gradients. The bare loop and the Trainer call our loss functions; TextBrewer has its own of the same kind.
Models have random weights: a step costs the same. Contenders take turns within each round, and the order changes from
round to round. A step is timed from one batch to the next; the first five of a contender's round are left out. On a
GPU, which works behind the program's back, ten steps at a time are timed, from one synchronisation to the next, and the
first ten are left out. With ``bf16-mixed`` the teacher stays in fp32 for all, as its cached features would be;
``--compile`` compiles the student's blocks for all.

``textbrewer`` and ``accelerate`` (which the Trainer needs) are installed for this benchmark only:
``pip install --target DIR --no-deps textbrewer accelerate`` and ``PYTHONPATH=DIR``. A contender whose package is
missing is named and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import datasets
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from autodistill.components.students import Dimensions
from autodistill.components.task import TaskData, TaskSpec
from autodistill.components.training import Batch, FeatureKey, LossContext, Optimisation, Phase
from autodistill.engine.environment import prepare_process
from autodistill.losses.configs import HiddenMSEConfig, LogitsKLConfig
from autodistill.losses.hidden_mse import HiddenMSE
from autodistill.losses.logits_kl import LogitsKL
from autodistill.schedules.layer_mapping import layer_pairs
from autodistill.training.batches import on_device
from autodistill.training.distil import Distillation, distil
from autodistill.training.precision import compiled
from autodistill.training.stream import ExampleStream
from autodistill.training.teacher_features import OnlineTeacherFeatures
from autodistill.training.tokenised import TokenisedSplit, tokenise
from benchmarks.distillation.results import output_of, write_section
from benchmarks.sections import script_parser

#: Steps of a contender's round that are not counted: allocators and caches fill.
WARM_UP = 5

#: Steps between two synchronisations of a GPU.
GPU_STEPS = 10

#: BERT's vocabulary.
VOCABULARY = 30522

CLASSES = 2

#: Package that a contender needs.
NEEDS = {"textbrewer": "textbrewer", "huggingface": "accelerate"}


@dataclass(frozen=True)
class Setting:
    """What is trained: layers and width of both models, batch, tokens; and where and how.

    ``compile`` is whether the student's blocks are compiled.
    """

    teacher: tuple[int, int]
    student: tuple[int, int]
    batch_size: int
    length: int
    steps: int
    device: str = "cpu"
    precision: str = "32-true"
    compile: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on CUDA."""
        return self.device == "cuda"

    @property
    def counted_together(self) -> int:
        """Steps that are timed as one."""
        return GPU_STEPS if self.on_gpu else 1

    @property
    def uncounted(self) -> int:
        """How many of these are left out at the start of a round."""
        return 1 if self.on_gpu else WARM_UP


class Work:
    """Data, models and losses of one contender's round, made anew."""

    def __init__(self, setting: Setting, split: TokenisedSplit) -> None:
        self.setting, self.split = setting, split
        self.stream = ExampleStream(len(split), 0)
        torch.manual_seed(0)
        self.teacher, self.student = model(*setting.teacher), model(*setting.student)
        (layers, width), (teacher_layers, teacher_width) = setting.student, setting.teacher
        self.pairs = layer_pairs("uniform", layers, teacher_layers)
        context = LossContext(
            Dimensions(layers, width, heads(width), CLASSES),
            Dimensions(teacher_layers, teacher_width, heads(teacher_width), CLASSES),
            self.pairs,
            task(),
        )
        self.kl = LogitsKL(context, **vars(LogitsKLConfig(temperature=2.0)))
        self.hidden = HiddenMSE(context, **vars(HiddenMSEConfig(embeddings=False)))
        self.times: list[float] = []

    def to_device(self) -> Work:
        """Put models and losses where they are trained, for contenders that do not."""
        for model in (self.teacher, self.student):
            model.to(self.setting.device)
        for projection in self.projections():
            projection.data = projection.data.to(self.setting.device)
        return self

    def mixed(self) -> contextlib.AbstractContextManager[Any]:
        """What the student's pass and the losses run under."""
        enabled = self.setting.precision == "bf16-mixed"
        return torch.autocast(self.setting.device, torch.bfloat16, enabled=enabled)

    def taught(self, given: dict[str, Tensor]) -> Any:
        """The teacher's output, in fp32."""
        with torch.no_grad(), torch.autocast(self.setting.device, enabled=False):
            return self.teacher(**given, output_hidden_states=True)

    def mark(self, step: int) -> None:
        """Write down the time at which a step begins, or the last has ended."""
        if step % self.setting.counted_together == 0:
            if self.setting.on_gpu:
                torch.cuda.synchronize()
            self.times.append(time.perf_counter())

    def batches(self) -> Iterator[Batch]:
        """The batches of the round, on their device; the time is written down when one is asked for."""
        size, device = self.setting.batch_size, torch.device(self.setting.device)
        for step in range(self.setting.steps):
            self.mark(step)
            yield on_device(self.split.batch(self.stream.rows_at(step * size, (step + 1) * size)), device)
        self.mark(self.setting.steps)

    def loss(self, student: Any, teacher: Any, batch: Batch) -> Tensor:
        """The weighted sum of the losses of two models' outputs."""
        own, other = self.features(student), self.features(teacher)
        return self.kl(own, other, batch) + self.hidden(own, other, batch)

    def features(self, output: Any) -> dict[FeatureKey, Tensor]:
        """What the losses read of a model's output."""
        return {
            ("logits", None): output.logits,
            **{("hidden_states", layer): state for layer, state in enumerate(output.hidden_states)},
        }

    def projections(self) -> list[nn.Parameter]:
        """Trained beside the student."""
        return list(self.hidden.parameters())


def task() -> TaskSpec:
    """Two classes that nobody reads."""
    return TaskSpec("classification", ("a", "b"), ("text",), "classification.accuracy")


def heads(width: int) -> int:
    """Heads of width 64, as in BERT, or as many as divide the width."""
    return next(number for number in range(max(1, width // 64), 0, -1) if width % number == 0)


def model(layers: int, width: int) -> Any:
    """A BERT with random weights and no dropout."""
    config = BertConfig(
        vocab_size=VOCABULARY,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads(width),
        intermediate_size=4 * width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=CLASSES,
    )
    return BertForSequenceClassification(config).eval()


def make_split(setting: Setting, folder: Path) -> TokenisedSplit:
    """Texts of random words, all of the same length."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{index}" for index in range(VOCABULARY - len(special))]
    backend = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(special + words)}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
    )
    draw = np.random.default_rng(0)
    examples = 16 * setting.batch_size
    texts = [" ".join(draw.choice(words, setting.length - 2)) for _ in range(examples)]
    columns = {"id": [str(index) for index in range(examples)], "text": texts, "label": [0, 1] * (examples // 2)}
    data = TaskData(task(), {"train": datasets.Dataset.from_dict(columns)}, f"step-time-{setting}")
    return tokenise(data, tokenizer, setting.length, folder)["train"]


def autodistill_steps(work: Work, folder: Path) -> None:
    """Our own training, as a study runs it, the teacher online."""
    keys = work.kl.teacher_features | work.hidden.teacher_features
    distil(
        Distillation(
            student=work.student,
            losses={"kl": (work.kl, 1.0), "hidden": (work.hidden, 1.0)},
            phases=(Phase("all", frozenset({"transfer", "prediction"}), work.setting.steps),),
            optimisation=Optimisation(work.setting.batch_size, 1e-4, 0.1, 0.01, 1.0),
            train=work.split,
            stream=work.stream,
            teacher=OnlineTeacherFeatures(work.teacher, keys),
            seed=0,
            checkpoint_dir=folder,
            trainer={"accelerator": work.setting.device, "precision": work.setting.precision},
            checkpoint_every_steps=10**9,  # what the others do not do either
            progress=lambda step, steps: work.mark(step) if step < steps or work.setting.on_gpu else None,
        )
    )


def bare_steps(work: Work, folder: Path) -> None:
    """The loop that one would write by hand."""
    student = work.to_device().student.train()
    trained = [*student.parameters(), *work.projections()]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, work.setting.steps)
    for batch in work.batches():
        given = inputs(batch)
        teacher = work.taught(given)
        optimiser.zero_grad(set_to_none=True)
        with work.mixed():
            loss = work.loss(student(**given, output_hidden_states=True), teacher, batch)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()


def inputs(batch: Batch) -> dict[str, Tensor]:
    """A model's arguments."""
    return {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask.long(),
        "token_type_ids": batch.token_type_ids,
    }


def textbrewer_steps(work: Work, folder: Path) -> None:
    """TextBrewer's GeneralDistiller."""
    from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig

    class Batches:
        """What TextBrewer asks of a data loader."""

        def __len__(self) -> int:
            return work.setting.steps

        def __iter__(self) -> Iterator[dict[str, Tensor]]:
            for batch in work.batches():
                yield {**inputs(batch), "output_hidden_states": True}

    class InFloat32(nn.Module):
        """The teacher outside autocast."""

        def __init__(self, teacher: Any) -> None:
            super().__init__()
            self.teacher = teacher

        def forward(self, output_hidden_states: bool, **given: Tensor) -> Any:
            return work.taught(given)

    def adaptor(batch: dict[str, Tensor], output: Any) -> dict[str, Any]:
        return {"logits": output.logits, "hidden": output.hidden_states, "inputs_mask": batch["attention_mask"]}

    widths = (work.setting.student[1], work.setting.teacher[1])
    matches = [
        {"layer_T": other, "layer_S": own, "feature": "hidden", "loss": "hidden_mse", "weight": 1.0 / len(work.pairs)}
        | ({"proj": ["linear", *widths]} if widths[0] != widths[1] else {})
        for own, other in work.pairs
    ]
    work.to_device()
    distiller = GeneralDistiller(
        TrainingConfig(device=work.setting.device, output_dir=str(folder), log_dir=None, ckpt_steps=10**9),
        DistillationConfig(temperature=2, hard_label_weight=0, kd_loss_type="ce", intermediate_matches=matches),
        InFloat32(work.teacher),
        work.student,
        adaptor,
        adaptor,
    )
    optimiser = torch.optim.AdamW(work.student.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    with distiller, work.mixed():  # it has no bf16 of its own
        distiller.train(optimiser, Batches(), num_epochs=1, max_grad_norm=1.0, callback=None)


def huggingface_steps(work: Work, folder: Path) -> None:
    """A Hugging Face Trainer whose loss is the distillation loss."""
    from transformers import Trainer, TrainingArguments

    class Both(nn.Module):
        """The student and what is trained beside it."""

        def __init__(self) -> None:
            super().__init__()
            self.student = work.student
            self.extra = nn.ParameterList(work.projections())

    class Batches(torch.utils.data.IterableDataset[Any]):
        def __len__(self) -> int:
            return work.setting.steps

        def __iter__(self) -> Iterator[dict[str, Any]]:
            for batch in work.batches():
                yield {"batch": batch}

    class Distiller(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(Batches(), batch_size=None)

        def compute_loss(
            self, model: Any, given: dict[str, Any], return_outputs: bool = False, **unused: Any
        ) -> Tensor:
            batch = given["batch"]
            teacher = work.taught(inputs(batch))
            return work.loss(model.student(**inputs(batch), output_hidden_states=True), teacher, batch)

        def _prepare_inputs(self, given: dict[str, Any]) -> dict[str, Any]:
            return given  # the batch is on its device already

    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=work.setting.steps,
        per_device_train_batch_size=work.setting.batch_size,
        learning_rate=1e-4,
        weight_decay=0.01,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        save_strategy="no",
        report_to=[],
        use_cpu=not work.setting.on_gpu,
        bf16=work.setting.precision == "bf16-mixed",
        disable_tqdm=True,
        remove_unused_columns=False,
        logging_steps=50,
    )
    work.to_device()
    Distiller(Both(), arguments, train_dataset=Batches()).train()


CONTENDERS: dict[str, Callable[[Work, Path], None]] = {
    "bare": bare_steps,
    "autodistill": autodistill_steps,
    "huggingface": huggingface_steps,
    "textbrewer": textbrewer_steps,
}


def timed_round(name: str, setting: Setting, split: TokenisedSplit) -> list[float]:
    """Seconds per step of one round of a contender."""
    work = Work(setting, split)
    blocks = compiled(work.student) if setting.compile else contextlib.nullcontext()
    with tempfile.TemporaryDirectory() as folder, blocks:
        CONTENDERS[name](work, Path(folder))
    found = np.diff(work.times)[setting.uncounted :] / setting.counted_together
    return [float(value) for value in found]


def sizes(text: str) -> tuple[int, int]:
    """``"12x768"`` -> (12, 768)."""
    layers, _, width = text.partition("x")
    return int(layers), int(width)


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--teacher", type=sizes, default=(12, 768), help="LAYERSxWIDTH")
    parser.add_argument("--student", type=sizes, default=(4, 256), help="LAYERSxWIDTH")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    parser.add_argument("--compile", action="store_true", help="the student's blocks, of all contenders")
    return parser


def main() -> int:
    """Time, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    setting = Setting(
        *(given.teacher, given.student, given.batch_size, given.length, given.steps),
        *(given.device, given.precision, given.compile),
    )
    least = (setting.uncounted + 1) * setting.counted_together
    if given.steps <= least:
        parser.error(f"--steps must be more than {least}")
    section = "step_time" if given.device == "cpu" else f"step_time_{_kind(setting)}"
    output = output_of(parser, given, section, settings_of)
    prepare_process({"threads": given.threads})
    missing = [name for name in given.contenders if name in NEEDS and find_spec(NEEDS[name]) is None]
    for name in missing:
        print(f"{name} is left out: it needs the package {NEEDS[name]}")
    names = [name for name in given.contenders if name not in missing]
    seconds: dict[str, list[list[float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        split = make_split(setting, Path(folder))
        for index in range(given.rounds):
            for name in [*names[index % len(names) :], *names[: index % len(names)]]:
                seconds[name].append(timed_round(name, setting, split))
    results: dict[str, Any] = {}
    for name, rounds in seconds.items():
        steps = [step for each in rounds for step in each]
        results[name] = {
            "median_ms": 1000 * median(steps),
            "p90_ms": 1000 * float(np.quantile(steps, 0.9)),
            "n": len(steps),
            "median_ms_of_rounds": [1000 * median(each) for each in rounds],
        }
        if "bare" in seconds:
            ratios = [median(own) / median(bare) for own, bare in zip(rounds, seconds["bare"], strict=True)]
            results[name]["ratio_to_bare_of_rounds"] = ratios
            results[name]["ratio_to_bare"] = median(ratios)
        ratio = results[name].get("ratio_to_bare", float("nan"))
        found = f"{results[name]['median_ms']:9.2f} ms a step (p90 {results[name]['p90_ms']:.1f})"
        print(f"{name:12} {found}, {ratio:.3f} of bare")
    write_section(output, section, settings_of(given), results)
    return 0


def _kind(setting: Setting) -> str:
    """``cuda_bf16-mixed_compiled``: what a GPU's figures are kept by, one beside the other."""
    return "_".join((setting.device, setting.precision, *(["compiled"] if setting.compile else [])))


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    return {key: value for key, value in vars(given).items() if key != "output"}


if __name__ == "__main__":
    sys.exit(main())
