from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import Losses, make_request
from training_tiny import make_data, make_model

from autodistill.components.students import Dimensions
from autodistill.components.training import LossContext, Phase
from autodistill.errors import ConfigError
from autodistill.registry import default_registry
from autodistill.training.distil import Distillation, distil
from autodistill.training.features import blocks_of
from autodistill.training.precision import check_precision, compiled, teaching_precision_of
from autodistill.training.teacher_features import OnlineTeacherFeatures


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true", 64, "transformer-engine", "bf17"])
def test_precisions_that_no_run_trains_in_are_refused(precision: object) -> None:
    with pytest.raises(
        ConfigError, match=rf"precision must be one of 32-true, bf16-mixed, 16-mixed, got '{precision}'"
    ):
        check_precision({"precision": precision}, ("bert",))


@pytest.mark.parametrize(
    ("given", "precision"), [(None, "32-true"), (32, "32-true"), ("bf16", "bf16-mixed"), ("bf16-mixed", "bf16-mixed")]
)
def test_a_teacher_teaches_in_float32_or_bfloat16(given: object, precision: str) -> None:
    trainer = {"precision": "32-true", "teacher_precision": given}
    check_precision(trainer, ["mobilebert"])
    assert teaching_precision_of(trainer) == precision


@pytest.mark.parametrize("given", ["16-mixed", "bf16-true", 64])
def test_a_teacher_teaches_in_no_other_precision(given: object) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.teacher_precision must be one of 32-true, bf16-mixed, got "):
        check_precision({"precision": "32-true", "teacher_precision": given}, [])


@pytest.mark.parametrize("precision", ["32-true", "32", 32, None, "bf16-mixed", "bf16"])
@pytest.mark.filterwarnings("ignore:.*is supported for historical reasons")  # Lightning's advice on names
def test_every_name_that_is_let_through_trains_on_a_cpu(tmp_path: Path, precision: object) -> None:
    request = make_request(tmp_path, trainer={"precision": precision})
    request.phases = (replace(request.phases[1], steps=2),)
    assert distil(request).state == "complete"


@pytest.mark.parametrize("precision", ["16-mixed", "16", 16])
def test_fp16_is_refused_where_it_overflows(precision: object) -> None:
    with pytest.raises(ConfigError, match=r"is fp16, in which the activations of mobilebert overflow .*bf16-mixed"):
        check_precision({"precision": precision}, ("bert", "mobilebert"))
    check_precision({"precision": precision}, ("bert",))


def test_checkpoints_are_a_number_of_steps_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint_every_steps must be a whole number of steps, .* got 0\."):
        distil(make_request(tmp_path, checkpoint_every_steps=0))
    assert not (tmp_path / "run").exists()


def test_a_cached_and_an_online_teacher_teach_the_same_in_bfloat16(tmp_path: Path) -> None:
    found = []
    for run in ("cached", "online"):
        request = make_request(tmp_path, run, trainer={"precision": "bf16-mixed"})
        request.phases = (replace(request.phases[1], steps=4),)
        if run == "online":
            keys = frozenset().union(*(loss.teacher_features for loss, _ in request.losses.values()))
            request.teacher = OnlineTeacherFeatures(make_model(seed=1), keys)
        found.append(distil(request).losses)
    assert found[0] == pytest.approx(found[1], rel=2e-3)


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_fp16_is_refused_on_a_cpu(accelerator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for device in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(device, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"is fp16, which does not train on a CPU\. Use trainer.precision=bf16"):
        check_precision({"precision": "16-mixed", "accelerator": accelerator}, ("bert",))


@pytest.mark.parametrize("trainer", [{}, {"precision": "32-true"}, {"precision": "bf16-mixed"}])
def test_other_precisions_are_fine(trainer: dict[str, object]) -> None:
    check_precision(trainer, ("mobilebert",))


def test_a_run_refuses_before_training(tmp_path: Path) -> None:
    request = make_request(tmp_path, trainer={"precision": "16-mixed"})
    request.student.config.model_type = "mobilebert"
    with pytest.raises(ConfigError, match="overflow"):
        distil(request)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, while it compiles
def test_compiled_blocks_compute_the_same() -> None:
    model = make_model(layers=1, dropout=0.0)
    ids = torch.arange(24).reshape(3, 8)
    found = []
    for context in (contextlib.nullcontext(), compiled(model)):
        model.zero_grad()
        with context:
            loss = model(input_ids=ids, labels=torch.tensor([0, 1, 0])).loss
            loss.backward()
        found.append([loss.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    for plain, fast in zip(*found, strict=True):
        assert torch.allclose(plain, fast, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hidden_mse", "minilm_relation"])
def test_whole_runs_are_compiled_whatever_the_depth_and_the_runs_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    compile_block = torch.nn.Module.compile
    # Without the code generator, which takes a minute and is not what is looked at.
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: compile_block(self, backend="eager", **how))
    graphs = []
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        for layers, hidden in ((2, 16), (10, 16), (2, 24)):
            found = []
            for fast in (False, True):
                torch._dynamo.utils.counters.clear()
                watch, folder = Losses(), tmp_path / f"{layers}-{hidden}"
                request = deep_request(folder, name, layers, hidden, compile=fast, callbacks=[watch])
                assert distil(request).state == "complete"
                found.append(watch.seen)
                graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
            for plain, quick in zip(*found, strict=True):
                assert quick == pytest.approx(plain, rel=1e-4, abs=1e-7)
    assert graphs[::2] == [0, 0, 0]
    assert graphs[1] == graphs[3] == graphs[5] > 0


def deep_request(root: Path, loss: str, layers: int, hidden: int, **changes: Any) -> Distillation:
    """A run in one phase that compares every block of a student with that of a teacher as deep."""
    student, teacher = make_model(layers=layers, hidden=hidden, dropout=0.0), make_model(layers=layers, seed=1)
    pairs = tuple((layer, layer) for layer in range(1, layers + 1))
    context = LossContext(Dimensions(layers, hidden, 2, 2), Dimensions(layers, 32, 2, 2), pairs, make_data().task)
    registry = default_registry()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        built = registry.create("loss", loss, vars(registry.get("loss", loss).spec.config()), context)
    given: dict[str, Any] = {
        "student": student,
        "losses": {loss: (built, 1.0)},
        "phases": (Phase("all", frozenset({"transfer"}), 3),),
        "teacher": OnlineTeacherFeatures(teacher, built.teacher_features),
    }
    return make_request(root, f"compiled-{changes['compile']}", **given, **changes)


def test_blocks_are_compiled_inside_only() -> None:
    model = make_model()
    with compiled(model):
        assert all(block._compiled_call_impl is not None for block in blocks_of(model))
    assert all(block._compiled_call_impl is None for block in blocks_of(model))
