"""Every verb on the tiny study, through `main`, as a user would type them."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from safetensors.torch import load_file, save_file
from tiny_studies import replaced, tiny_study

from autodistill.cli import main
from autodistill.configs.composition import SEARCH_PATH, search_path_override
from autodistill.engine.plan import COUNTING, STEPPING
from autodistill.engine.session import CHECKING

Verb = Callable[..., str]

SMALL = "{num_layers: 1, hidden_size: 32, num_heads: 4, intermediate_size: 16}"


@dataclass
class Tiny:
    """The tiny study that was run once by the command line."""

    overrides: list[str]
    output: Path
    printed: str

    @property
    def folder(self) -> Path:
        return self.output / "study"

    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module", autouse=True)
def wide_terminal() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, wide_terminal: None) -> Tiny:
    import contextlib
    import io

    directory = tmp_path_factory.mktemp("verbs")
    overrides = tiny_study(directory, "budget.trials=2", "baseline.teacher_truncated.layers=[1]")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["run", *overrides]) == 0
    return Tiny(overrides, directory / "outputs", printed.getvalue())


@pytest.fixture
def output(tiny: Tiny, tmp_path: Path) -> Path:
    """A copy of the study's folder and storage, to be changed."""
    return Path(shutil.copytree(tiny.output, tmp_path / "outputs"))


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Verb:
    """Run a verb that succeeds; returns what it printed."""

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        given = main(list(arguments))
        captured = capsys.readouterr()
        assert given == code, captured.err
        assert "Traceback" not in captured.err
        return captured.out

    return run


def test_run_prints_the_report_and_where_it_is(tiny: Tiny) -> None:
    assert f"Report: {tiny.folder / 'report.html'}" in tiny.printed
    assert "teacher_truncated-1" in tiny.printed
    assert (tiny.folder / "autodistill.log").is_file()


def test_what_the_command_line_makes_is_private(tiny: Tiny) -> None:
    for place in (tiny.output, tiny.folder, tiny.output / "cache", tiny.output / "studies.db"):
        assert place.stat().st_mode & 0o077 == 0, place


def test_hydra_leaves_no_folder_of_its_own(tiny: Tiny) -> None:
    assert sorted(path.name for path in tiny.output.iterdir() if not path.name.startswith("studies.db")) == [
        "cache",
        "study",
    ]


def test_explore_goes_on_with_the_stored_configuration(output: Path, out: Verb) -> None:
    out("explore", "study.name=study", f"output_dir={output}", "budget.trials=3")
    summary = json.loads((output / "study" / "summary.json").read_text())
    assert summary["trials"]["complete"] == 3
    assert summary["config"]["schedule"]["examples"] == 640
    assert summary["config"]["budget"]["trials"] == 3


def test_distill_trains_a_trial_in_full(output: Path, out: Verb) -> None:
    summary = json.loads((output / "study" / "summary.json").read_text())
    picked = summary["picks"][0]["trial"]
    other = next(row["trial"] for row in summary["history"] if row["origin"] == "search" and row["trial"] != picked)
    printed = out("distill", "study.name=study", f"output_dir={output}", f"trial={other}")
    assert f"trial {other}: " in printed
    assert (output / "study" / "manual" / str(other) / "onnx" / "model.onnx").is_file()
    again = out("distill", "study.name=study", f"output_dir={output}", f"trial={other}")
    assert again.splitlines()[-1] == printed.splitlines()[-1]  # trained once
    assert "select/classification.accuracy" in printed
    assert "test/" not in printed  # choosing what to train by hand must not become choosing by the test split


def test_distill_trains_an_architecture_given_by_hand(output: Path, out: Verb) -> None:
    wide = "{family: bert, choices: {num_layers: 1, hidden_size: 32, num_heads: 2, intermediate_size: 48}}"
    printed = out("distill", "study.name=study", f"output_dir={output}", f"architecture={wide}")
    number = printed.splitlines()[-1].partition(":")[0].removeprefix("trial ")
    config = json.loads((output / "study" / "manual" / number / "hf" / "config.json").read_text())
    assert (config["num_attention_heads"], config["intermediate_size"]) == (2, 48)
    out("report", "study.name=study", f"output_dir={output}")
    summary = json.loads((output / "study" / "summary.json").read_text())
    assert [row["origin"] for row in summary["history"] if str(row["trial"]) == number] == ["manual"]
    assert summary["verdict"]["holds"] is not None  # what was compared stays compared
    assert sorted(summary["cost"]) == ["baselines", "explore", "manual", "picks"]
    assert summary["cost"]["picks"]["examples"] == 640  # of the one pick, whatever was trained by hand
    made = next(row for row in summary["history"] if str(row["trial"]) == number)
    assert made["metrics"]["size.parameters"]["value"] > 0


