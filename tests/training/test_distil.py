from __future__ import annotations

import gc
import itertools
import os
import signal
import stat
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor
from training_runs import STEPS, make_request

from autodistill.components.training import Optimisation, Phase
from autodistill.errors import ConfigError, StudyError, TrialError
from autodistill.training.distil import Distillation, distil
from autodistill.training.features import forward_features
from autodistill.training.optimisers import learning_rate_course, learning_rate_factor, make_optimiser
from autodistill.training.results import CHECKPOINT, SECTION


def weights(request: Distillation) -> dict[str, Tensor]:
    projections = [parameter for loss, _ in request.losses.values() for parameter in loss.parameters()]
    extra = {f"projection {index}": parameter.detach() for index, parameter in enumerate(projections)}
    return {**{name: value.clone() for name, value in request.student.state_dict().items()}, **extra}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert set(first) == set(second)
    different = [name for name, value in first.items() if not value.equal(second[name])]
    assert different == []


def noting(seen: list[int], *, stop: bool) -> Callable[[int, float], bool]:
    """A rung's judge that writes down what it was asked."""

    def on_rung(index: int, share: float) -> bool:
        seen.append(index)
        return stop

    return on_rung


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    request = make_request(tmp_path_factory.mktemp("uninterrupted"))
    assert distil(request).state == "complete"
    return weights(request)


def test_a_run_does_what_a_plain_loop_does(tmp_path: Path, uninterrupted: dict[str, Tensor]) -> None:
    request = make_request(tmp_path)
    student = request.student.train()
    projections = [parameter for loss, _ in request.losses.values() for parameter in loss.parameters()]
    optimiser = make_optimiser(student, projections, request.optimisation, fused=True)
    with torch.random.fork_rng():
        torch.manual_seed(request.seed)
        for step in range(STEPS):
            batch = request.train.batch(request.stream.rows_at(step * 8, step * 8 + 8))
            teacher = request.teacher.get(batch)
            acting = ["hidden"] if step < 12 else ["hidden", "kl"]
            keys = frozenset().union(*(request.losses[label][0].student_features for label in acting))
            features = forward_features(student, batch, keys, max_layer=1 if step < 12 else None)
            terms = [request.losses[label][1] * request.losses[label][0](features, teacher, batch) for label in acting]
            optimiser.zero_grad()
            torch.autograd.backward(torch.stack(terms).sum())
            trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = request.optimisation.lr * learning_rate_factor(step, STEPS, 0.2)
            optimiser.step()
    assert_same(weights(request), uninterrupted)


