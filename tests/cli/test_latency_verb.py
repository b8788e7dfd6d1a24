"""``autodistill latency`` on a tiny task: lists of models, grids of workloads, table, JSON and page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from autodistill.cli import main
from autodistill.components.latency import LatencyReport, LatencySubject
from autodistill.latency.roofline import RooflineLatency
from autodistill.testing.tiny import tiny_overrides

ARCHITECTURE = "{num_layers: 3, hidden_size: 32, num_heads: 4, intermediate_size: 64}"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [*tiny_overrides(tmp_path_factory.mktemp("latency")), "latency=[roofline]", "latency.roofline.chip=t4"]


def read(given: list[str], name: str) -> tuple[list[dict[str, Any]], str]:
    (output,) = (item.partition("=")[2] for item in given if item.startswith("output_dir="))
    (reports,), (page,) = (list(Path(output, name, "latency").glob(f"*.{end}")) for end in ("json", "html"))
    return json.loads(reports.read_text()), page.read_text()


def test_list_of_models_on_a_grid_of_workloads_gives_table_json_and_page(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        [
            *("latency", *given, "study.name=grid", "+latency.tpu={name: roofline, chip: tpu_v4i}"),
            *("timing.batch_sizes=[1,4]", "timing.lengths=[8,16]"),
            f"timing.subjects=[teacher_truncated,{ARCHITECTURE}]",
        ]
    )
    assert code == 0
    reports, page = read(given, "grid")
    assert len(reports) == 3 * 2 * 4  # models, backends, workloads
    assert {report["model"] for report in reports} == {"teacher_truncated-1", "architecture 1", "teacher"}
    printed = capsys.readouterr().out
    assert "teacher_truncated-1" in printed
    assert "4 x 16" in printed
    for part in ('id="lengths"', 'id="batch-size"', 'id="roof-0"', "roof of NVIDIA T4", "feed-forward in"):
        assert part in page
    shown = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert 'id="roof-0"' in shown
    assert re.findall(r"https?:(?!//www\.w3\.org)", shown) == []
    assert "default-src &#x27;none&#x27;" in page


def test_model_that_cannot_be_timed_is_named_and_the_others_are_told(
    given: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    chip = tmp_path / "tiny.yaml"
    chip.write_text("name: Tiny\npeak_tflops: {int8: 1}\nmemory_gb_per_s: 10\nmemory_gb: 0.001\n")
    wide = "{num_layers: 1, hidden_size: 1024, num_heads: 4, intermediate_size: 64}"
    code = main(["latency", *given, "study.name=failed", f"latency.roofline.chip={chip}", f"architecture={wide}"])
    assert code == 1
    assert "architecture on roofline: Latency backend 'roofline': architecture has weights" in capsys.readouterr().out
    reports, page = read(given, "failed")
    assert [(item["model"], "error" in item) for item in reports] == [("teacher", False), ("architecture", True)]
    assert "Could not be timed" in page


def test_one_model_that_cannot_be_asked_or_loaded_does_not_keep_the_others_from_being_timed(
    given: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    for name, positions in (("short", 8), ("damaged", 64)):
        BertForSequenceClassification(
            BertConfig(**sizes, intermediate_size=48, max_position_embeddings=positions, is_decoder=name == "damaged")
        ).save_pretrained(tmp_path / name)
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"cut off")
    code = main(
        [
            *("latency", *given, "study.name=some_bad", "timing.lengths=[16]"),
            f"timing.subjects=[{tmp_path / 'short'},{tmp_path / 'damaged'},{ARCHITECTURE}]",
        ]
    )
    assert code == 1
    assert f"{tmp_path / 'short'} on roofline: latency.roofline.lengths go up to 16" in capsys.readouterr().out
    reports, _ = read(given, "some_bad")
    assert [(Path(item["model"]).name, "error" in item) for item in reports] == [
        ("architecture 2", False),
        ("teacher", False),
        ("short", True),
        ("damaged", True),
    ]


def test_what_was_timed_before_ctrl_c_is_written(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    measure, asked = RooflineLatency.measure, []

    def interrupted(backend: RooflineLatency, subject: LatencySubject) -> LatencyReport:
        asked.append(subject.name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return measure(backend, subject)

    monkeypatch.setattr(RooflineLatency, "measure", interrupted)
    command = ["latency", *given, "study.name=stopped", "timing.lengths=[8,16]", f"timing.subjects=[{ARCHITECTURE}]"]
    assert main(command) == 130
    (output,) = (item.partition("=")[2] for item in given if item.startswith("output_dir="))
    (written,) = Path(output, "stopped", "latency").glob("*.json")
    reports = json.loads(written.read_text())
    assert [report["model"] for report in reports] == asked[:2] == ["architecture 0", "teacher"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["timing.lengths=[0]"], "timing.lengths must be a list of whole numbers >= 1, got [0]"),
        (["timing.batch_sizes=4"], "timing.batch_sizes must be a list of whole numbers >= 1, got 4"),
        (["timing.subjects=[nothing]"], "timing.subjects takes saved model directories, architectures and baselines ("),
        (["+timing.models=[x]"], "Unknown key timing.models. There are: subjects, batch_sizes, lengths."),
        (["latency=[]"], "No latency backend is chosen"),
        (["latency.roofline.lengths=100"], "lengths go up to 100 tokens, but"),
        (["latency.roofline.chip=tpu_v4"], "Did you mean 'tpu_v4i'?"),
        (["latency.roofline.precision=int8"], "no peak of it; it tells fp16"),
        (["latency.roofline.batch_size=many"], "latency.roofline.batch_size must be a whole number, got 'many'"),
        (
            ["latency=[replay]", "latency.replay.path={replay}", "timing.lengths=[4]"],
            "latency.replay (replay) has its own",
        ),
    ],
)
def test_mistakes_are_told_in_one_paragraph(
    given: list[str], changes: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "replay.json").write_text(json.dumps({"default": {"median": 2.0}}))
    changes = [item.replace("{replay}", str(tmp_path / "replay.json")) for item in changes]
    kept = given[:-2] if any(item.startswith("latency=[") for item in changes) else given
    code = main(["latency", *kept, "study.name=wrong", *changes])
    error = capsys.readouterr().err
    assert code == 2
    assert "Traceback" not in error
    assert message in " ".join(error.split())
