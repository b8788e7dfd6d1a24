"""Tokenising throughput: the corpus source against `datasets.map` with the same tokeniser, processes and packing.

    .venv/bin/python -m benchmarks.data.tokenise

Both read the same text file, generated or that of ``--text``, one document per line, and leave packed rows of 128
tokens on the disk. `datasets` does the same work and no more: one batched pass that tokenises and packs, by the same
call of the same tokeniser, in as many processes, rows of two bytes per token, no masks or token types, its own threads
off as ours are.
Each is run in turn, several times, in fresh folders; the time is the wall clock from the file to rows that can be read,
without the start of Python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.data.results import output_of, read_section, write_section
from benchmarks.data.text import write_text
from benchmarks.sections import script_parser

LENGTH = 128


def ours(text: Path, folder: Path, processes: int) -> int:
    """Survey, tokenise and pack; returns the tokens of the training rows."""
    from dataclasses import asdict

    from autodistill.components.task import DataContext
    from autodistill.data.corpus import Corpus
    from autodistill.data.corpus_configs import CorpusConfig
    from autodistill.training.tokenised import tokenise

    config = CorpusConfig(
        path=str(text),
        documents="line",
        select_documents=1,
        test_documents=0,
        workers=processes,
        max_length=LENGTH,
    )
    data = Corpus(DataContext(folder), **asdict(config)).load()
    return int(tokenise(data, tokenizer(), LENGTH, folder)["train"].lengths.sum())


def theirs(text: Path, folder: Path, processes: int) -> int:
    """`datasets`: load, then tokenise and pack in one pass; returns the tokens."""
    import datasets
    import numpy as np
    import pyarrow.compute

    tokeniser = tokenizer()
    start, end, room = tokeniser.cls_token_id, tokeniser.sep_token_id, LENGTH - 2
    backend = tokeniser.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()

    def rows(batch: dict[str, list[str]]) -> dict[str, list[Any]]:
        encoded = backend.encode_batch_fast(batch["text"], add_special_tokens=False)
        flat = np.concatenate([np.array([*item.ids, end], dtype=np.uint16) for item in encoded])
        pieces = (flat[at : at + room] for at in range(0, len(flat), room))
        return {"input_ids": [np.concatenate([[start], piece, [end]]).astype(np.uint16) for piece in pieces]}

    raw = datasets.load_dataset("text", data_files=str(text), split="train", cache_dir=str(folder / "hf"))
    packed = raw.map(
        rows,
        batched=True,
        num_proc=processes if processes > 1 else None,
        remove_columns=["text"],
        features=datasets.Features({"input_ids": datasets.Sequence(datasets.Value("uint16"))}),
    )
    return int(pyarrow.compute.sum(pyarrow.compute.list_value_length(packed.data.column("input_ids"))).as_py())


def tokenizer() -> Any:
    """The packaged teacher's."""
    from transformers import AutoTokenizer

    from autodistill.teachers.packaged import packaged_directory

    return AutoTokenizer.from_pretrained(packaged_directory(), local_files_only=True)


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    settings = {**{name: vars(given)[name] for name in ("megabytes", "repeats", "processes")}, "length": LENGTH}
    return settings if given.text is None else {**settings, "text": given.text.name}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--text", type=Path, help="plain text, empty lines between documents; default: made up")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    return parser


def main() -> None:
    """Measure both, in turn."""
    parser = make_parser()
    given = parser.parse_args()
    section = "tokenise" if given.text is None else "tokenise_real_text"
    output, settings = output_of(parser, given, section, settings_of), settings_of(given)
    if given.text is not None:
        settings["text_bytes"] = given.text.stat().st_size
    results = read_section(output, section, settings)
    if "speed_up" in results:
        print(f"speed-up: {results['speed_up']:.2f}, as it was measured before; to measure again: another --output")
        return
    seconds: dict[str, list[float]] = {name: list(results.get(name, {}).get("seconds", [])) for name in METHODS}
    tokenizer()  # imports
    with tempfile.TemporaryDirectory() as folder:
        source = given.text or Path(folder, "blocks.txt")
        if given.text is None:
            write_text(source, given.megabytes)
        text, left = Path(folder, "lines.txt"), int(given.megabytes * 1e6)
        with source.open("rb") as blocks, text.open("wb") as lines:
            for line in blocks:
                left -= lines.write(line.replace(b"\n", b" ") if line.strip() else b"\n")
                if left <= 0:
                    break
        megabytes = text.stat().st_size / 1e6
        for repeat in range(given.repeats):
            for name, method in METHODS.items():
                if len(seconds[name]) > repeat:
                    continue
                work = Path(folder, "work")
                work.mkdir()
                started = time.perf_counter()
                tokens = method(text, work, given.processes)
                seconds[name].append(time.perf_counter() - started)
                shutil.rmtree(work)
                results[name] = {"seconds": seconds[name], "tokens": tokens}
                write_section(output, section, settings, results)
                print(
                    f"{name}: {seconds[name][-1]:.1f} s, {tokens / seconds[name][-1] / 1e6:.2f} million tokens a second"
                )
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        results[name]["megabytes_per_second"] = megabytes / median
        print(f"{name}: median {median:.1f} s of {given.repeats}, {megabytes / median:.2f} MB/s")
    results["speed_up"] = medians["datasets_map"] / medians["corpus"]
    print(f"speed-up: {results['speed_up']:.2f}")
    write_section(output, section, settings, results)


METHODS = {"corpus": ours, "datasets_map": theirs}

if __name__ == "__main__":
    main()