def test_the_result_says_how_it_ended(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    result = distil(make_request(tmp_path, progress=lambda step, steps: reported.append((step, steps))))
    assert (result.state, result.steps, result.examples) == ("complete", STEPS, STEPS * 8)
    assert set(result.losses) == {"hidden", "kl", "total"}
    assert result.losses["total"] == pytest.approx(0.5 * result.losses["hidden"] + result.losses["kl"], rel=1e-5)
    assert result.seconds > 0
    assert reported == [(step, STEPS) for step in range(1, STEPS + 1)]


def test_an_interrupted_run_goes_on_with_what_lamb_knows(tmp_path: Path) -> None:
    optimisation = Optimisation(8, 1e-2, 0.2, 0.01, 1.0, {"_target_": "autodistill.training.lamb.Lamb"})
    whole, asked = make_request(tmp_path, "whole", optimisation=optimisation), itertools.count(1)
    distil(whole)
    stopped = make_request(tmp_path, optimisation=optimisation, stop_requested=lambda: next(asked) == 14)
    assert distil(stopped).state == "interrupted"
    request = make_request(tmp_path, optimisation=optimisation)
    assert distil(request).state == "complete"
    assert_same(weights(request), weights(whole))


@pytest.mark.parametrize("stops", [(1,), (7,), (12,), (13, 20), (29,)])
def test_an_interrupted_run_goes_on_exactly(
    tmp_path: Path, uninterrupted: dict[str, Tensor], stops: tuple[int, ...]
) -> None:
    for stop in stops:
        asked = itertools.count(1)
        done = 0 if stop == stops[0] else stops[stops.index(stop) - 1]
        result = distil(make_request(tmp_path, stop_requested=lambda: next(asked) + done == stop))  # noqa: B023
        assert (result.state, result.steps) == ("interrupted", stop)
    request = make_request(tmp_path)
    assert distil(request).state == "complete"
    assert_same(weights(request), uninterrupted)


@pytest.mark.parametrize("kill_after", [6, pytest.param(17, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_exactly(tmp_path: Path, uninterrupted: dict[str, Tensor], kill_after: int) -> None:
    command = [sys.executable, str(Path(__file__).with_name("training_runs.py")), str(tmp_path), "run"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= kill_after:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    steps: list[int] = []
    request = make_request(tmp_path, progress=lambda step, _: steps.append(step), checkpoint_every_steps=5)
    assert distil(request).state == "complete"
    assert steps[-1] == STEPS
    if kill_after > 5:
        assert steps[0] > 5
    assert_same(weights(request), uninterrupted)


def test_a_finished_run_is_read_back_without_training(tmp_path: Path, uninterrupted: dict[str, Tensor]) -> None:
    first = distil(make_request(tmp_path))
    request = make_request(tmp_path, progress=lambda step, steps: pytest.fail("trained again"))
    assert distil(request) == first
    assert_same(weights(request), uninterrupted)
    assert not request.student.training


def test_the_checkpoint_is_plain_private_and_alone(tmp_path: Path) -> None:
    distil(make_request(tmp_path, checkpoint_every_steps=4))
    assert [path.name for path in (tmp_path / "run").iterdir()] == [CHECKPOINT]
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
    checkpoint = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)
    assert checkpoint["global_step"] == STEPS
    assert "pytorch-lightning_version" in checkpoint


def test_checkpoints_come_at_intervals_phase_borders_and_the_end(tmp_path: Path) -> None:
    saved: list[int] = []

    class Watch(pl.Callback):  # type: ignore[misc]
        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            saved.append(checkpoint["global_step"])

    distil(make_request(tmp_path, checkpoint_every_steps=10, callbacks=[Watch()]))
    assert saved == [10, 12, 20, 30]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    distil(make_request(tmp_path, stop_requested=lambda: True))
    with pytest.raises(StudyError, match=r"is of a run with other settings[\s\S]*another checkpoint directory"):
        distil(make_request(tmp_path, seed=8))


def test_a_run_that_an_earlier_version_began_in_another_order_starts_anew(
    tmp_path: Path, uninterrupted: dict[str, Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    asked = itertools.count(1)
    distil(make_request(tmp_path, stop_requested=lambda: next(asked) == 9))
    file = tmp_path / "run" / CHECKPOINT
    checkpoint = torch.load(file, weights_only=True)
    assert checkpoint[SECTION].pop("order")
    torch.save(checkpoint, file)
    assert_starts_anew(tmp_path, uninterrupted)
    assert f"{file} is of an earlier version" in caplog.text


def assert_starts_anew(folder: Path, uninterrupted: dict[str, Tensor]) -> None:
    request, steps = make_request(folder), list[int]()
    request.progress = lambda step, _: steps.append(step)
    assert distil(request).state == "complete"
    assert steps[0] == 1
    assert_same(weights(request), uninterrupted)


def damage(file: Path, kind: str) -> None:
    """What a power cut, a full disk or a bad one leaves."""
    whole = file.read_bytes()
    changed = {
        "half": whole[: len(whole) // 2],
        "empty": b"",
        "zeros": bytes(len(whole)),
        "foreign": bytes(range(256)) * 20,
    }
    file.write_bytes(changed[kind])


@pytest.mark.parametrize("kind", ["half", "empty", "zeros", "foreign"])
def test_a_run_whose_checkpoint_is_damaged_starts_anew_and_says_so(
    tmp_path: Path, uninterrupted: dict[str, Tensor], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked = itertools.count(1)
    distil(make_request(tmp_path, stop_requested=lambda: next(asked) == 9))
    damage(tmp_path / "run" / CHECKPOINT, kind)
    assert_starts_anew(tmp_path, uninterrupted)
    assert f"{tmp_path / 'run' / CHECKPOINT} is damaged and not gone on from" in caplog.text


def test_a_checkpoint_is_on_the_disk_before_it_replaces_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, int]] = []
    flush, replace_file = os.fsync, os.replace

    def fsync(file: int) -> None:
        events.append(("on the disk", os.fstat(file).st_ino))
        flush(file)

    def rename(source: Any, target: Any) -> None:
        events.append(("named", os.stat(source).st_ino))
        replace_file(source, target)

    request = make_request(tmp_path, checkpoint_every_steps=20)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    distil(request)
    named = [place for place, (event, _) in enumerate(events) if event == "named"]
    assert len(named) == 3
    assert all(events[place - 1] == ("on the disk", events[place][1]) for place in named)


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    asked = itertools.count(1)
    distil(make_request(tmp_path, stop_requested=lambda: next(asked) == 9))
    (tmp_path / "run" / f"{CHECKPOINT}.123.tmp").write_bytes(b"half")
    distil(make_request(tmp_path))
    assert [path.name for path in (tmp_path / "run").iterdir()] == [CHECKPOINT]


def test_a_process_whose_run_was_taken_over_leaves_its_checkpoint_and_trunk_alone(tmp_path: Path) -> None:
    trunk = tmp_path / "trunk.ckpt"
    phases = (Phase("trunk", frozenset({"transfer"}), 5, trunk=True, keep=True), *make_request(tmp_path).phases[1:])
    asked = itertools.count(1)
    distil(make_request(tmp_path, phases=phases, stop_requested=lambda: next(asked) == 3))
    ahead = (tmp_path / "run" / CHECKPOINT).read_bytes()
    late = make_request(tmp_path, phases=phases, keep_trunk=trunk, checkpoint_every_steps=1, may_save=lambda: False)
    assert distil(late).state == "complete"  # whoever asks for it knows better
    assert [path.name for path in (tmp_path / "run").iterdir()] == [CHECKPOINT]
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == ahead
    assert not trunk.exists()


def test_rungs_are_reported_in_evaluation_mode_and_change_nothing(
    tmp_path: Path, uninterrupted: dict[str, Tensor]
) -> None:
    reports: list[tuple[int, float, bool]] = []
    steps: list[int] = []

    def on_rung(index: int, share: float) -> bool:
        reports.append((index, share, request.student.training))
        torch.rand(3)
        return False

    request = make_request(
        tmp_path, rungs=(0.1, 0.5), on_rung=on_rung, progress=lambda step, _: steps.append(step * len(reports))
    )
    assert distil(request).state == "complete"
    assert reports == [(0, 0.1, False), (1, 0.5, False)]
    assert steps[2:4] == [0, 4]
    assert steps[14:16] == [15, 32]
    assert_same(weights(request), uninterrupted)


def test_a_rung_can_stop_for_good(tmp_path: Path) -> None:
    seen: list[int] = []
    request = make_request(tmp_path, rungs=(0.2, 0.5), on_rung=noting(seen, stop=True))
    result = distil(request)
    assert (result.state, result.steps, seen) == ("stopped", 6, [0])
    again = make_request(tmp_path, rungs=(0.2, 0.5), on_rung=lambda index, share: pytest.fail("asked again"))
    assert distil(again) == result
    assert_same(weights(again), weights(request))


def test_reported_rungs_are_not_repeated_after_an_interruption(tmp_path: Path) -> None:
    seen: list[int] = []
    on_rung = noting(seen, stop=False)
    asked = itertools.count(1)
    distil(make_request(tmp_path, rungs=(0.2, 0.5), on_rung=on_rung, stop_requested=lambda: next(asked) == 6))
    assert seen == [0]
    distil(make_request(tmp_path, rungs=(0.2, 0.5), on_rung=on_rung))
    assert seen == [0, 1]


@pytest.mark.parametrize(
    ("before", "after", "reported"),
    [
        ((0.1, 0.3, 0.5), (0.8,), [0.1, 0.3, 0.5, 0.8]),
        ((), (0.1, 0.3, 0.9), [0.9]),
        ((0.5,), (0.2, 0.5, 0.9), [0.5, 0.9]),
    ],
)
def test_a_run_that_goes_on_with_other_rungs_reports_each_at_its_own_step(
    tmp_path: Path, before: tuple[float, ...], after: tuple[float, ...], reported: list[float]
) -> None:
    step, seen, asked = [0], [], itertools.count(1)

    def on_rung(index: int, share: float) -> bool:
        assert step[0] + 1 == pytest.approx(share * STEPS, abs=1)
        return bool(seen.append(share))

    common: dict[str, Any] = {"on_rung": on_rung, "progress": lambda taken, _: step.__setitem__(0, taken)}
    distil(make_request(tmp_path, rungs=before, stop_requested=lambda: next(asked) == 20, **common))
    assert distil(make_request(tmp_path, rungs=after, **common)).state == "complete"
    assert seen == reported


def test_losses_act_by_role(tmp_path: Path) -> None:
    request = make_request(tmp_path, "a", phases=(Phase("prediction", frozenset({"prediction"}), 3),))
    before = weights(request)
    result = distil(request)
    assert set(result.losses) == {"kl", "total"}
    after = weights(request)
    assert after["projection 0"].equal(before["projection 0"])
    assert not after["classifier.weight"].equal(before["classifier.weight"])
    request = make_request(tmp_path, "b", phases=(Phase("low", frozenset({"transfer"}), 3, max_student_layer=1),))
    result, after = distil(request), weights(request)
    assert set(result.losses) == {"hidden", "total"}
    assert not after["projection 0"].equal(before["projection 0"])
    assert after["classifier.weight"].equal(before["classifier.weight"])
    key = "bert.encoder.layer.{}.output.dense.weight"
    assert not after[key.format(0)].equal(before[key.format(0)])
    assert after[key.format(1)].equal(before[key.format(1)])


def test_a_phase_without_a_loss_is_refused(tmp_path: Path) -> None:
    request = make_request(tmp_path)
    request.losses = {"kl": request.losses["kl"]}
    with pytest.raises(
        ConfigError, match=r"Phase 'transfer' .* role transfer that compares .* layer 1, but .*: kl \(prediction\)"
    ):
        distil(request)
    with pytest.raises(ConfigError, match="at least one phase"):
        distil(replace(request, phases=()))


@pytest.mark.parametrize("every", [1, 7])
def test_a_loss_that_is_not_finite_names_step_loss_and_learning_rate(tmp_path: Path, every: int) -> None:
    request = make_request(tmp_path, trainer={"log_every_n_steps": every})
    loss = request.losses["kl"][0]

    class Diverging:
        role, student_features, teacher_features = loss.role, loss.student_features, loss.teacher_features
        calls = 0

        def __call__(self, *arguments: Any) -> Tensor:
            self.calls += 1
            return loss(*arguments) * (float("nan") if self.calls == 5 else 1.0)

        def parameters(self) -> tuple[()]:
            return ()

    diverging: Any = Diverging()
    request.losses = {"hidden": request.losses["hidden"], "kl": (diverging, 1.0)}
    rate = request.optimisation.lr * learning_rate_course(request.phases, request.optimisation.warmup_share)(16)
    with pytest.raises(TrialError, match=rf"The loss 'kl' became nan at step 17 of 30 \(learning rate {rate:.3g}\)"):
        distil(request)
    checkpoint = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)
    assert checkpoint["global_step"] == 12


def test_losses_reach_the_logger(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="log", version=0)
    distil(make_request(tmp_path, loggers=[logger], trainer={"log_every_n_steps": 6}))
    lines = (tmp_path / "log" / "version_0" / "metrics.csv").read_text().splitlines()
    assert set(lines[0].split(",")) == {"epoch", "step", "loss/hidden", "loss/kl", "loss/total"}
    assert len(lines) == 1 + STEPS // 6


def test_losses_are_logged_never_when_the_interval_is_zero(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="log", version=0)
    request = make_request(tmp_path, loggers=[logger], trainer={"log_every_n_steps": 0})
    request.phases = (replace(request.phases[1], steps=2),)
    assert distil(request).state == "complete"
    assert not (tmp_path / "log" / "version_0" / "metrics.csv").exists()


def test_a_callback_can_stop_a_run(tmp_path: Path) -> None:
    class Stop(pl.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, trainer: Any, *unused: Any) -> None:
            trainer.should_stop = trainer.global_step == 4

    result = distil(make_request(tmp_path, callbacks=[Stop()]))
    assert (result.state, result.steps) == ("stopped", 4)


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_termination_signal_interrupts(tmp_path: Path, number: signal.Signals) -> None:
    def kill(step: int, steps: int) -> None:
        if step == 5:
            os.kill(os.getpid(), number)

    assert distil(make_request(tmp_path, progress=kill)).state == "interrupted"
    assert distil(make_request(tmp_path)).steps == STEPS


def test_a_keyboard_interrupt_stays_one(tmp_path: Path) -> None:
    def interrupt(step: int, steps: int) -> None:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        distil(make_request(tmp_path, progress=interrupt))
    assert signal.getsignal(signal.SIGINT) == handler


@pytest.mark.parametrize(
    "name", ["max_steps", "callbacks", "gradient_clip_val", "gradient_clip_algorithm", "max_time", "fast_dev_run"]
)
def test_what_the_run_decides_cannot_be_set(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"trainer.{name} cannot be set: the schedule and the study decide it"):
        distil(make_request(tmp_path, trainer={name: 3}))


def test_a_run_leaves_the_callers_random_state_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    distil(make_request(tmp_path))
    assert torch.rand(4).equal(expected)


def test_nothing_is_said_by_lightning(tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: Any) -> None:
    request = make_request(tmp_path)
    capfd.readouterr()
    with caplog.at_level("INFO"):
        distil(request)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert caplog.records == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="has no CUDA device")
def test_a_gpus_memory_is_back_after_a_run(tmp_path: Path) -> None:
    trainer = {"accelerator": "cuda"}
    distil(make_request(tmp_path, "first", trainer=trainer))  # libraries keep workspaces from then on
    before = torch.cuda.memory_allocated()
    request = make_request(tmp_path, "second", trainer=trainer)
    request.student.register_buffer("large", torch.zeros(10**7), persistent=False)
    distil(request)
    del request
    gc.collect()
    assert torch.cuda.memory_allocated() < before + 10**6  # the buffer alone has forty times that


@pytest.mark.parametrize("end", ["complete", "interrupted", "failed"])
def test_memory_is_released_after_a_run(tmp_path: Path, end: str) -> None:
    def make() -> Distillation:
        if end == "interrupted":
            return make_request(tmp_path, stop_requested=lambda: True)
        return make_request(tmp_path, progress=(lambda step, steps: 1 / 0) if end == "failed" else None)

    request: Distillation | None = make()
    assert request is not None
    student, projection = (
        weakref.ref(request.student),
        weakref.ref(next(iter(request.losses["hidden"][0].parameters()))),
    )
    if end == "failed":
        with pytest.raises(ZeroDivisionError):
            distil(request)
    else:
        distil(request)
    assert all(parameter.grad is None for parameter in request.student.parameters())
    request = None
    gc.collect()
    assert student() is None
    assert projection() is None


def test_mixed_precision_trains(tmp_path: Path, uninterrupted: dict[str, Tensor]) -> None:
    request = make_request(tmp_path, trainer={"precision": "bf16-mixed"})
    assert distil(request).state == "complete"
    own = weights(request)
    assert all(value.dtype == uninterrupted[name].dtype for name, value in own.items())
    difference = (own["classifier.weight"] - uninterrupted["classifier.weight"]).abs().max()
    assert 0 < difference < 0.02


def test_training_learns_the_teachers_answers(tmp_path: Path) -> None:
    losses: list[float] = []
    request = make_request(tmp_path, phases=(Phase("prediction", frozenset({"prediction"}), 150),))

    class Watch(pl.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *unused: Any) -> None:
            losses.append(pl_module.last_losses()["kl"])

    distil(replace(request, callbacks=[Watch()]))
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
