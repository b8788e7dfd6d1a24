"""A task of your own: a TSV file in, a small model out, loaded with transformers and with onnxruntime.

    python examples/02_own_task.py                         # with the packaged teacher
    python examples/02_own_task.py teacher.path=DIR        # with yours; arguments are overrides

The texts are made up on the spot and easy; put your own file in their place.
"""

from __future__ import annotations

import csv
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

import autodistill

#: Class -> words that give it away.
TOPICS = {
    "cooking": ("onion", "oven", "butter", "simmer", "recipe"),
    "cycling": ("saddle", "gear", "pedal", "climb", "helmet"),
    "sailing": ("mast", "harbour", "wind", "anchor", "deck"),
}

#: Words that say nothing about the class.
OTHERS = """after again always another because before better every friend good house later little long morning never
often once other people place quite really right slowly still story thing think today together under usually weather
while without world write year yesterday""".split()


def write_texts(path: Path, rows: int, seed: int) -> None:
    """Write a tab-separated file with the columns ``sentence`` and ``topic``."""
    rng = random.Random(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["sentence", "topic"])
        for _ in range(rows):
            topic = rng.choice(list(TOPICS))
            words = [*rng.sample(OTHERS, rng.randint(5, 12)), *rng.sample(TOPICS[topic], 2)]
            rng.shuffle(words)
            writer.writerow([" ".join(words), topic])


def classify_with_transformers(directory: Path, text: str) -> str:
    """Answer of the saved model, by transformers' Auto classes."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    with torch.no_grad():
        logits = model(**tokenizer(text, return_tensors="pt")).logits
    return str(model.config.id2label[int(logits.argmax())])


def classify_with_onnxruntime(directory: Path, text: str) -> str:
    """Answer of the exported file; the tokeniser and the names of the classes lie beside it."""
    import onnxruntime
    from transformers import AutoConfig, AutoTokenizer

    session = onnxruntime.InferenceSession(directory / "model.onnx", providers=["CPUExecutionProvider"])
    tokens = AutoTokenizer.from_pretrained(directory)(text, return_tensors="np")
    wanted = {item.name for item in session.get_inputs()}
    logits = session.run(None, {name: np.asarray(tokens[name], np.int64) for name in wanted})[0]
    return str(AutoConfig.from_pretrained(directory).id2label[int(logits.argmax())])


def main(arguments: list[str]) -> None:
    """Distil on the made-up texts and ask the first pick about a new one."""
    with tempfile.TemporaryDirectory() as folder:
        train, test = Path(folder, "train.tsv"), Path(folder, "test.tsv")
        write_texts(train, 600, seed=0)
        write_texts(test, 200, seed=1)
        overrides = [
            "data=text_classification",
            f"data.train={train}",
            f"data.test={test}",
            "data.text_columns=[sentence]",
            "data.label_column=topic",
            "study.name=own_task",
            "schedule.examples=4000",
            "budget.trials=4",
            "picks.max=1",
            *arguments,
        ]
        study = autodistill.run(autodistill.compose(overrides), overrides=overrides)
    pick = study.summary()["picks"][0]
    folder_of_pick = (study.directory / pick["paths"]["hf"]).parent
    text = "they lost the anchor and the wind"
    print(f"{pick['name']}: {pick['architecture']}")
    print(f"transformers: {text!r} is about {classify_with_transformers(folder_of_pick / 'hf', text)}")
    print(f"onnxruntime: {text!r} is about {classify_with_onnxruntime(folder_of_pick / 'onnx', text)}")


if __name__ == "__main__":
    main(sys.argv[1:])
