"""What is known of a candidate's latency before it is trained."""

from __future__ import annotations

import json
from pathlib import Path

from tiny_studies import replaced

from autodistill.cli import main
from autodistill.testing.tiny import tiny_overrides


def test_candidate_that_is_too_slow_by_its_blocks_is_never_measured_whole(tmp_path: Path) -> None:
    given = replaced(
        tiny_overrides(tmp_path),
        "latency=[torch]",
        "latency.torch.compose=true",
        "latency.torch.max_seconds=0.05",
        "+constraints.fast={metric: torch.p50_ms, sense: '<=', bound: 1e-6}",
        "student.space.num_layers=[3]",
        "student.space.intermediate_size=[16,32]",
        "trainer.threads=1",
    )
    assert main(["explore", *given]) != 130
    trials = json.loads(next(tmp_path.rglob("summary.json")).read_text())["history"]
    assert len(trials) == 2
    for trial in trials:
        assert trial["state"] == "infeasible"
        assert trial["latencies"]["torch"]["kind"] == "composed"
