from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_studies import architecture

from autodistill.components.search import History
from autodistill.components.specs import ComponentSpec
from autodistill.configs.composition import compose
from autodistill.configs.settings import Settings
from autodistill.engine import plan
from autodistill.engine.checks import check_components, check_initialisation
from autodistill.engine.identity import study_identity
from autodistill.engine.plan import make_plan
from autodistill.engine.session import check_study, check_workbench
from autodistill.engine.storage import Storage
from autodistill.engine.workbench import Workbench
from autodistill.errors import ConfigError, PluginError, StudyError
from autodistill.hookspecs import hookimpl
from autodistill.plugin_manager import Provider
from autodistill.registry import Registry
from autodistill.search.candidates import Candidates
from autodistill.search.view import View
from autodistill.students.bert import BertFamily
from autodistill.students.configs import BertFamilyConfig
from autodistill.teachers.huggingface import HuggingFaceTeacher
from autodistill.testing.tiny import tiny_overrides

TWICE = (
    "baseline=[]",
    "+baseline.first={name: teacher_truncated, layers: [1]}",
    "+baseline.second={name: teacher_truncated, layers: [1]}",
)

#: A study of MobileBERT students as small as the tiny teacher, which is a BERT.
MOBILEBERT = (
    "student=mobilebert",
    "student.space={num_layers: [1, 2], hidden_size: [136], bottleneck_size: [16], num_heads: [2], "
    "intermediate_size: [16], num_ffn: [1]}",
)


def test_a_baseline_that_two_labels_name_is_one_baseline(tmp_path: Path, fresh_registry: Registry) -> None:
    bench = Workbench(compose([*tiny_overrides(tmp_path), *TWICE], fresh_registry), fresh_registry)
    found = bench.baselines(bench.teacher.load(bench.task))
    assert [(named.name, named.architecture.choices["num_layers"]) for named in found] == [("first-1", 1)]


def test_a_teacher_of_another_family_than_the_students_is_cut_too(tmp_path: Path, fresh_registry: Registry) -> None:
    overrides = [*tiny_overrides(tmp_path), "baseline=[teacher_truncated,uniform_scaling]", *MOBILEBERT]
    bench = Workbench(compose(overrides, fresh_registry), fresh_registry)
    found = bench.baselines(bench.teacher.load(bench.task))
    assert {named.architecture.family for named in found} == {"bert"}
    assert found[0].name == "teacher_truncated-1"


def test_a_baseline_that_cannot_be_built_is_named(
    tmp_path: Path, fresh_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise ConfigError("hidden_size must be > 128.")

    bench = Workbench(compose([*tiny_overrides(tmp_path), *TWICE], fresh_registry), fresh_registry)
    monkeypatch.setattr(bench, "check_architecture", refuse)
    with pytest.raises(
        ConfigError, match=r"baseline\.first makes 'first-1', which cannot .*128\. .*'~baseline\.first'"
    ):
        bench.baselines(bench.teacher.load(bench.task))


def test_two_baselines_of_one_name_are_refused(tmp_path: Path, fresh_registry: Registry) -> None:
    twice = ("baseline=[]", "+baseline.cut={name: teacher_truncated, layers: [1]}", "+baseline.cut-1.name=mobilebert")
    bench = Workbench(compose([*tiny_overrides(tmp_path), *twice], fresh_registry), fresh_registry)
    with pytest.raises(ConfigError, match=r"baseline\.cut-1 calls mobilebert.* 'cut-1', as bert.* is called already"):
        bench.baselines(bench.teacher.load(bench.task))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("+baseline.teacher.name=tinybert_4l", r"A baseline is called 'teacher', as the teacher is.*\+baseline\.LABEL"),
        ("+baseline={pick 3: {name: tinybert_4l}}", "A baseline is called 'pick 3', as a pick is"),
        ("+reference.teacher.name=tfidf_linear", "A reference is called 'teacher', as the teacher is"),
        ("+reference.mobilebert.name=tfidf_linear", "A reference is called 'mobilebert', as a baseline is"),
    ],
)
def test_rows_of_the_comparison_have_names_of_their_own(
    tmp_path: Path, fresh_registry: Registry, given: str, match: str
) -> None:
    overrides = [*tiny_overrides(tmp_path), "baseline=[mobilebert]", "reference=[]", given]
    bench = Workbench(compose(overrides, fresh_registry), fresh_registry)
    with pytest.raises(ConfigError, match=match):
        check_components(bench, bench.teacher.load(bench.task))


