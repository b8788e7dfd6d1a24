from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from autodistill.components.specs import KINDS
from autodistill.configs import Settings, compose
from autodistill.configs.settings import named_as
from autodistill.configs.store import default_node
from autodistill.errors import ConfigError, UnknownComponentError
from autodistill.registry import Registry, default_registry

CONF = Path(__file__).parents[2] / "conf"
PRESETS = sorted((path.parent.name, path.stem) for kind in KINDS for path in (CONF / kind).glob("*.yaml"))
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


def composed(*overrides: str) -> Settings:
    return compose(["data=python_docs", *overrides])


def test_the_neutral_config_composes_once_data_is_chosen() -> None:
    settings = composed()
    assert settings.one("search").name == "botorch"
    assert settings.study_name == "study"
    assert settings.one("data").name == "python_docs"


def test_no_data_source_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"No data source is chosen.*experiment=quickstart"):
        compose([]).one("data")


@pytest.mark.parametrize(("group", "name"), PRESETS)
def test_every_preset_composes(group: str, name: str) -> None:
    value = f"[{name}]" if KINDS[group].several else name
    composed(f"{group}={value}")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_names_the_study(experiment: str) -> None:
    assert compose([f"experiment={experiment}"]).study_name == experiment


def test_there_are_experiments() -> None:
    assert "quickstart" in EXPERIMENTS


def test_every_component_is_a_node_with_its_defaults(fresh_registry: Registry) -> None:
    components = fresh_registry.all()
    assert components
    for registered in components:
        node = default_node(registered.spec)
        assert node["name"] == registered.spec.name
        assert set(node) == {"name", *registered.spec.parameters}


def test_every_folder_of_presets_is_in_the_distribution() -> None:
    root = CONF.parent
    packages = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {file.parent.relative_to(root) for file in CONF.rglob("*.yaml")}
    assert {"autodistill." + ".".join(folder.parts) for folder in folders} <= set(packages)
    assert len(folders) > 10


def test_no_preset_has_the_name_of_a_component(fresh_registry: Registry) -> None:
    assert not {(item.kind.name, item.spec.name) for item in fresh_registry.all()} & set(PRESETS)


def test_an_unknown_component_lists_alternatives() -> None:
    with pytest.raises(UnknownComponentError, match="Did you mean 'botorch'"):
        composed("search=botroch")


def test_an_unknown_experiment_lists_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"Unknown experiment 'quikstart'. Did you mean 'quickstart'"):
        compose(["experiment=quikstart"])
    with pytest.raises(ConfigError, match=r"Unknown storage 'postgres'.* Available: postgresql, sqlite\.$"):
        composed("storage=postgres")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("latency=[onnxrutime]", r"Unknown latency backend 'onnxrutime'. Did you mean 'onnxruntime'"),
        ("loss=[logit_kl]", r"Unknown distillation loss 'logit_kl'. Did you mean 'logits_kl'"),
        ("teacher=fine_tune", r"Unknown teacher 'fine_tune'. Did you mean 'fine_tuned'(.|\n)*Presets: .*fine_tuned"),
        ("fine_tuning=[glu]", r"Unknown fine_tuning 'glu'. Did you mean 'glue'\? Available: glue, squad\.$"),
    ],
)
def test_an_unknown_entry_of_a_list_or_preset_lists_those_that_exist(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composed(override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule.lr=abc", r"schedule.lr must be a number, got 'abc'"),
        ("schedule.lr=-1", r"schedule.lr must be > 0"),
        ("schedule.learning_rate=1", r"Unknown configuration key 'schedule.learning_rate'"),
        (
            "latency.torch.threads=1",
            r"There is no entry latency.torch in this configuration. Add it: \+latency.torch.name",
        ),
        ("search.optimizer=DE", r"'search.optimizer': it is a parameter of nevergrad, and another search strategy is"),
        ("+schedule.larning_rate=1", r"Unknown key schedule.larning_rate"),
        ("+latency.b8.threads=2", r"latency.b8 names no component"),
        ("+nonsense=3", r"Unknown configuration key 'nonsense'"),
        ("budgets=3", r"Unknown configuration key 'budgets'. Did you mean 'budget'"),
        ("picks.maxi=3", r"Unknown configuration key 'picks.maxi'. Did you mean 'picks.max'"),
        (
            "picks.how_often_of_all=3",
            r"Unknown configuration key 'picks.how_often_of_all'. Possible here: picks.margin, picks.max, picks.seeds",
        ),
        ("budget.trials=0", r"budget.trials must be >= 1, got 0"),
        ("budget.trials=many", r"budget.trials must be a whole number"),
        ("picks.margin=-0.1", r"picks.margin must be >= 0"),
        ("picks.seeds=0", r"picks.seeds must be >= 1, got 0"),
        ("study.name=a/b", r"study.name must be a plain folder name"),
        ("objectives.quality.direction=up", r"objectives.quality.direction must be maximize, minimize or null"),
        ("+objectives.size.metric=parameters", r"objectives.size.metric must be '<label>.<metric>'"),
        ("+constraints.small={metric: size.parameters, sense: '<', bound: 3}", r"constraints.small.sense must be"),
        ("storage=postgresql", r"storage.url must be given"),
        ("architecture=foo", r"architecture must be a mapping \{family: NAME, choices: .*, got 'foo'"),
        ("model=5", r"model must be the path of a saved model directory, or null, got 5"),
        ("trainer.threads=four", r"trainer.threads must be a whole number >= 1, got 'four'"),
        ("trainer.threads=-2", r"trainer.threads must be >= 1, got -2"),
        ("study=mine", r"study must be a mapping, whose keys are set one by one, e.g. study.name=VALUE, got 'mine'"),
        ("budget=5", r"budget must be a mapping, whose keys are set one by one, e.g. budget.trials=VALUE, got 5"),
        ("picks=3", r"picks must be a mapping"),
        ("timing=3", r"timing must be a mapping"),
        (
            "baseline=null",
            r"baseline must be given by name, baseline=\[NAME,...\], and baseline=\[\] chooses none; got b",
        ),
        ("reference=null", r"reference=\[\] chooses none"),
        ("pruner=null", r"pruner must be given by name, pruner=NAME; got pruner=null"),
        ("search=null", r"search=NAME"),
        ("storage=null", r"storage=NAME"),
        ("logger=null", r"logger=NAME"),
        ("trainer=5", r"trainer=NAME; got trainer=5"),
        ("experiment=null", r"experiment=NAME"),
        ("cache_max_gb=inf", r"cache_max_gb must be a finite number of GB, got inf"),
        ("trainer.callbacks=3", r"trainer.callbacks must be a mapping from label to a callback, got 3"),
        ("+budget.trails=5", r"Unknown key budget.trails. Did you mean 'trials'\? There are: trials, hours"),
        ("+picks.maximum=5", r"Unknown key picks.maximum. .*There are: max, margin, seeds"),
        ("+storage.path=x", r"Unknown key storage.path. There are: url"),
        ("+study.label=x", r"Unknown key study.label"),
        ("+augmentation.rate=1", r"Unknown key augmentation.rate. .*There are: kind, copies, share"),
    ],
)
def test_a_mistake_is_one_paragraph_that_names_the_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composed(override)