def test_a_model_trained_by_hand_that_becomes_a_pick_is_not_trained_again(tiny: Tiny, out: Verb) -> None:
    given = replaced(tiny.overrides, "study.name=early", "budget.trials=1")
    out("explore", *given)
    out("distill", "study.name=early", f"output_dir={tiny.output}", "trial=0")
    study = tiny.output / "early"
    trained = (study / "manual" / "0" / "hf" / "model.safetensors").stat().st_mtime_ns
    out("run", "study.name=early", f"output_dir={tiny.output}")
    assert (study / "manual" / "0" / "hf" / "model.safetensors").stat().st_mtime_ns == trained
    predictions = pyarrow.parquet.read_table(study / "picks" / "0" / "predictions.parquet")
    assert set(predictions.column("split").to_pylist()) == {"test"}
    summary = json.loads((study / "summary.json").read_text())
    assert [pick["name"] for pick in summary["picks"]] == ["pick 0"]
    assert sorted(summary["cost"]) == ["baselines", "explore", "picks"]


def test_a_study_with_relative_paths_goes_on_from_another_folder(
    tiny: Tiny, out: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = next(Path(item.partition("=")[2]) for item in tiny.overrides if item.startswith("data.train="))
    monkeypatch.chdir(train.parent)
    out("explore", *replaced(tiny.overrides, f"data.train={train.name}", "study.name=moved", "budget.trials=1"))
    monkeypatch.chdir(tmp_path)
    out("explore", "study.name=moved", f"output_dir={tiny.output}", "budget.trials=2")
    summary = json.loads((tiny.output / "moved" / "summary.json").read_text())
    assert summary["trials"]["complete"] == 2
    assert summary["config"]["data"]["train"] == str(train)


def test_distill_trains_a_baseline_without_a_study_of_its_name(tiny: Tiny, out: Verb) -> None:
    given = replaced(tiny.overrides, "study.name=other", "baseline=[teacher_truncated]")
    printed = out("distill", *given)
    assert "teacher_truncated-1: " in printed
    assert (tiny.output / "other" / "baselines" / "teacher_truncated-1" / "hf" / "model.safetensors").is_file()


def test_evaluate_gives_the_studys_final_metrics_again(tiny: Tiny, out: Verb) -> None:
    pick = tiny.summary()["picks"][0]
    given = replaced(tiny.overrides, "study.name=evaluated", f"model={tiny.folder / pick['paths']['hf']}")
    printed = out("evaluate", *given)
    assert "classification.accuracy" in printed
    found = evaluated(tiny.output / "evaluated")
    assert found["metrics"]["classification.accuracy"] == pick["final"]["classification.accuracy"]
    assert found["notes"]["examples_test"] == 120
    assert "truncated inputs, test" in [row["name"] for row in found["checks"]]
    with sqlite3.connect(tiny.output / "studies.db") as connection:
        names = {name for (name,) in connection.execute("select name from autodistill_studies")}
    assert "evaluated" not in names


def test_evaluate_keeps_its_answers_and_tells_of_a_model_that_has_learnt_nothing(
    tiny: Tiny, out: Verb, tmp_path: Path
) -> None:
    model = tiny.folder / tiny.summary()["picks"][0]["paths"]["hf"]
    lazy = Path(shutil.copytree(model, tmp_path / "lazy"))
    weights = load_file(lazy / "model.safetensors")
    weights["classifier.weight"].zero_()  # whatever the text says, the bias answers
    save_file(weights, lazy / "model.safetensors", metadata={"format": "pt"})
    printed = {}
    for name, one in (("able", model), ("lazy", lazy)):
        printed[name] = out("evaluate", *replaced(tiny.overrides, f"study.name={name}", f"model={one}"))
    alarm = "The model scores .* on classification.accuracy, (no better|worse) than the trivial answer"
    assert re.search(alarm, printed["lazy"])
    assert "trivial answer" not in printed["able"]
    found = evaluated(tiny.output / "lazy")
    assert re.search(alarm, found["checks"][0]["alarm"])
    answers = pyarrow.parquet.read_table(tiny.output / "lazy" / "evaluate" / found["predictions"])
    assert len(set(answers.column("id").to_pylist())) == 120
    assert set(answers.column("split").to_pylist()) == {"test"}
    assert len({tuple(row) for row in answers.column("logits").to_pylist()}) == 1


def test_evaluate_needs_test_examples_alone(tiny: Tiny, out: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    pick = tiny.summary()["picks"][0]
    given = [item for item in tiny.overrides if not item.startswith(("data.train=", "data.select="))]
    given = replaced(given, "study.name=alone", f"model={tiny.folder / pick['paths']['hf']}")
    out("evaluate", *given)
    found = evaluated(tiny.output / "alone")
    assert found["metrics"]["classification.accuracy"] == pick["final"]["classification.accuracy"]
    assert not [name for name in found["notes"] if name.endswith(("_train", "_select"))]
    assert main(["evaluate", *given, "evaluator=[agreement]"]) == 2
    assert "no training examples to fine-tune it on" in capsys.readouterr().err
    assert main(["evaluate", *replaced(given, f"model={tiny.folder.parent.parent / 'teacher'}")]) == 2
    assert "data.train must name a file" in capsys.readouterr().err


def evaluated(folder: Path) -> dict[str, Any]:
    """The only result of the verb `evaluate` in a study's folder."""
    (file,) = (folder / "evaluate").glob("*.json")
    return json.loads(file.read_text())  # type: ignore[no-any-return]


def test_results_of_several_models_lie_beside_each_other(tiny: Tiny, out: Verb, tmp_path: Path) -> None:
    model, other = tiny.folder / tiny.summary()["picks"][0]["paths"]["hf"], tmp_path / "hf"
    shutil.copytree(model, other)
    given = replaced(tiny.overrides, "study.name=two", "export=[huggingface]")
    for verb in ("evaluate", "export"):
        for one in (model, other):
            out(verb, *given, f"model={one}")
    results = [json.loads(file.read_text()) for file in (tiny.output / "two" / "evaluate").glob("*.json")]
    assert {result["model"] for result in results} == {str(model), str(other)}
    assert len(list((tiny.output / "two" / "exports").glob("*/hf/model.safetensors"))) == 2


def _with_other_numbers(model: Path, target: Path) -> Path:
    """A copy of a model that knows its words by other numbers: its tokeniser is as good as the first one's, for it."""
    shutil.copytree(model, target)
    tokenizer = json.loads((target / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    special = {token["id"] for token in tokenizer["added_tokens"]}
    words = [number for number in vocabulary.values() if number not in special]
    moved = dict(zip(words, words[1:] + words[:1], strict=True))
    tokenizer["model"]["vocab"] = {word: moved.get(number, number) for word, number in vocabulary.items()}
    (target / "tokenizer.json").write_text(json.dumps(tokenizer))
    weights = load_file(target / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    changed = weights[name].clone()
    for old, new in moved.items():
        changed[new] = weights[name][old]
    save_file({**weights, name: changed}, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_a_model_is_evaluated_and_exported_with_its_own_tokeniser(
    tiny: Tiny, out: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pick = tiny.summary()["picks"][0]
    other = _with_other_numbers(tiny.folder / pick["paths"]["hf"], tmp_path / "other")
    given = [*replaced(tiny.overrides, "study.name=own"), f"model={other}"]
    out("evaluate", *given)
    found = evaluated(tiny.output / "own")["metrics"]
    assert found["classification.accuracy"] == pick["final"]["classification.accuracy"]
    out("export", *given, "export=[onnx]")
    (exported,) = (tiny.output / "own" / "exports").glob("*/onnx/tokenizer.json")
    assert json.loads(exported.read_text())["model"] == json.loads((other / "tokenizer.json").read_text())["model"]
    capsys.readouterr()
    assert main(["evaluate", *given, "evaluator=[agreement]"]) == 2
    assert "has another tokeniser than the teacher" in capsys.readouterr().err
    (other / "tokenizer.json").unlink()
    (other / "tokenizer_config.json").unlink()
    assert main(["evaluate", *[item for item in given if not item.startswith("teacher.path=")]]) == 2
    assert "tokeniser" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_model_is_explained(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    shutil.copytree(tiny.folder / tiny.summary()["picks"][0]["paths"]["hf"], tmp_path / "model")
    file = tmp_path / "model" / name
    file.write_bytes(file.read_bytes()[:-20])
    assert main(["evaluate", *tiny.overrides, f"model={tmp_path / 'model'}"]) == 2
    assert "cannot be loaded as a model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (("data.labels=[number,colour,animal]",), "or for the same in another order: it knows animal, colour, number"),
        (("data.multi_label=true",), "was trained to give an example one label, and this data has several"),
        (("data=text_regression", "data.label_column=score"), "was trained for classification, and .* is regression"),
        (("data=token_classification", "data.train=words.conll"), "is a BertForSequenceClassification.*ForTokenClass"),
    ],
)
def test_evaluate_refuses_data_of_another_task(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], tmp_path: Path, data: tuple[str, ...], message: str
) -> None:
    (tmp_path / "words.conll").write_text("".join(f"w{row} O\ndog B-X\n\n" for row in range(40)))
    (tmp_path / "scores.tsv").write_text("text\tscore\n" + "".join(f"w{row} cat\t{row}.5\n" for row in range(40)))
    model = tiny.folder / tiny.summary()["picks"][0]["paths"]["hf"]
    own = [item for item in tiny.overrides if not item.startswith("data.") or data[0].startswith("data.")]
    given = replaced(own, *(item.replace("words.conll", str(tmp_path / "words.conll")) for item in data))
    if data[0] == "data=text_regression":
        given.append(f"data.train={tmp_path / 'scores.tsv'}")
    assert main(["evaluate", *given, "study.name=refused", f"model={model}", "data.max_length=16"]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_evaluate_on_a_study_by_name_takes_its_data(tiny: Tiny, output: Path, out: Verb) -> None:
    model = tiny.folder / tiny.summary()["picks"][0]["paths"]["hf"]
    printed = out("evaluate", "study.name=study", f"output_dir={output}", f"model={model}")
    assert "120" in printed


def test_evaluate_compares_with_the_studys_own_teacher(output: Path, out: Verb) -> None:
    summary = json.loads((output / "study" / "summary.json").read_text())
    model = output / "study" / summary["picks"][0]["paths"]["hf"]
    before = sorted((output / "cache" / "teachers").iterdir())
    out("evaluate", "study.name=study", f"output_dir={output}", f"model={model}", "evaluator=[agreement]")
    found = evaluated(output / "study")["metrics"]
    assert found["agreement.kl"]["value"] > 0.0  # of the student, not of a model compared with itself
    assert sorted((output / "cache" / "teachers").iterdir()) == before  # nothing was fine-tuned again


def test_latency_times_a_model_an_architecture_and_the_baselines(tiny: Tiny, out: Verb) -> None:
    given = replaced(tiny.overrides, "study.name=timed")
    for subject, name in (
        (f"model={tiny.folder / tiny.summary()['picks'][0]['paths']['hf']}", "picks"),
        (f"architecture={SMALL}", "architecture"),
        ("baseline=[teacher_truncated]", "teacher_truncated-1"),
    ):
        printed = out("latency", *given, subject)
        assert name in printed
        assert "teacher" in printed
    files = list((tiny.output / "timed" / "latency").glob("*.json"))
    assert len(files) == 3  # one beside the other
    for file in files:
        assert {report["kind"] for report in json.loads(file.read_text())} == {"replayed"}


def test_export_writes_every_chosen_format_with_parity(tiny: Tiny, out: Verb) -> None:
    model = tiny.folder / tiny.summary()["picks"][0]["paths"]["hf"]
    printed = out("export", *replaced(tiny.overrides, "study.name=exported"), f"model={model}", "export=[onnx]")
    assert "onnx" in printed
    (parity,) = (tiny.output / "exported" / "exports").glob("*/onnx/parity.json")
    assert json.loads(parity.read_text())


def test_report_of_a_study_that_was_moved_says_where_it_is_now(output: Path, out: Verb, tmp_path: Path) -> None:
    moved = Path(shutil.move(output, tmp_path / "moved"))
    printed = out("report", "study.name=study", f"output_dir={moved}")
    summary = json.loads((moved / "study" / "summary.json").read_text())
    assert f"output_dir={moved}" in summary["command"]
    assert f"output_dir={moved}" in (moved / "study" / "report.html").read_text()
    assert str(moved / "study" / summary["picks"][0]["paths"]["hf"]) in printed
    assert str(output) not in printed


def test_report_writes_the_same_page_again(output: Path, out: Verb) -> None:
    before = json.loads((output / "study" / "summary.json").read_text())
    (output / "study" / "summary.json").unlink()
    (output / "study" / "report.html").unlink()
    printed = out("report", "study.name=study", f"output_dir={output}")
    assert "(study study)" in printed
    after = json.loads((output / "study" / "summary.json").read_text())
    for summary in (before, after):  # a copy says where it lies
        for key in ("output_dir", "storage"):
            del summary["config"][key]
        del summary["command"]
    assert after == before
    assert (output / "study" / "report.html").stat().st_size > 1000


@pytest.mark.parametrize("verb", ["report", "run"])
def test_a_command_works_the_summary_out_once(
    verb: str, output: Path, out: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autodistill.engine.summary import SummaryBuilder

    real, made = SummaryBuilder.build, []
    monkeypatch.setattr(SummaryBuilder, "build", lambda self: made.append(self) or real(self))
    out(verb, "study.name=study", f"output_dir={output}")
    assert len(made) == 1


def test_a_study_whose_plugin_is_gone_is_still_reported(output: Path, out: Verb) -> None:
    with sqlite3.connect(output / "studies.db") as connection:
        (text,) = connection.execute("select components from autodistill_studies where name = 'study'").fetchone()
        components = json.loads(text)
        components["overrides"] += ["search=vizier", "search.algorithm=gp"]
        connection.execute("update autodistill_studies set components = ?", [json.dumps(components)])
    given = ["study.name=study", f"output_dir={output}"]
    assert "(study study)" in out("report", *given)
    assert "num_layers=1" in out("studies", *given)


def test_plan_says_what_run_would_cost_and_does_nothing(tiny: Tiny, out: Verb, tmp_path: Path) -> None:
    printed = out("plan", *replaced(tiny.overrides, f"output_dir={tmp_path / 'planned'}"))
    assert "flash" in printed
    assert "feasible architectures" in printed
    assert not (tmp_path / "planned" / "studies.db").exists()
    assert not (tmp_path / "planned" / "cache" / "teachers").exists()


def test_plan_tells_its_stages_as_run_does_and_prints_the_plan_alone(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["plan", *replaced(tiny.overrides, f"output_dir={tmp_path / 'planned'}")]) == 0
    printed = capsys.readouterr()
    told = [line for line in printed.err.splitlines() if ": started" in line or ": done (" in line]
    assert [line.split(":")[0] for line in told[::2]] == [CHECKING, COUNTING, STEPPING]
    assert [line.split(":")[0] for line in told[1::2]] == [CHECKING, COUNTING, STEPPING]
    assert told[-2].endswith("started, 4 to do")
    assert "done (4 of 4, " in told[-1]  # smallest and largest student, the teacher that learns, and that answers
    assert printed.out.startswith("plan")
    assert not any(name in printed.out for name in (CHECKING, COUNTING, STEPPING))


def test_a_helper_of_a_derived_value_is_searched_and_not_handed_to_the_family(
    tiny: Tiny, out: Verb, tmp_path: Path
) -> None:
    printed = out(
        "plan",
        *replaced(tiny.overrides, f"output_dir={tmp_path / 'planned'}"),
        "+student.space.ffn_ratio=[1,2]",
        "~student.space.intermediate_size",
        '+student.space.intermediate_size={type: derived, value: "hidden_size * ffn_ratio"}',
    )
    assert "search space: 4 parameters, 4 feasible architectures" in printed
    assert "largest: bert(ffn_ratio=2, hidden_size=32, intermediate_size=64, num_heads=4, num_layers=2)" in printed


@pytest.mark.parametrize("how", ["--config-dir", "-cd", "hydra.searchpath"])
def test_presets_and_experiments_of_a_folder_of_ones_own_are_found_and_remembered(
    tiny: Tiny,
    tmp_path: Path,
    out: Verb,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, output = tmp_path / "it's my conf", f"output_dir={tmp_path / 'outputs'}"
    latencies = tiny.output.parent / "latencies.json"
    for name, text in {
        "latency/noted.yaml": f"# @package latency.noted\ndefaults: [replay@_here_, _self_]\npath: {latencies}\n",
        "experiment/ours.yaml": "# @package _global_\ndefaults:\n  - override /latency: [noted]\nbudget: {trials: 1}\n",
    }.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    dropped = ("latency", "budget", "output_dir")
    overrides = [item for item in tiny.overrides if not item.startswith(dropped)]
    given = [search_path_override([str(folder)])] if how == SEARCH_PATH else [how, str(folder)]
    monkeypatch.chdir(tmp_path)
    given = [item.replace(str(tmp_path) + "/", "") for item in given]
    out("explore", *overrides, output, "experiment=ours", *given, "study.name=mine")
    monkeypatch.chdir("/")
    out("explore", output, "study.name=mine", "budget.trials=2")  # without the folder, this would be an error
    moved = folder.rename(tmp_path / "moved")
    assert main(["plan", output, "study.name=mine"]) == 2
    assert f"Say where they are now: {SEARCH_PATH}=[file:///DIR]" in capsys.readouterr().err
    out("plan", output, "study.name=mine", "--config-dir", str(moved))
    out("report", output, "study.name=mine")


def test_two_folders_of_ones_own_are_both_searched(tiny: Tiny, tmp_path: Path, out: Verb) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "search").mkdir(parents=True)
        (tmp_path / name / "search" / f"{name}.yaml").write_text("defaults: [sobol, _self_]\n")
    given = [search_path_override([str(tmp_path / "one")]), "--config-dir", str(tmp_path / "two")]
    for name in ("one", "two"):
        assert "name: sobol" in out("explore", *tiny.overrides, *given, f"search={name}", "--cfg", "job")


def test_run_with_a_folder_of_ones_own_alone_is_the_quickstart(tmp_path: Path, out: Verb) -> None:
    assert "name: python_docs" in out("run", "--config-dir", str(tmp_path), "--cfg", "job")


def test_a_folder_of_ones_own_that_is_not_there_is_an_error(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *tiny.overrides, "--config-dir", "/no/such/folder"]) == 2
    assert "hydra.searchpath names '/no/such/folder', which is no folder" in capsys.readouterr().err


def test_studies_lists_and_shows(tiny: Tiny, out: Verb, tmp_path: Path) -> None:
    listed = out("studies", f"output_dir={tiny.output}")
    assert "study" in listed
    assert "2 complete" in listed
    assert "not ready yet" not in listed  # the teacher has a name
    shown = out("studies", f"output_dir={tiny.output}", "study.name=study")
    assert "baseline teacher_truncated-1" in shown
    assert "num_layers=1" in shown
    assert "No studies yet" in out("studies", f"output_dir={tmp_path / 'nothing'}")
    assert [*(tmp_path / "nothing").glob("*")] == []  # no folder is left of a study that is none


def test_reading_verbs_on_an_unknown_study_list_those_that_exist(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("report", "studies"):
        assert main([verb, "study.name=stduy", f"output_dir={tiny.output}"]) == 2
        assert "study" in capsys.readouterr().err


# -- sweeps ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, wide_terminal: None) -> tuple[Path, int, str]:
    import contextlib
    import io

    directory = tmp_path_factory.mktemp("sweep")
    overrides = replaced(tiny_study(directory, "baseline=[]"), "budget.trials=1", "search=random,sobol")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(["run", "-m", *overrides])
    return directory / "outputs", code, printed.getvalue()


def test_a_sweep_makes_distinct_studies_that_share_the_cache(swept: tuple[Path, int, str]) -> None:
    output, code, _ = swept
    assert code == 0
    names = ["study-search=random", "study-search=sobol"]
    assert all((output / name / "summary.json").is_file() for name in names)
    with sqlite3.connect(output / "studies.db") as connection:
        assert [name for (name,) in connection.execute("select name from autodistill_studies order by name")] == names
    assert len([path for path in (output / "cache" / "teachers").iterdir() if not path.name.startswith(".")]) == 1
    seconds = [json.loads((output / name / "summary.json").read_text())["seconds"]["teacher"] for name in names]
    assert seconds[0] > 0
    assert seconds[1] == 0  # from the cache


def test_a_sweep_closes_with_a_table(swept: tuple[Path, int, str]) -> None:
    table = swept[2][swept[2].rindex("sweep") :]
    assert "study-search=random" in table
    assert "study-search=sobol" in table


def test_a_study_of_a_sweep_is_found_again_by_its_name(swept: tuple[Path, int, str], out: Verb) -> None:
    summary = json.loads((swept[0] / "study-search=sobol" / "summary.json").read_text())
    printed = out("report", "study.name='study-search=sobol'", f"output_dir={swept[0]}")
    assert summary["study"] == "study-search=sobol"
    assert "study-search=sobol" in printed


def test_a_sweep_exits_with_the_worst_code_of_its_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = replaced(tiny_study(tmp_path, "baseline=[]"), "budget.trials=1", "data.max_length=65,32")
    assert main(["explore", "-m", *overrides]) == 2
    captured = capsys.readouterr()
    assert "data.max_length is 65" in captured.err
    assert (tmp_path / "outputs" / "study-data.max_length=32" / "summary.json").is_file()  # the other job went on
