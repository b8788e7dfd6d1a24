"""Every example is started, on tiny models: in this process, as its own `__main__`."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autodistill.testing.tiny import tiny_overrides

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))

Start = Callable[..., str]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides that make a study tiny: nothing is timed, the teacher is fine-tuned once for all examples."""
    directory = tmp_path_factory.mktemp("examples")
    replay = {"default": {"median": 2.0, "ratio_to_reference": 0.2}, "named": {"teacher": {"median": 5.0}}}
    (directory / "replay.json").write_text(json.dumps(replay))
    neutral = ["teacher=huggingface", "student=bert", "schedule=one_phase", "loss=[logits_kl]"]  # no presets
    return [
        *neutral,
        *tiny_overrides(directory),
        "latency=[replay]",
        f"latency.replay.path={directory / 'replay.json'}",
        "baseline=[teacher_truncated]",
        "reference=[]",
        "logger=none",
        "trainer.threads=1",
        "budget.trials=2",
        "schedule.examples=320",
    ]


@pytest.fixture
def start(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Start:
    """Starts an example by its number and returns what it printed."""

    def run(number: int, *arguments: str) -> str:
        (path,) = (path for path in EXAMPLES if path.name.startswith(f"{number:02d}_"))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run


def output_dir(tiny: list[str]) -> str:
    (found,) = (item.partition("=")[2] for item in tiny if item.startswith("output_dir="))
    return found


def test_there_are_examples_numbered_from_one_and_each_has_a_test() -> None:
    numbers = [int(path.name[:2]) for path in EXAMPLES]
    assert len(numbers) > 0
    assert numbers == list(range(1, len(EXAMPLES) + 1))
    tests = [name for name in globals() if name.startswith("test_example_")]
    assert [int(name.split("_")[2]) for name in tests] == numbers


def test_example_01_runs_the_quickstart_and_names_its_picks(start: Start, tiny: list[str]) -> None:
    printed = start(1, *tiny)
    assert "pick 0" in printed or "pick 1" in printed
    assert Path(output_dir(tiny), "quickstart", "report.html").is_file()


def test_example_02_writes_a_task_and_both_runtimes_give_one_answer(start: Start, tiny: list[str]) -> None:
    own = [item for item in tiny if not item.startswith(("data=", "data.train=", "data.test="))]
    printed = start(2, *own, "teacher.allow_weak=true")  # the tiny teacher has no words for these texts
    answers = {line.rpartition(" ")[2] for line in printed.splitlines() if " is about " in line}
    assert len(answers) == 1
    assert answers <= {"cooking", "cycling", "sailing"}


def test_example_03_searches_with_a_strategy_of_its_own(start: Start, tiny: list[str]) -> None:
    own = [item for item in tiny if item != "search=random"]
    printed = start(3, *own, "search.initial=1", "schedule.examples=128")
    assert "trial 1 (flash): complete" in printed
    assert printed.count("complete: bert(") == 2


def test_example_04_reads_the_study_of_example_01(start: Start, tiny: list[str]) -> None:
    printed = start(4, "quickstart", output_dir(tiny))
    assert "trial 0 complete: bert(" in printed
    assert "verdict: " in printed


def test_example_05_times_a_model_as_a_foreign_script_would(start: Start, tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    from autodistill.exporters.onnx_export import export_onnx

    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertForSequenceClassification(BertConfig(**sizes, intermediate_size=16, max_position_embeddings=16))
    export_onnx(model.eval(), tmp_path / "model.onnx", opset=17)
    load = {"batch_sizes": [1, 2], "requests_of_each": 30}
    workload = {"batch_size": 2, "lengths": [4, 8], "vocabulary": 40, "threads": 1, **load}
    (tmp_path / "workload.json").write_text(json.dumps(workload))
    answer = json.loads(start(5, str(tmp_path / "model.onnx"), str(tmp_path / "workload.json")))
    assert {len(row) for row in answer["samples_ms"]} == {2}
    assert answer["services"].keys() == {"1", "2"}
    assert all(sum(map(len, passes)) >= 30 for passes in answer["services"].values())
