"""What the real tables are made of: spaces, recipes, data, and the architectures, a uniform sample of each space.

Everything that decides a figure of a table is here; `benchmarks.search.make_table` carries it out with the project's
own engine, one study per family.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodistill.components.architecture import Architecture
from autodistill.engine.space import Space, build_space

#: Seed of the study (data stream, students' random parts) and of the sample of architectures.
SEED = 0

#: Shares of a flash run at which replicate 0 is scored, so that stopping rules can be judged on the table.
RUNGS = (0.25, 0.5, 0.75)

#: Replicates of every flash run: another order of the examples, another random start of what the teacher cannot give.
REPLICATES = (0, 1)

#: Examples per step: twice as many steps for the same examples as with the default of 32, and better flash scores.
BATCH_SIZE = 16

#: Tokens of the timed requests: close to the deciles (5 %, 15 %, ..., 95 %) of the whole sentences of SST-2's dev set,
#: which are 10, 14, 17, 20, 23, 26, 29, 32, 37 and 44. The train set is of phrases, 10 tokens long in the median, which
#: nobody would send to a server one by one.
LENGTHS = (8, 13, 17, 20, 23, 26, 29, 33, 37, 45)


@dataclass(frozen=True)
class TableFamily:
    """One table.

    Args:
        space: parameter -> choices.
        rules: label -> expression.
        architectures: how many are drawn from the space.
        full: how many of them also get the full recipe.
        flash_examples: training examples of a flash run. A MobileBERT starts from random weights but for its word
            embeddings, as the teacher has none that fit; with less, it is still at chance.
        full_examples: training examples of the full recipe.
        lr: peak learning rate of the family's recipe, at the reference sizes of the rule of width and depth.
    """

    space: Mapping[str, list[int]]
    rules: Mapping[str, str]
    architectures: int
    full: int
    flash_examples: int
    full_examples: int
    lr: float


FAMILIES = {
    "bert": TableFamily(
        space={
            "num_layers": [1, 2, 3, 4, 5, 6],
            "hidden_size": [96, 144, 192, 240, 288, 336, 384],
            "num_heads": [2, 4, 6, 12],
            "intermediate_size": [128, 192, 256, 384, 512, 768, 1024, 1536],
        },
        rules={"heads_divide_width": "hidden_size % num_heads == 0"},
        architectures=120,
        full=22,
        flash_examples=1280,
        full_examples=12800,
        lr=2e-4,
    ),
    "mobilebert": TableFamily(
        space={
            "num_layers": [2, 3, 4, 6, 8],
            "hidden_size": [192, 256, 384, 512],
            "bottleneck_size": [32, 64, 96, 128],
            "num_heads": [1, 2, 4, 8],
            "intermediate_size": [64, 128, 256, 384, 512],
            "num_ffn": [1, 2, 4],
        },
        rules={
            "heads_divide_bottleneck": "bottleneck_size % num_heads == 0",
            "wider_than_embedding": "hidden_size > 128",
        },
        architectures=82,
        full=18,
        flash_examples=2560,
        full_examples=20480,
        lr=2e-4,
    ),
}


def table_space(family: str) -> Space:
    """The whole space that the family's table is a sample of."""
    chosen = FAMILIES[family]
    return build_space(family, chosen.space, chosen.rules)


def table_architectures(family: str) -> list[Architecture]:
    """The table's architectures: uniform over the space, without repeats, in the order of the draw."""
    wanted = FAMILIES[family].architectures
    drawn = table_space(family).sample(10 * wanted, SEED)  # ten times as many: repeats are rare
    return list(dict.fromkeys(drawn))[:wanted]


def full_recipe(flops: Mapping[Architecture, float], count: int) -> list[Architecture]:
    """The architectures that get the full recipe: the middle one of each of ``count`` equal bands of FLOPs."""
    ranked = sorted(flops, key=lambda architecture: (flops[architecture], architecture.canonical))
    return [ranked[int((band + 0.5) * len(ranked) / count)] for band in range(count)]


def table_overrides(
    family: str, data: Path, work: Path, rungs: Sequence[float] = RUNGS, more: Sequence[str] = ()
) -> list[str]:
    """The configuration of the family's study.

    Args:
        family: a key of `FAMILIES`.
        data: folder with ``glue/SST-2``.
        work: folder for studies, cache and storage; not part of the result.
        rungs: shares of a flash run at which it is scored.
        more: overrides on top, of what decides no figure: where it is trained, where the teacher's files are.
    """
    chosen, files = FAMILIES[family], data / "glue" / "SST-2"
    space: dict[str, Any] = {name: list(values) for name, values in chosen.space.items()}
    return [
        f"study.name=table_{family}",
        f"output_dir={work}",
        f"seed={SEED}",
        "data=text_classification",
        f"data.train={files / 'train.tsv.gz'}",
        f"data.test={files / 'dev.tsv'}",
        "data.text_columns=[sentence]",
        "data.label_column=label",
        "data.select_max=2000",
        "data.train_limit=20000",
        "data.max_length=64",
        "teacher=quickstart",
        f"student={family}",
        f"student.space={_hydra(space)}",
        "loss=[quickstart]",
        "schedule=one_phase",
        f"schedule.examples={chosen.full_examples}",
        f"schedule.flash_fidelity={chosen.flash_examples / chosen.full_examples}",
        f"schedule.lr={chosen.lr}",
        f"schedule.batch_size={BATCH_SIZE}",
        "evaluator=[agreement,size]",
        "baseline=[]",
        "export=[]",
        f"pruner.rungs=[{','.join(map(str, rungs))}]",
        "logger=none",
        "trainer.threads=1",
        "latency=[]",
        *_latency("fp32"),
        *_latency("int8"),
        *more,
    ]


def _latency(precision: str) -> list[str]:
    """A backend labelled by its precision; one thread, so that a busy neighbour core matters least."""
    settings = {"name": "onnxruntime", "precision": precision, "threads": 1, "lengths": list(LENGTHS)}
    return [f"+latency.{precision}={_hydra(settings)}"]


def _hydra(value: Any) -> str:
    """A value in the grammar of Hydra's overrides."""
    return json.dumps(value, separators=(",", ":")).replace('"', "")
