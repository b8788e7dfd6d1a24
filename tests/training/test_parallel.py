"""Two real processes that talk over gloo, against one."""

from __future__ import annotations

import functools
import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor
from training_runs import STEPS, Losses, fail, make_request, meet
from training_tiny import make_model

from autodistill.components.training import Optimisation
from autodistill.errors import ConfigError, OutOfMemoryTrialError, TrialError
from autodistill.training import parallel
from autodistill.training.devices import training_device
from autodistill.training.distil import Distillation, distil
from autodistill.training.parallel import Place, _group, processes

DDP = {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}


def request_for(root: Path, run: str, **changes: Any) -> Distillation:
    """Without dropout: processes draw their own. Gradients as they are: Adam would blow up rounding."""
    changes["optimisation"] = Optimisation(8, 0.1, 0.2, 0.01, 1.0, {"_target_": "torch.optim.SGD", "momentum": 0.5})
    return make_request(root, run, student=make_model(layers=2, hidden=16, dropout=0.0, seed=2), **changes)


def weights(request: Distillation) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in request.student.state_dict().items()}


@pytest.mark.slow
def test_two_processes_do_what_one_does_also_after_an_interruption(tmp_path: Path) -> None:
    one, first, rest = Losses(), Losses(), Losses()
    alone = request_for(tmp_path, "one", callbacks=[one])
    whole = distil(alone)
    stops = iter([*[False] * 13, True])
    rungs: list[int] = []
    changes: dict[str, Any] = {
        "trainer": DDP,
        "rungs": (0.2,),
        "on_rung": lambda index, share: bool(rungs.append(index)),
    }
    cut = distil(request_for(tmp_path, "two", callbacks=[first], stop_requested=lambda: next(stops), **changes))
    assert (cut.state, cut.steps, rungs) == ("interrupted", 14, [0])
    together = request_for(tmp_path, "two", callbacks=[rest], **changes)
    result = distil(together)
    assert (result.state, result.steps, result.examples) == ("complete", STEPS, whole.examples)
    assert len(first.seen) == 14  # the helper's callbacks are its own
    for step, (expected, found) in enumerate(zip(one.seen, first.seen + rest.seen, strict=True)):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-7), (
            step
        )  # "hidden" is a mean over tokens, "kl" over examples
    mine, theirs = weights(alone), weights(together)
    difference = max(float((value - theirs[name]).abs().max()) for name, value in mine.items())
    assert difference < 1e-5
    start = make_model(layers=2, hidden=16, dropout=0.0, seed=2).state_dict()
    assert max(float((value - start[name]).abs().max()) for name, value in mine.items()) > 0.01
    assert not torch.distributed.is_initialized()
    assert psutil.Process().children() == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_processes_without_a_gpu_meet_on_the_cpu(accelerator: str, tmp_path: Path) -> None:
    with _group(Place(0, 1, str(tmp_path / "meeting"), 1), accelerator):
        assert torch.distributed.get_backend() == "gloo"


def test_a_process_that_dies_ends_the_trial_with_the_reason(tmp_path: Path) -> None:
    def kill(step: int, steps: int) -> None:
        if step == 3:
            (helper,) = psutil.Process().children()
            helper.send_signal(signal.SIGKILL)

    with pytest.raises(TrialError, match=r"One of the run's 2 processes failed: it ended with exit code -9"):
        distil(request_for(tmp_path, "run", trainer=DDP, progress=kill))
    assert not torch.distributed.is_initialized()
    assert psutil.Process().children() == []


