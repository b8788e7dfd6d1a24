"""What is known of a candidate's latency before it is trained."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tiny_studies import replaced, tiny_study

import autodistill
from autodistill.cli import main
from autodistill.components.latency import LatencyReport, LatencySubject
from autodistill.engine.explore import Explorer
from autodistill.engine.session import open_session
from autodistill.engine.stop import StopSignal
from autodistill.errors import LatencyError, StudyInterruptedError
from autodistill.registry import default_registry
from autodistill.report.progress import QuietProgress
from autodistill.testing.tiny import tiny_overrides


@pytest.mark.slow
def test_candidate_that_is_too_slow_by_its_blocks_is_never_measured_whole(tmp_path: Path) -> None:
    given = replaced(
        tiny_overrides(tmp_path),
        "latency=[torch]",
        "latency.torch.compose=true",
        "latency.torch.max_seconds=0.05",
        "latency.torch.compose_seconds=0.05",
        "+constraints.fast={metric: torch.p50_ms, sense: '<=', bound: 1e-6}",
        "student.space.num_layers=[3]",
        "student.space.intermediate_size=[16]",
        "trainer.threads=1",
    )
    assert main(["explore", *given]) == 1
    output = next(item for item in given if item.startswith("output_dir="))
    assert main(["report", "study.name=study", output]) == 0
    (trial,) = json.loads(next(tmp_path.rglob("summary.json")).read_text())["history"]
    assert trial["state"] == "infeasible"
    assert trial["latencies"]["torch"]["kind"] == "composed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["objectives.latency.metric=torch.p99_ms"], "does not measure as it is: give latency.torch.p99=true"),
        (
            ["+constraints.c={metric: torch.loaded_p99_ms, sense: '<=', bound: 20}"],
            "latency.torch.requests_per_second=RATE",
        ),
        (["objectives.latency.metric=torch.throughput_at_p99"], "give latency.torch.p99_limit_ms=MILLISECONDS"),
        (
            ["objectives.latency.metric=torch.cost_per_million", "latency.torch.p99_limit_ms=20"],
            "give latency.torch.price_per_hour=PRICE",
        ),
        (
            [
                *("latency=[roofline]", "latency.roofline.chip=t4"),
                "+constraints.slow={metric: roofline.p99_ms, sense: '<=', bound: 20}",
            ],
            "constraints.slow.metric is roofline.p99_ms, which latency.roofline (roofline) does not give. "
            "It gives: roofline.p50_ms, roofline.p90_ms, roofline.ratio_to_reference, roofline.throughput.",
        ),
        (
            ["latency=[onnxruntime]", "export=[huggingface,onnx]", "export.onnx.opset=14"],
            "latency.onnxruntime.opset is 17, but export.onnx.opset is 14",
        ),
        (
            ["latency=[onnxruntime]", "export=[onnx]", "export.onnx.opset=14", "reference=[teacher_int8]"],
            "Give all of them one: latency.onnxruntime.opset=14 reference.teacher_int8.opset=14; or, as a study that "
            "exists must, export.onnx.opset=17 (`autodistill export` writes others).",
        ),
        (
            ["latency.torch.lengths=[8,4000]"],
            "lengths go up to 4000 tokens, but teacher and students take",
        ),
    ],
)
def test_metric_that_the_workload_does_not_ask_for_is_refused_before_anything_runs(
    tmp_path: Path, changes: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", *replaced(tiny_overrides(tmp_path), "latency=[torch]", *changes)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_script_that_fails_marks_the_trial_with_its_reason_and_the_study_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "phone.py"
    script.write_text(
        "import json, sys\nfrom pathlib import Path\n"
        "config = json.loads(Path(sys.argv[1], 'config.json').read_text())\n"
        "if config['intermediate_size'] == 16: sys.exit('the phone went away')\n"
        "print(json.dumps({'median_ms': config['intermediate_size'] / 10}))\n"
    )
    given = replaced(
        tiny_overrides(tmp_path),
        "latency=[command]",
        f"latency.command.command=[{sys.executable},{script}]",
        "latency.command.format=huggingface",
        "student.space.num_layers=[1]",
        "student.space.intermediate_size=[16,32]",
        "schedule.examples=128",
        "trainer.threads=1",
    )
    assert main(["explore", *given]) == 0
    trials = json.loads(next(tmp_path.rglob("summary.json")).read_text())["history"]
    states = {trial["architecture"]["intermediate_size"]: trial for trial in trials if trial["origin"] == "search"}
    assert states[32]["state"] == "complete"
    assert states[16]["state"] == "failed"
    assert "the phone went away" in states[16]["error"]


def test_bound_on_what_a_report_lacks_makes_the_trial_infeasible_before_training(tmp_path: Path) -> None:
    script = tmp_path / "phone.py"
    script.write_text(
        "import json, sys\nfrom pathlib import Path\n"
        "config = json.loads(Path(sys.argv[1], 'config.json').read_text())\n"
        "more = {'p90_ms': 3} if config['intermediate_size'] == 16 else {}\n"
        "print(json.dumps({'median_ms': 2, **more}))\n"
    )
    given = replaced(
        tiny_overrides(tmp_path),
        "latency=[command]",
        f"latency.command.command=[{sys.executable},{script}]",
        "latency.command.format=huggingface",
        "+constraints.slow={metric: command.p90_ms, sense: '<=', bound: 5}",
        "student.space.num_layers=[1]",
        "student.space.intermediate_size=[16,32]",
        "schedule.examples=128",
        "trainer.threads=1",
    )
    assert main(["explore", *given]) == 0
    trials = json.loads(next(tmp_path.rglob("summary.json")).read_text())["history"]
    found = {trial["architecture"]["intermediate_size"]: trial for trial in trials if trial["origin"] == "search"}
    assert found[16]["state"] == "complete"
    assert found[32]["state"] == "infeasible"
    assert "constraints.slow: command.p90_ms is not in the latency report" in found[32]["error"]


def test_a_timing_that_ctrl_c_ended_says_nothing_of_the_architecture(tmp_path: Path) -> None:
    given = tiny_study(tmp_path, "budget.trials=2", "baseline=[]")
    settings, registry = autodistill.compose(given), default_registry()
    with StopSignal() as stop, open_session(settings, registry, progress=QuietProgress(), stop=stop) as session:

        def interrupted(subject: LatencySubject) -> LatencyReport:
            stop.request()
            raise LatencyError("the process that quantises was killed")

        (backend,) = session.backends.values()
        backend.measure = interrupted  # type: ignore[method-assign]
        with pytest.raises(StudyInterruptedError):
            Explorer(session).run()
        assert [trial.state for trial in session.storage.trials(session.study.id)] == ["pending"]
    study = autodistill.run(settings, overrides=given, explore_only=True)
    assert [trial.state for trial in study.trials()] == ["complete", "complete"]