def test_a_label_that_names_another_baseline_by_now_is_refused(tmp_path: Path, fresh_registry: Registry) -> None:
    overrides = [*tiny_overrides(tmp_path), "baseline=[]", "+baseline.small.name=tinybert_4l"]
    settings = compose(overrides, fresh_registry)
    bench = Workbench(settings, fresh_registry)
    with Storage(settings.storage_url) as storage:
        study = storage.create_study("study", study_identity(bench), {}, {}, {})
        given: dict[str, Any] = {"replicate": 0, "origin": "baseline", "in_space": False, "note": None, "seed": 1}
        storage.add_trial(study.id, architecture(1, 16), label="small", **given)
    with (
        ExitStack() as stack,
        pytest.raises(ConfigError, match=r"'small' is bert.*in this study that name belongs to bert.*another label"),
    ):
        check_study(settings, fresh_registry, stack)


def test_a_plan_of_a_study_that_exists_refuses_what_a_run_refuses_and_tells_what_is_done(
    tmp_path: Path, fresh_registry: Registry
) -> None:
    def settings(*more: str) -> Settings:
        return compose([*tiny_overrides(tmp_path), "baseline=[]", *more], fresh_registry)

    fresh = make_plan(settings(), fresh_registry)
    assert {stage.done for stage in fresh.stages} == {0}
    assert fresh.seconds_left == fresh.seconds
    with Storage(settings().storage_url) as storage:
        study = storage.create_study("study", study_identity(Workbench(settings(), fresh_registry)), {}, {}, {})
        given: dict[str, Any] = {"replicate": 0, "origin": "search", "in_space": True, "note": None, "seed": 1}
        storage.add_trial(study.id, architecture(1, 16), label=None, **given)
        storage.update_trial(study.id, 0, began_training=True)
        assert {stage.done for stage in make_plan(settings("budget.trials=9"), fresh_registry).stages} == {0}
        storage.update_trial(study.id, 0, state="complete")
    going_on = make_plan(settings("budget.trials=9"), fresh_registry)
    done = {stage.name: (stage.done, stage.runs) for stage in going_on.stages if stage.done}
    assert done == {"flash distillation": (1, 9)}
    flash = next(stage for stage in going_on.stages if stage.done)
    assert going_on.seconds_left == pytest.approx(going_on.seconds - flash.seconds / 9)
    with pytest.raises(StudyError, match=r"schedule\.examples: the study has 640, now 960"):
        make_plan(settings("schedule.examples=960"), fresh_registry)
    with pytest.raises(ConfigError, match=r"search\.warm_start: .*nowhere"):
        make_plan(settings("search=botorch", "search.warm_start=[nowhere]"), fresh_registry)


