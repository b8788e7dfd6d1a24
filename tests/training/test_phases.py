"""Runs under every schedule: what acts, what runs, and that killing changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training_runs import STEPS, Losses, make_phases, make_request
from training_tiny import make_model

from autodistill.components.training import Phase
from autodistill.errors import ConfigError
from autodistill.training.distil import Distillation, acting, distil
from autodistill.training.features import blocks_of
from autodistill.training.results import RunProgress, TrainingResult
from autodistill.training.teacher_features import OnlineTeacherFeatures, deepest_layer

SCHEDULES = ("two_phase", "progressive", "wsd")


def state(request: Distillation) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in request.student.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(value.equal(second[name]) for name, value in first.items())


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_interrupted_within_a_phase_goes_on_there_with_the_same_losses(tmp_path: Path, schedule: str) -> None:
    phases = make_phases(schedule)
    whole, first, rest = Losses(), Losses(), Losses()
    request = make_request(tmp_path, "whole", phases=phases, callbacks=[whole])
    assert distil(request).state == "complete"
    stops = iter([*[False] * 6, True])
    cut = make_request(tmp_path, "cut", phases=phases, callbacks=[first], stop_requested=lambda: next(stops))
    assert distil(cut).steps == 7
    again = make_request(tmp_path, "cut", phases=phases, callbacks=[rest])
    assert distil(again).state == "complete"
    assert first.seen + rest.seen == whole.seen
    assert same(state(again), state(request))


@pytest.mark.parametrize(("schedule", "step"), [("progressive", 13), ("two_phase", 15), ("wsd", 27)])
def test_a_killed_run_goes_on_there_with_the_same_losses(tmp_path: Path, schedule: str, step: int) -> None:
    phases = make_phases(schedule)
    whole, rest = Losses(), Losses()
    request = make_request(tmp_path, "whole", phases=phases, callbacks=[whole])
    assert distil(request).state == "complete"
    command = [sys.executable, str(Path(__file__).with_name("training_runs.py")), str(tmp_path), "killed", schedule]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == step:  # within a stage; at the border of two phases; at the end of a trunk
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    again = make_request(tmp_path, "killed", phases=phases, checkpoint_every_steps=5, callbacks=[rest])
    assert distil(again).state == "complete"
    assert 1 <= len(rest.seen) < STEPS - 9  # it went on, and the checkpoint at step 10 at least was there
    assert rest.seen == whole.seen[-len(rest.seen) :]
    assert same(state(again), state(request))


def test_progressive_stages_run_only_their_layers_of_both_models(tmp_path: Path) -> None:
    phases = make_phases("progressive")
    assert [(phase.steps, phase.max_student_layer) for phase in phases] == [(5, 1), (5, 2), (20, None)]
    teacher, ran = make_model(seed=1), {"student": [0, 0], "teacher": [0, 0]}
    request = make_request(tmp_path, phases=phases)
    keys = frozenset().union(*(loss.teacher_features for loss, _ in request.losses.values()))
    request.teacher = OnlineTeacherFeatures(teacher, keys)
    for who, model in (("student", request.student), ("teacher", teacher)):
        for index, block in enumerate(blocks_of(model)):
            block.register_forward_hook(lambda *_, who=who, index=index: count(ran, who, index))
    watch = Losses()
    request.callbacks = [watch]
    distil(request)
    hooks = 1  # the one pass over a single token in which transformers places its hooks
    assert ran["student"] == [30 + hooks, 25 + hooks]
    assert ran["teacher"] == [30 + hooks, 25 + hooks]
    assert [set(losses) - {"total"} for losses in watch.seen] == [{"hidden"}] * 10 + [{"kl"}] * 20


def count(ran: dict[str, list[int]], who: str, index: int) -> None:
    ran[who][index] += 1


def test_layers_above_a_stage_stay_as_they_were(tmp_path: Path) -> None:
    request = make_request(tmp_path, phases=make_phases("progressive")[:1])
    before = state(request)
    distil(request)
    after = state(request)
    changed = {name for name, value in after.items() if not value.equal(before[name])}
    assert any("layer.0" in name for name in changed)
    assert not any("layer.1" in name or "classifier" in name for name in changed)


def test_a_cached_and_an_online_teacher_teach_the_same(tmp_path: Path) -> None:
    found: list[TrainingResult] = []
    for run in ("cached", "online"):
        request = make_request(tmp_path, run, phases=make_phases("progressive")[:2])
        if run == "online":
            keys = frozenset().union(*(loss.teacher_features for loss, _ in request.losses.values()))
            request.teacher = OnlineTeacherFeatures(make_model(seed=1), keys)
        found.append(distil(request))
    assert found[0].losses == pytest.approx(found[1].losses, rel=1e-2)


def test_a_loss_about_layers_that_are_not_run_rests(tmp_path: Path) -> None:
    losses = {label: loss for label, (loss, _) in make_request(tmp_path).losses.items()}

    class UpperOnly:
        role = "transfer"
        student_features = frozenset({("hidden_states", 2)})
        teacher_features = frozenset({("hidden_states", 2)})

    upper: Any = UpperOnly()
    stage = Phase("stage", frozenset({"transfer"}), 1, max_student_layer=1, max_teacher_layer=1)
    assert set(acting({**losses, "upper": upper}, stage)) == {"hidden"}
    whole = Phase("all", frozenset({"transfer", "prediction"}), 1)
    assert set(acting({**losses, "upper": upper}, whole)) == {"hidden", "kl", "upper"}
    request = make_request(tmp_path, phases=(stage,))
    request.losses = {"upper": (upper, 1.0)}
    with pytest.raises(ConfigError, match=r"'stage' .* role transfer that compares something up to .* layer 1, but"):
        distil(request)


def test_a_loss_of_weight_0_does_not_train(tmp_path: Path) -> None:
    request = make_request(tmp_path, phases=(Phase("all", frozenset({"transfer", "prediction"}), 1),))
    request.losses = {label: (loss, 0.0) for label, (loss, _) in request.losses.items()}
    with pytest.raises(ConfigError, match=r"losses are: hidden \(transfer, of weight 0\), kl \(pred.*, of weight 0"):
        distil(request)


@pytest.mark.parametrize(
    ("keys", "layer"),
    [
        ({("hidden_states", 0), ("hidden_states", 3)}, 3),
        ({("hidden_states", 0)}, 1),
        ({("embeddings", None)}, 1),
        ({("embeddings", None), ("keys", 4)}, 4),
        ({("hidden_states", 3), ("logits", None)}, None),
        (set(), None),
    ],
)
def test_the_teacher_runs_no_further_than_its_features(keys: Any, layer: int | None) -> None:
    assert deepest_layer(frozenset(keys)) == layer


# -- trunk and branches --------------------------------------------------------------------------------------------


def run_on_trunk(root: Path, run: str, fidelity: float, **changes: Any) -> tuple[Distillation, TrainingResult, Losses]:
    watch = Losses()
    request = make_request(root, run, phases=make_phases("wsd", fidelity), callbacks=[watch], **changes)
    return request, distil(request), watch


def test_a_full_run_that_goes_on_from_a_trunk_is_the_full_run_to_the_bit(tmp_path: Path) -> None:
    trunk = tmp_path / "trunk" / "trunk.ckpt"
    whole, result, seen = run_on_trunk(tmp_path, "whole", 1.0)
    assert (result.steps, result.examples) == (30, 240)
    flash, short, flash_seen = run_on_trunk(tmp_path, "flash", 0.5, keep_trunk=trunk)
    assert (short.steps, [phase.steps for phase in flash.phases]) == (15, [13, 2])
    assert flash_seen.seen[:13] == seen.seen[:13]
    assert not same(state(flash), state(whole))
    promoted, result, rest = run_on_trunk(tmp_path, "full", 1.0, start_from=trunk)
    assert (result.state, result.steps, result.examples) == ("complete", 30, (30 - 13) * 8)
    assert rest.seen == seen.seen[13:]
    assert same(state(promoted), state(whole))


def test_a_promoted_run_that_is_interrupted_goes_on_from_its_own_checkpoint(tmp_path: Path) -> None:
    trunk = tmp_path / "trunk" / "trunk.ckpt"
    whole, _, _ = run_on_trunk(tmp_path, "whole", 1.0)
    run_on_trunk(tmp_path, "flash", 0.5, keep_trunk=trunk)
    stops = iter([False, False, False, True])
    _, result, _ = run_on_trunk(tmp_path, "full", 1.0, start_from=trunk, stop_requested=lambda: next(stops))
    assert (result.state, result.steps) == ("interrupted", 17)
    trunk.unlink()
    promoted, result, _ = run_on_trunk(tmp_path, "full", 1.0, start_from=trunk)
    assert (result.steps, result.examples) == (30, 17 * 8)
    assert same(state(promoted), state(whole))


def test_a_run_that_fails_tells_what_it_took_in_all_sessions_but_not_what_its_trunk_did(tmp_path: Path) -> None:
    trunk = tmp_path / "trunk" / "trunk.ckpt"
    run_on_trunk(tmp_path, "flash", 0.5, keep_trunk=trunk)
    stops = iter([False, False, False, True])
    _, first, _ = run_on_trunk(tmp_path, "full", 1.0, start_from=trunk, stop_requested=lambda: next(stops))

    def broken(step: int, steps: int) -> None:
        if step == 20:
            raise LookupError("broken")

    told: list[RunProgress] = []
    with pytest.raises(LookupError, match="broken"):
        run_on_trunk(tmp_path, "full", 1.0, start_from=trunk, progress=broken, follow=told.append)
    (reached,) = told
    assert (reached.step, reached.taken_over) == (20, 13)
    assert reached.seconds > first.seconds > 0


@pytest.mark.parametrize("change", [lambda request: setattr(request, "seed", 8), lambda request: None])
def test_a_trunk_of_other_settings_is_not_gone_on_from(
    tmp_path: Path, change: Callable[[Distillation], None], caplog: pytest.LogCaptureFixture
) -> None:
    trunk = tmp_path / "trunk.ckpt"
    run_on_trunk(tmp_path, "flash", 0.5, keep_trunk=trunk)
    request = make_request(tmp_path, "full", phases=make_phases("wsd"), start_from=trunk)
    change(request)
    result = distil(request)
    other = request.seed == 8
    assert result.examples == (30 if other else 17) * 8
    assert ("is of a run with other settings" in caplog.text) == other


def test_a_run_stopped_before_its_trunk_ends_keeps_none(tmp_path: Path) -> None:
    trunk = tmp_path / "trunk.ckpt"
    _, result, _ = run_on_trunk(
        tmp_path, "flash", 0.5, keep_trunk=trunk, rungs=(0.5,), on_rung=lambda index, share: True
    )
    assert result.state == "stopped"
    assert not trunk.exists()


@pytest.mark.parametrize("keeps", ["the interrupted run", "the one that goes on"])
def test_a_run_that_ends_for_now_where_its_trunk_does_keeps_it(tmp_path: Path, keeps: str) -> None:
    """The latter is what a crash makes necessary that comes between the checkpoint and its copy."""
    trunk = tmp_path / "trunk" / "trunk.ckpt"
    interrupted = keeps == "the interrupted run"
    stops = iter([*[False] * 12, True])
    keep = trunk if interrupted else None
    _, result, _ = run_on_trunk(tmp_path, "flash", 0.5, keep_trunk=keep, stop_requested=lambda: next(stops))
    assert (result.steps, trunk.exists()) == (13, interrupted)
    run_on_trunk(tmp_path, "flash", 0.5, keep_trunk=trunk)
    assert torch.load(trunk, weights_only=True)["global_step"] == 13
    _, result, _ = run_on_trunk(tmp_path, "full", 1.0, start_from=trunk)
    assert (result.steps, result.examples) == (30, (30 - 13) * 8)


def test_a_damaged_trunk_is_not_gone_on_from(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trunk = tmp_path / "trunk.ckpt"
    run_on_trunk(tmp_path, "flash", 0.5, keep_trunk=trunk)
    trunk.write_bytes(trunk.read_bytes()[:1000])
    _, result, _ = run_on_trunk(tmp_path, "full", 1.0, start_from=trunk)
    assert (result.steps, result.examples) == (30, 30 * 8)
    assert f"{trunk} is damaged and not gone on from" in caplog.text


def test_a_trunk_is_private_and_holds_no_code(tmp_path: Path) -> None:
    trunk = tmp_path / "trunk" / "trunk.ckpt"
    run_on_trunk(tmp_path, "flash", 0.5, keep_trunk=trunk)
    assert [path.name for path in trunk.parent.iterdir()] == ["trunk.ckpt"]
    assert trunk.parent.stat().st_mode & 0o077 == 0
    assert torch.load(trunk, weights_only=True)["global_step"] == 13