def test_a_misspelt_key_of_a_users_experiment_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nbudget:\n  trial: 3\n")
    with pytest.raises(ConfigError, match=r"Unknown key budget.trial. Did you mean 'trials'"):
        compose([f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine", "data=python_docs"])


def test_a_key_that_a_plain_entry_lacks_is_added_with_a_plus() -> None:
    entry = "+latency.b8={name: onnxruntime}"
    with pytest.raises(ConfigError, match=r"entry latency.b8 is there, but does not name it.*: \+latency.b8.threads="):
        composed(entry, "latency.b8.threads=2")
    assert composed(entry, "+latency.b8.threads=2").several["latency"]["b8"].parameters["threads"] == 2


@pytest.mark.parametrize(
    ("chosen", "override"),
    [
        ("loss=[quickstart]", "loss.logits_kl.divergence=reverse"),
        ("latency=[batch8_int8]", "latency.batch8_int8.threads=1"),
        ("latency=[throughput]", "latency.throughput.precision=int8"),
        ("latency=[tpu_v4i]", "latency.tpu_v4i.batch_size=2"),
        ("baseline=[truncation_curve]", "baseline.teacher_truncated.layers=[3]"),
    ],
)
def test_every_parameter_of_a_preset_can_be_overridden(chosen: str, override: str) -> None:
    kind, label, parameter = override.partition("=")[0].split(".")
    given = composed(chosen, override).several[kind][label].parameters[parameter]
    assert given != composed(chosen).several[kind][label].parameters[parameter]


def test_a_backend_can_be_used_twice_under_two_labels() -> None:
    settings = composed("+latency.batch8.name=onnxruntime", "+latency.batch8.batch_size=8")
    assert settings.several["latency"]["batch8"].parameters["batch_size"] == 8
    assert settings.several["latency"]["onnxruntime"].parameters["batch_size"] == 1


def test_parts_of_a_search_space_are_overridable_singly() -> None:
    settings = composed("student.space.num_layers=[2,3]", "+student.rules.small='num_layers * hidden_size < 1000'")
    assert settings.one("student").parameters["space"]["num_layers"] == [2, 3]
    assert settings.one("student").parameters["rules"]["small"] == "num_layers * hidden_size < 1000"


def test_a_dimension_that_is_deleted_stays_deleted() -> None:
    settings = composed("~student.space.num_heads")
    assert "num_heads" not in settings.one("student").parameters["space"]


def test_a_label_without_value_is_switched_off() -> None:
    settings = composed("latency.onnxruntime=null", "objectives.latency=null")
    assert dict(settings.several["latency"]) == {}
    assert [item.label for item in settings.objectives] == ["quality"]


def test_errors_of_a_component_name_its_place_but_not_in_paths() -> None:
    replay = default_registry().get("latency", "replay")
    expected = r"^latency\.phone\.path=data/latency\.replay\.csv is not JSON\.$"
    with pytest.raises(ConfigError, match=expected), named_as(replay, "latency.phone"):
        raise ConfigError("latency.replay.path=data/latency.replay.csv is not JSON.")
