"""What goes wrong inside a run ends it with the reason, after what can be done about it has been done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from training_runs import make_request

from autodistill.components.training import Batch, Optimisation
from autodistill.errors import TrialError
from autodistill.training.batches import in_parts
from autodistill.training.distil import Distillation, distil
from autodistill.training.health import LossWatch, out_of_memory
from autodistill.training.results import CHECKPOINT


class Greedy:
    """A loss that really asks for more memory than any machine has when it is given too many examples."""

    def __init__(self, loss: Any, most: int) -> None:
        self.loss, self.most = loss, most
        self.role, self.student_features, self.teacher_features = (
            loss.role,
            loss.student_features,
            loss.teacher_features,
        )

    def __call__(self, student: Any, teacher: Any, batch: Batch) -> Tensor:
        if len(batch.rows) > self.most:
            torch.empty(2**60, dtype=torch.uint8)
        return self.loss(student, teacher, batch)  # type: ignore[no-any-return]

    def parameters(self) -> tuple[()]:
        return ()


def greedy(request: Distillation, most: int) -> Distillation:
    request.losses = {**request.losses, "kl": (Greedy(request.losses["kl"][0], most), 1.0)}  # type: ignore[dict-item]
    return request


def weights(request: Distillation) -> dict[str, Tensor]:
    return dict(request.student.state_dict())


def close(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float) -> bool:
    return all(torch.allclose(value, second[name], atol=tolerance) for name, value in first.items())


def without_dropout(request: Distillation) -> Distillation:
    for module in request.student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    request.student.config.attention_probs_dropout_prob = 0.0
    return request


@pytest.mark.parametrize("accumulate", [2, 3, 8])
def test_steps_in_parts_are_the_same_steps(tmp_path: Path, accumulate: int) -> None:
    found = []
    for run, parts in (("whole", 1), ("parts", accumulate)):
        request = without_dropout(make_request(tmp_path, run, accumulate=parts))
        # Gradients as they are: these outputs are so alike that Adam would blow up the last digit.
        request.optimisation = Optimisation(8, 0.1, 0.0, 0.0, 0.0, {"_target_": "torch.optim.SGD"})
        # One loss is a mean over tokens, one over examples: the parts of a step have unequally many of the former.
        request.phases = (replace(request.phases[1], steps=6),)
        result = distil(request)
        found.append((result.losses, result.examples, weights(request)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    assert found[0][1] == found[1][1] == 48
    assert close(found[0][2], found[1][2], 1e-6)


def test_what_does_not_fit_into_memory_is_taken_in_parts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    request = greedy(make_request(tmp_path, "greedy"), most=2)
    result = distil(request)
    assert (result.state, result.steps) == ("complete", 30)
    assert caplog.text.count("did not fit into memory") == 2  # 8 examples, then 4, then 2
    assert "from now on it has 4 parts" in caplog.text


class GreedyBackward(torch.autograd.Function):
    """Passes a loss on, and asks for more memory than there is in the backward pass of more than two examples."""

    @staticmethod
    def forward(context: Any, loss: Tensor, examples: int) -> Tensor:
        context.examples = examples
        return loss.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        if context.examples > 2:
            torch.empty(2**60, dtype=torch.uint8)
        return gradients[0], None


def test_a_step_whose_backward_pass_does_not_fit_counts_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    request = make_request(tmp_path)
    loss, noted = request.losses["kl"][0], list[int]()

    class Backwards(Greedy):
        def __call__(self, student: Any, teacher: Any, batch: Batch) -> Tensor:
            return GreedyBackward.apply(loss(student, teacher, batch), len(batch.rows))  # type: ignore[no-any-return, no-untyped-call]

    class Counted(pl.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *unused: Any) -> None:
            noted.extend(step for step, _ in pl_module._unchecked)

    request.losses = {**request.losses, "kl": (Backwards(loss, 8), 1.0)}  # type: ignore[dict-item]
    request.callbacks = [Counted()]
    assert distil(request).steps == 30
    assert "from now on it has 4 parts" in caplog.text
    assert noted == list(range(30))


def test_the_parts_are_remembered_over_an_interruption(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = greedy(make_request(tmp_path, "whole"), most=4)
    distil(whole)
    asked = iter([*[False] * 19, True])
    distil(greedy(make_request(tmp_path, "cut", stop_requested=lambda: next(asked)), most=4))
    caplog.clear()
    again = greedy(make_request(tmp_path, "cut"), most=4)
    assert distil(again).steps == 30
    assert "did not fit" not in caplog.text
    assert close(weights(again), weights(whole), 0.0)


def test_memory_that_one_example_does_not_fit_into_ends_the_trial(tmp_path: Path) -> None:
    request = greedy(make_request(tmp_path), most=0)
    with pytest.raises(TrialError, match=r"Memory ran out after step 12, .* in 8 parts: .* a smaller data.max_length"):
        distil(request)
    assert all(parameter.grad is None for parameter in request.student.parameters())


def test_a_diverging_run_ends_with_the_reason(tmp_path: Path) -> None:
    request = make_request(tmp_path)
    loss, steps = request.losses["kl"][0], iter(range(1000))

    class Exploding(Greedy):
        def __call__(self, student: Any, teacher: Any, batch: Batch) -> Tensor:
            return loss(student, teacher, batch) + float(1000 * (next(steps) >= 12))

    request.losses = {**request.losses, "kl": (Exploding(loss, 8), 1.0)}  # type: ignore[dict-item]
    with pytest.raises(TrialError, match=r"The training diverged: its loss was \S+ at the start of the phase and is"):
        distil(request)


class BrokenGradient(torch.autograd.Function):
    """Passes a loss on, and gives nothing but NaN back."""

    @staticmethod
    def forward(context: Any, loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * float("nan")


def test_weights_that_the_last_step_broke_are_no_result(tmp_path: Path) -> None:
    request = make_request(tmp_path)
    loss, steps = request.losses["kl"][0], iter(range(12, 30))

    class Last(Greedy):
        def __call__(self, student: Any, teacher: Any, batch: Batch) -> Tensor:
            value: Tensor = loss(student, teacher, batch)
            return value if next(steps) < 29 else BrokenGradient.apply(value)  # type: ignore[no-any-return, no-untyped-call]

    request.losses = {**request.losses, "kl": (Last(loss, 8), 1.0)}  # type: ignore[dict-item]
    with pytest.raises(TrialError, match=r"Weights are no longer finite after step 30 of 30\. Lower schedule\.lr, "):
        distil(request)
    assert torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)["global_step"] == 12


@given(st.lists(st.floats(0, 50), min_size=1, max_size=60), st.integers(0, 60))
def test_a_loss_of_moderate_size_is_no_divergence(losses: list[float], border: int) -> None:
    watch = LossWatch()
    assert not any(watch.exploded(loss, new_phase=index == border) for index, loss in enumerate(losses))


def test_one_bad_batch_is_no_divergence_but_ten_are() -> None:
    watch = LossWatch()
    assert not any(watch.exploded(1.0, new_phase=False) for _ in range(20))
    assert not watch.exploded(500.0, new_phase=False)
    assert any(watch.exploded(500.0, new_phase=False) for _ in range(10))


def test_phases_do_not_compare_and_a_watch_goes_on() -> None:
    watch = LossWatch()
    for _ in range(20):
        watch.exploded(1.0, new_phase=False)
    assert not any(watch.exploded(1e6, new_phase=index == 0) for index in range(30))
    assert LossWatch(**vars(watch)) == watch


def test_running_out_of_memory_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**60, dtype=torch.uint8)
    assert out_of_memory(real.value)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"))
    assert out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"))
    assert not out_of_memory(ValueError("not enough memory"))


def test_parts_are_the_batch_in_order(tmp_path: Path) -> None:
    request = make_request(tmp_path)
    batch = request.train.batch(request.stream.rows_at(0, 8))
    parts = in_parts(batch, 3)
    assert [len(part.rows) for part in parts] == [2, 3, 3]
    assert torch.cat([part.input_ids for part in parts]).equal(batch.input_ids)
    assert [len(part.rows) for part in in_parts(batch, 99)] == [1] * 8
    assert in_parts(batch, 1) == [batch]