def test_a_process_that_dies_is_noticed_while_the_first_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gloo would see the closed socket at the next step; NCCL would wait for hours."""
    aborted = threading.Event()
    abort = parallel._abort
    monkeypatch.setattr(parallel, "_abort", lambda: (abort(), aborted.set()))

    def scoring(index: int, share: float) -> bool:
        (helper,) = psutil.Process().children()
        helper.send_signal(signal.SIGKILL)
        assert aborted.wait(30)
        raise TrialError("The loss 'kl' became nan")  # what an aborted step may look like

    with pytest.raises(TrialError, match=r"One of the run's 2 processes failed: it ended with exit code -9"):
        distil(request_for(tmp_path, "run", trainer=DDP, rungs=(0.2,), on_rung=scoring))
    assert not torch.distributed.is_initialized()
    assert "autodistill-helpers" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def six_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(6)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("six_threads")
def test_processes_share_the_threads_and_end_as_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # what a process takes that is told nothing
    monkeypatch.setattr(parallel, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(parallel, "_abort", lambda: pytest.fail("aborted"))
    with parallel.joined(2, functools.partial(meet, tmp_path / "seen"), "cpu"):
        (helper,) = psutil.Process().children()
        psutil.wait_procs([helper], timeout=60)
        time.sleep(0.1)  # ten looks
        assert torch.get_num_threads() == 3
    assert (tmp_path / "seen").read_text() == "3"
    assert torch.get_num_threads() == 6
    assert "autodistill-helpers" not in {thread.name for thread in threading.enumerate()}


def test_a_process_that_fails_before_they_meet_ends_the_trial_at_once_with_the_whole_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "TIMEOUT", timedelta(seconds=120))
    started = time.monotonic()
    error = OutOfMemoryTrialError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`.")
    reason = r"One of the run's 2 processes failed: OutOfMemoryTrialError: CUDA error: out of memory\nCompile with"
    with (
        pytest.raises(OutOfMemoryTrialError, match=reason),
        parallel.joined(2, functools.partial(fail, error), "cpu"),
    ):
        pytest.fail("they met")
    assert time.monotonic() - started < 100


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"devices": 2}, r"trainer.devices=2 needs trainer.strategy=ddp"),
        ({"devices": "0,1"}, r"trainer.devices=0,1 needs .* 2 devices, and every batch .* trainer.devices=2 with it"),
        ({"devices": [0, 1, 2]}, r"trainer.devices=\[0, 1, 2\] needs trainer.strategy=ddp: it means 3 devices"),
        ({"devices": "0,b"}, r"trainer.devices must be .* the numbers of some, got '0,b'. Give one number"),
        (
            {"devices": 2, "strategy": "fsdp"},
            r"trainer.strategy must be auto \(one device\) or ddp \(several\), got 'fsdp'",
        ),
        ({"devices": "auto", "strategy": "ddp"}, r"trainer.devices must be a whole number >= 1 .*, got 'auto'"),
        ({"devices": 2, "strategy": "ddp", "num_nodes": 2}, r"trainer.num_nodes must be 1, got 2"),
        ({"devices": 3, "strategy": "ddp"}, r"trainer.devices=3 must divide the 8 examples of a step"),
    ],
)
def test_processes_that_cannot_share_a_run_are_refused(tmp_path: Path, trainer: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        distil(make_request(tmp_path, trainer={"accelerator": "cpu", **trainer}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("devices", [-1, "auto", "-1"])
def test_all_devices_are_several_where_there_are_several(devices: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(ConfigError, match=r"means 4 devices, .* trainer.devices=4 with it, or one device"):
        processes({"accelerator": "gpu", "devices": devices})
    assert processes({"accelerator": "cpu", "devices": devices}) == 1
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert processes({"accelerator": "gpu", "devices": devices}) == 1


@pytest.mark.parametrize("devices", ["1,", " 1 , ", [1]])
def test_one_device_may_be_named(devices: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``"1,"`` is Lightning's word for the second GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    trainer = {"accelerator": "gpu", "devices": devices}
    assert processes(trainer) == 1
    assert training_device(trainer) == torch.device("cuda", 1)
    assert training_device({"accelerator": "gpu", "devices": "2"}) == torch.device("cuda", 0)  # two of them


def test_ddp_on_one_device_is_a_run_as_any_other(tmp_path: Path) -> None:
    """Lightning's own strategy of that name would wait for gradients of layers that the first phase does not run."""
    alone, named = Losses(), Losses()
    distil(make_request(tmp_path, "alone", callbacks=[alone]))
    trainer = {"strategy": "ddp", "devices": 1}
    assert distil(make_request(tmp_path, "named", callbacks=[named], trainer=trainer)).state == "complete"
    assert named.seen == alone.seen


def test_one_process_is_the_rule() -> None:
    assert processes({}) == processes({"devices": "auto"}) == processes({"strategy": "ddp"}) == 1
    assert processes(DDP) == 2
