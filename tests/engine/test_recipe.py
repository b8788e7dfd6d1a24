"""The recipe inside a study: every schedule, what `plan` prints of it, what it costs, and promotion along a trunk."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tiny_studies import architecture, replaced, tiny_study, weights

import autodistill
from autodistill.components.training import Phase
from autodistill.configs.composition import compose
from autodistill.engine.plan import make_plan
from autodistill.engine.recipe import optimisation_for, training_flops
from autodistill.engine.session import check_workbench
from autodistill.engine.workbench import Workbench
from autodistill.errors import ConfigError
from autodistill.registry import Registry
from autodistill.report.plan import render_plan
from autodistill.testing.sources import write_tiny_corpus
from autodistill.testing.tiny import tiny_overrides, write_tiny_teacher

PROGRESSIVE = ("schedule=progressive", "loss=[logits_kl,hidden_mse]", "baseline=[]")


def test_a_plan_prints_the_steps_of_every_stage(tmp_path: Path, fresh_registry: Registry) -> None:
    baseline = "+baseline.tiny={name: tinybert_4l}"  # deeper than any candidate, and has no flash run
    overrides = [*tiny_overrides(tmp_path), *PROGRESSIVE, baseline, "schedule.min_stage_steps=3"]
    plan = make_plan(compose(overrides, fresh_registry), fresh_registry)
    found = {(item.run, item.depths, item.name): item.steps for item in plan.phases}
    assert found == {  # 640 examples are 20 steps, a quarter of them in a flash run
        ("flash", (1,), "stage 1 of 1"): 2,
        ("flash", (1,), "end to end"): 3,
        ("flash", (2,), "stage 1 of 1"): 2,
        ("flash", (2,), "end to end"): 3,
        ("full", (1,), "stage 1 of 1"): 6,
        ("full", (1,), "end to end"): 14,
        ("full", (2,), "stage 1 of 2"): 3,
        ("full", (2,), "stage 2 of 2"): 3,
        ("full", (2,), "end to end"): 14,
        ("full", (4,), "stage 1 of 2"): 3,
        ("full", (4,), "stage 2 of 2"): 3,
        ("full", (4,), "end to end"): 14,
    }
    text = StringIO()
    render_plan(plan, Console(file=text, width=160))
    for words in (
        ["flash", "2", "stage 1 of 1", "transfer", "2", "2"],
        ["full", "2", "stage 1 of 2", "transfer", "3", "1"],
        ["full", "1", "end to end", "prediction", "14"],
    ):
        lines = [line for line in text.getvalue().splitlines() if all(word in line for word in words)]
        assert lines, words
    whole = next(line for line in text.getvalue().splitlines() if "in all" in line)
    assert f"{sum(stage.runs * stage.flops for stage in plan.stages):.2e}" in whole
    json.dumps(plan.as_dict())


def test_a_baseline_that_a_loss_refuses_is_named_also_beside_another_of_its_depth(
    tmp_path: Path, fresh_registry: Registry
) -> None:
    baselines = ("+baseline.tiny={name: tinybert_4l}", "+baseline.cut={name: teacher_truncated, layers: [4]}")
    overrides = [*tiny_overrides(tmp_path), "loss=[logits_kl,attention_kl]", "baseline=[]", *baselines]
    write_tiny_teacher(tmp_path / "teacher", layers=5)
    bench = Workbench(compose(overrides, fresh_registry), fresh_registry)
    with pytest.raises(
        ConfigError,
        match=r"The baseline 'tiny', bert\(.*num_heads=12.*\), cannot be trained by the study's recipe: "
        r"loss\.attention_kl compares .* the student has 12 heads and the teacher 4\..* leave the baseline out",
    ):
        check_workbench(bench)
    check_workbench(Workbench(compose([*overrides, "~baseline.tiny"], fresh_registry), fresh_registry))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "teacher.fine_tune_batch_size=15 trainer.devices=2 trainer.strategy=ddp",
            r"trainer\.devices=2 must divide the 15 examples of a step.* Change teacher\.fine_tune_batch_size or",
        ),
        ("trainer.checkpoint_every_steps=0", r"checkpoint_every_steps must be a whole number of steps, .* got 0\."),
        ("trainer.checkpoint_every_steps=null", r"checkpoint_every_steps must be .* got None\."),
        ("trainer.accumulate=0", r"trainer\.accumulate must be a whole number from 1 to the 32 examples .* got 0\."),
        ("trainer.precision=bf16-true", r"trainer\.precision must be one of 32-true, .* got 'bf16-true'\."),
    ],
)
def test_what_a_run_could_not_work_with_shows_before_training(
    tmp_path: Path, fresh_registry: Registry, override: str, message: str
) -> None:
    bench = Workbench(compose([*tiny_overrides(tmp_path), *override.split()], fresh_registry), fresh_registry)
    with pytest.raises(ConfigError, match=message):
        check_workbench(bench)


def test_a_plan_counts_the_disk_of_kept_trunks(tmp_path: Path, fresh_registry: Registry) -> None:
    disk = {}
    for keep in ("true", "false"):
        overrides = [*tiny_overrides(tmp_path), "schedule=wsd", f"schedule.keep_trunk={keep}", "budget.trials=100"]
        disk[keep] = make_plan(compose(overrides, fresh_registry), fresh_registry).disk_bytes
    assert disk["true"] > 2 * disk["false"]


def test_stages_of_fewer_layers_cost_their_share(tmp_path: Path, fresh_registry: Registry) -> None:
    bench = Workbench(compose(tiny_overrides(tmp_path), fresh_registry), fresh_registry)
    phases = (Phase("low", frozenset(), 4, max_student_layer=1), Phase("all", frozenset(), 6))
    cost = {
        pair: training_flops(bench, architecture(2, 32), phases, *pair) for pair in ((0, 10), (0, 4), (4, 10), (2, 5))
    }
    whole = cost[4, 10] / 6
    assert cost[0, 4] == pytest.approx(4 * whole / 2)
    assert cost[0, 10] == pytest.approx(8 * whole)
    assert cost[2, 5] == pytest.approx(2 * whole)


def test_the_head_over_words_costs_what_it_is_asked_for(tmp_path: Path, fresh_registry: Registry) -> None:
    path, teacher = write_tiny_corpus(tmp_path / "corpus.txt", 80), write_tiny_teacher(tmp_path / "teacher")
    sizes = ("data.max_length=24", "data.workers=1", "data.select_documents=10", "data.test_documents=10")
    data = ("data=corpus", f"data.path={path}", *sizes)
    more = ("loss=[mlm_soft]", "evaluator=[mlm,size]", "baseline=[]", f"output_dir={tmp_path / 'outputs'}")
    given = [*data, "teacher=with_mlm_head", f"teacher.path={teacher}", *more]
    bench = Workbench(compose(given, fresh_registry), fresh_registry)
    assert 0.1 < bench.asked_share < 0.2
    item, size = architecture(2, 32), bench.schedule.optimisation.batch_size
    whole = bench.family_of("bert").flops(item, bench.task, bench.vocabulary, bench.median_tokens)
    head = 2 * bench.median_tokens * 32 * (32 + bench.vocabulary.size)
    encoder = whole - head
    states, words = Phase("states", frozenset({"transfer"}), 4), Phase("words", frozenset({"prediction"}), 6)
    cost = [training_flops(bench, item, (states, words), *pair) / 3 / size for pair in ((0, 4), (4, 10))]
    assert cost[0] == pytest.approx(4 * encoder, rel=0.02)  # its pooler is counted
    assert cost[1] == pytest.approx(6 * (encoder + bench.asked_share * head), rel=0.02)


def test_the_learning_rate_follows_the_family_where_the_schedule_says_so(
    tmp_path: Path, fresh_registry: Registry
) -> None:
    rates = []
    for scale in ("false", "true"):
        settings = compose([*tiny_overrides(tmp_path), f"schedule.scale_lr={scale}"], fresh_registry)
        bench = Workbench(settings, fresh_registry)
        rates.append([optimisation_for(bench, architecture(layers, 32)).lr for layers in (1, 2)])
    assert rates[0] == [3e-3, 3e-3]
    assert rates[1] == pytest.approx([3e-3 * 384 / 32 * 6**0.5, 3e-3 * 384 / 32 * 3**0.5])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_study(tmp_path_factory.mktemp("files"), "budget.trials=2", "baseline=[]", "schedule=wsd")


def run(overrides: list[str], *new: str, explore_only: bool = False) -> None:
    mine = replaced(overrides, *new)
    autodistill.run(autodistill.compose(mine), overrides=mine, explore_only=explore_only)


def test_a_pick_on_its_trunk_is_the_pick_from_the_beginning(files: list[str], tmp_path: Path) -> None:
    trunks = {}
    for name, keep in (("promoted", "true"), ("anew", "true"), ("spared", "false")):
        output, kept = tmp_path / name, f"schedule.keep_trunk={keep}"
        run(files, f"output_dir={output}", kept, explore_only=True)
        trunks[name] = sorted((output / "study").glob("trials/*/trunk/trunk.ckpt"))
        assert len(trunks[name]) == (2 if keep == "true" else 0)
        if name == "anew":
            for trunk in trunks[name]:
                trunk.unlink()
        run(files, f"output_dir={output}", kept)
        assert not any((output / "study").glob("trials/*/trunk"))  # the picks are frozen: nothing goes on from them
    study = {name: tmp_path / name / "study" for name in trunks}
    assert weights(study["promoted"]) == weights(study["anew"]) == weights(study["spared"])
    assert len(weights(study["anew"])) == 1
    run(files, f"output_dir={tmp_path / 'promoted'}", "budget.trials=3", explore_only=True)
    assert (
        study["promoted"] / "trials" / "2"
    ).is_dir()  # a trial of later: it is no pick any more, and leaves no trunk
    assert not any(study["promoted"].glob("trials/*/trunk"))
    costs = {name: json.loads((folder / "summary.json").read_text())["cost"] for name, folder in study.items()}
    saved = costs["anew"]["picks"]["examples"] - costs["promoted"]["picks"]["examples"]
    assert saved == 32 * 4  # flash: 5 steps of 32, one of them decays


@pytest.mark.parametrize("schedule", [PROGRESSIVE, ("schedule=two_phase", *PROGRESSIVE[1:])])
def test_whole_studies_run_under_other_schedules(files: list[str], tmp_path: Path, schedule: tuple[str, ...]) -> None:
    run(files, *schedule, f"output_dir={tmp_path}", "budget.trials=1", "trainer.accumulate=2")
    summary = json.loads((tmp_path / "study" / "summary.json").read_text())
    assert len(summary["picks"]) == 1
    assert summary["cost"]["picks"]["examples"] == 640