@pytest.mark.parametrize(
    ("precision", "teaching"), [("32-true", "32-true"), ("bf16-mixed", "32-true"), ("32-true", "bf16-mixed")]
)
def test_a_plan_times_steps_in_the_precision_of_the_runs_and_the_teacher_in_its_own(
    tmp_path: Path, fresh_registry: Registry, monkeypatch: pytest.MonkeyPatch, precision: str, teaching: str
) -> None:
    seen: set[tuple[bool, bool]] = set()
    forward = plan.forward_features

    def noted(*arguments: Any, **options: Any) -> Any:
        seen.add((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        return forward(*arguments, **options)

    monkeypatch.setattr(plan, "forward_features", noted)
    given = [f"trainer.precision={precision}", f"trainer.teacher_precision={teaching}", "baseline=[]"]
    facts = make_plan(compose([*tiny_overrides(tmp_path), *given], fresh_registry), fresh_registry).facts
    # Its answers, which its own scores are of, are those of float32.
    assert seen == {(True, precision == "bf16-mixed"), (False, teaching == "bf16-mixed"), (False, False)}
    told = "; the teacher, when it teaches, in bf16-mixed" if teaching == "bf16-mixed" else ""
    assert facts["steps timed"] == f"on one CPU in {precision}{told}"


def test_a_plan_times_steps_on_the_studys_device_and_tells_what_is_not_timed(
    tmp_path: Path, fresh_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, waited, refused = torch.device("cuda", 0), list[Any](), iter([True])
    places: list[Any] = []

    def on_device(batch: Any, where: Any) -> Any:
        places.append(where)
        if next(refused, False):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    monkeypatch.setattr(Workbench, "device", device)
    monkeypatch.setattr(plan, "placed", lambda model, where: nullcontext(places.append(where)))
    monkeypatch.setattr(plan, "on_device", on_device)
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    more = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.compile=true", "baseline=[]")
    facts = make_plan(compose([*tiny_overrides(tmp_path), *more], fresh_registry), fresh_registry).facts
    assert set(places) == set(waited) == {device}
    assert facts["steps timed"] == (
        "on one GPU in 32-true; runs divide every step among 2 processes, which is not in the times; "
        "without trainer.compile"
    )


def test_a_plan_counts_a_repeated_baseline_once(tmp_path: Path, fresh_registry: Registry) -> None:
    plan = make_plan(compose([*tiny_overrides(tmp_path), *TWICE], fresh_registry), fresh_registry)
    assert {stage.name: stage.runs for stage in plan.stages}["full recipe: baselines"] == 1


def test_a_plan_counts_the_teachers_passes(tmp_path: Path, fresh_registry: Registry) -> None:
    """Once over what is cached, in every step over what is not."""
    stages = {}
    for room in ("1", "0"):
        overrides = [*tiny_overrides(tmp_path), "baseline=[]", "picks.max=2", "budget.trials=3", f"cache_max_gb={room}"]
        stages[room] = {
            item.name: item for item in make_plan(compose(overrides, fresh_registry), fresh_registry).stages
        }
    cached, online = stages["1"], stages["0"]
    assert not any(name.startswith("teacher online") for name in cached)
    features = cached["teacher's features"]
    assert features.examples > 100
    assert features.seconds > 0
    assert features.flops > 0
    assert "teacher's features" not in online
    full, flash = online["teacher online: full runs"], online["teacher online: flash runs"]
    assert (full.runs, full.examples) == (2, online["full recipe: picks"].examples)
    assert (flash.runs, flash.examples) == (3, online["flash distillation"].examples)


def test_a_teacher_that_students_cannot_start_from_shows_before_training(
    tmp_path: Path, fresh_registry: Registry
) -> None:
    for changes, fits in ((["student.activation=relu"], False), (["student.initialisation=random"], True)):
        bench = Workbench(
            compose([*tiny_overrides(tmp_path), "student.activation=relu", *changes], fresh_registry), fresh_registry
        )
        with (
            nullcontext()
            if fits
            else pytest.raises(ConfigError, match=r"student\.activation is 'relu', but the teacher's")
        ):
            check_workbench(bench)


def test_the_narrowest_student_is_started_as_wider_ones_take_nothing(tmp_path: Path, fresh_registry: Registry) -> None:
    wider = "student.space={num_layers: [1], hidden_size: [64, 32], num_heads: [4], intermediate_size: [16]}"
    overrides = [*tiny_overrides(tmp_path), wider, "student.activation=relu", "baseline=[]"]
    with pytest.raises(ConfigError, match=r"student\.activation is 'relu', but the teacher's"):
        check_workbench(Workbench(compose(overrides, fresh_registry), fresh_registry))


def test_baselines_of_another_family_have_the_teachers_activation(
    tmp_path: Path, fresh_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*tiny_overrides(tmp_path), "baseline=[teacher_truncated,minilm_6l]", *MOBILEBERT]
    config = tmp_path / "teacher" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_act": "relu"}))
    settings = compose(overrides, fresh_registry)
    bench = Workbench(settings, fresh_registry)
    check_workbench(bench)
    (baseline, _) = bench.baselines(bench.teacher.load(bench.task))
    assert bench.build(baseline.architecture).config.hidden_act == "relu"
    monkeypatch.setattr(HuggingFaceTeacher, "activation", None)
    with pytest.raises(
        ConfigError,
        match=r"baselines of the family 'bert' \(teacher_truncated-1, minilm_6l\) cannot start .*'~baseline\.LABEL'",
    ):
        check_workbench(Workbench(settings, fresh_registry))


@pytest.mark.parametrize(
    ("method", "returned", "expected"),
    [
        ("initialise", None, "initialise must return an Initialisation, but that of .* returned NoneType for bert"),
        ("lr_factor", float("nan"), r"lr_factor must return a finite number > 0, but that of .* returned nan for"),
        ("lr_factor", 0, r"lr_factor must return .* returned 0 for"),
        ("lr_factor", None, r"lr_factor must return .* returned None for"),
        (
            "parameters",
            7,
            r"parameters must return how many the model of build has, \d+, but that of .* returned 7 for",
        ),
    ],
)
def test_a_family_that_returns_what_it_may_not_is_named_before_training(
    tmp_path: Path, fresh_registry: Registry, monkeypatch: pytest.MonkeyPatch, method: str, returned: Any, expected: str
) -> None:
    bench = Workbench(compose([*tiny_overrides(tmp_path), "baseline=[]"], fresh_registry), fresh_registry)
    monkeypatch.setattr(BertFamily, method, lambda *_, **__: returned)
    with pytest.raises(PluginError, match=expected) as caught:
        check_initialisation(bench, bench.teacher.load(bench.task), [])
    assert "the student family 'bert' of autodistill" in str(caught.value)


@dataclass
class TabledConfig(BertFamilyConfig):
    table: str = field(kw_only=True)


class Tabled(BertFamily):
    """Has a parameter without a default."""

    def __init__(self, *, table: str, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.table = table


class WithTabled:
    @hookimpl
    def autodistill_student_families(self) -> list[ComponentSpec]:
        return [ComponentSpec("a_tabled", f"{__name__}:Tabled", TabledConfig, "A family with a table.")]


def test_a_family_may_have_a_parameter_without_a_default(tmp_path: Path, fresh_registry: Registry) -> None:
    manager = fresh_registry.manager
    manager.register(WithTabled(), Provider("autodistill-tabled", "1", "tabled"))
    registry = Registry(manager)
    tiny = tiny_overrides(tmp_path)
    given = [item.replace("student=bert", "student=a_tabled") for item in tiny]
    family = Workbench(compose([*given, "student.table=sizes"], registry), registry).family
    assert isinstance(family, Tabled)
    assert family.table == "sizes"
    other = Workbench(compose([*tiny, *MOBILEBERT], registry), registry)
    found = other.architecture_of(other.teacher.load(other.task))  # the family is the first to be asked
    assert found is not None
    assert found.family == "bert"
    with pytest.raises(ConfigError, match=r"the student family 'a_tabled' of autodistill-tabled 1 has none for table"):
        other.family_of("a_tabled")


@pytest.mark.parametrize("loss", ["[hard_label]", "[logits_kl,hard_label]"])
def test_labels_of_changed_texts_are_not_learnt(tmp_path: Path, fresh_registry: Registry, loss: str) -> None:
    overrides = [*tiny_overrides(tmp_path), f"loss={loss}", "augmentation.copies=2", "augmentation.kind=replace"]
    bench = Workbench(compose(overrides, fresh_registry), fresh_registry)
    with pytest.raises(
        ConfigError, match=r"loss\.hard_label learns from the labels, but augmentation\.copies=2 changes"
    ):
        check_workbench(bench)


def test_a_loss_that_asks_for_what_the_teacher_cannot_give_is_named(tmp_path: Path, fresh_registry: Registry) -> None:
    overrides = [*tiny_overrides(tmp_path), "loss=[logits_kl,attention_mse]", "baseline=[]"]
    config = tmp_path / "teacher" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sliding_window": 4}))  # its scores are no feature
    bench = Workbench(compose(overrides, fresh_registry), fresh_registry)
    with pytest.raises(
        ConfigError,
        match=rf"loss\.attention_mse needs attention_scores, which the teacher {tmp_path / 'teacher'} cannot give "
        r"\(it gives attentions, embeddings, hidden_states, keys, logits, masked_logits, queries, values\)",
    ):
        check_workbench(bench)


def test_a_study_that_goes_on_with_other_settings_of_its_data_is_refused(
    tmp_path: Path, fresh_registry: Registry
) -> None:
    def bench(snapshot: str | None, limit: int) -> Workbench:
        libraries = ["data=python_docs", "data.libraries=[pluggy,rich]", f"data.examples_per_library={limit}"]
        settings = compose([*libraries, "data.examples_per_file=6", f"cache_dir={tmp_path}"], fresh_registry)
        return Workbench(settings, fresh_registry, snapshot)

    snapshot = bench(None, 40).data.fingerprint
    assert bench(snapshot, 40).data.fingerprint == snapshot
    with pytest.raises(ConfigError, match=r"examples_per_library=60: the data has .*=40\n.*study.name=NAME"):
        bench(snapshot, 60).data  # noqa: B018 (reading it raises)
    assert bench("gone", 60).data.fingerprint != snapshot


#: A plugin whose students show their outputs only.
CLOSED = """
from autodistill.components.architecture import Architecture
from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.students.bert import BertFamily
from autodistill.students.configs import BertFamilyConfig


class ClosedFamily(BertFamily):
    features = frozenset({"logits"})

    def _sizes(self, architecture):
        return super()._sizes(Architecture("bert", architecture.choices))


@hookimpl
def autodistill_student_families():
    return [ComponentSpec(name="closed", target="closed:ClosedFamily", config=BertFamilyConfig, summary="Outputs.")]
"""


def test_a_loss_that_asks_for_what_the_students_cannot_give_is_named(
    tmp_path: Path,
    fresh_registry: Registry,
    install_plugin: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(install_plugin("closed", CLOSED)))
    fresh_registry.manager.register(importlib.import_module("closed"), Provider("autodistill-closed", "1.5", "closed"))
    registry = Registry(fresh_registry.manager)
    overrides = [*tiny_overrides(tmp_path), "student=closed", "loss=[logits_kl,hidden_mse]", "baseline=[]"]
    bench = Workbench(compose(overrides, registry), registry)
    with pytest.raises(
        ConfigError,
        match=r"loss\.hidden_mse needs hidden_states, which the student family 'closed' cannot give "
        r"\(it gives logits\)",
    ):
        check_workbench(bench)


@pytest.mark.parametrize(
    ("chosen", "label"),
    [
        (["evaluator=[agreement]"], "size"),
        (["evaluator=[]"], "size"),
        (["evaluator=[agreement,size]"], "size"),
        (["evaluator=[]", "+evaluator.mine.name=size"], "mine"),
    ],
)
def test_sizes_are_features_of_the_search_whichever_evaluators_are_chosen(
    tmp_path: Path, fresh_registry: Registry, chosen: list[str], label: str
) -> None:
    bench = Workbench(compose([*tiny_overrides(tmp_path), *chosen], fresh_registry), fresh_registry)
    context = bench.search_context(bench.known({}))
    assert context.known.metrics == {f"{label}.{name}" for name in ("parameters", "flops", "layers")}
    view = View(context, Candidates(context), History())
    everything = view.past.joined(Candidates(context).describe(context.space.enumerate()))
    with_sizes, without = (view.feature_map(everything, None, sizes).layout.linear for sizes in (True, False))
    assert (with_sizes, without) == (3, 0)
