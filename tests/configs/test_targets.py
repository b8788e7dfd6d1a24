from __future__ import annotations

from pathlib import Path

import pytest

from autodistill.configs import instantiate
from autodistill.errors import ConfigError


@pytest.mark.parametrize("name", ["CSVLogger", "TensorBoardLogger"])
def test_a_logger_is_built(tmp_path: Path, name: str) -> None:
    node = {"_target_": f"pytorch_lightning.loggers.{name}", "name": "here"}
    logger = instantiate(node, "logger.csv", save_dir=str(tmp_path))
    assert logger.save_dir == str(tmp_path)


@pytest.mark.parametrize(
    "target", ["os.system", "builtins.eval", "pytorch_lightning.loggersx.CSVLogger", "subprocess.run"]
)
def test_a_target_outside_the_allow_list_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match=r"may name classes of pytorch_lightning.callbacks"):
        instantiate({"_target_": target}, "logger.bad")


def test_a_node_without_target_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs the key _target_"):
        instantiate({"name": "x"}, "logger.bad")


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"logger.bad needs the key _target_, .* got 3"):
        instantiate(3, "logger.bad")  # type: ignore[arg-type]


def test_an_argument_that_the_class_rejects_is_named() -> None:
    with pytest.raises(ConfigError, match=r"trainer.callbacks.stop: .*EarlyStopping cannot be built"):
        instantiate({"_target_": "pytorch_lightning.callbacks.EarlyStopping", "bad": 1}, "trainer.callbacks.stop")


def test_a_function_that_an_allowed_module_imported_is_refused() -> None:
    node = {"_target_": "pytorch_lightning.callbacks.model_checkpoint.deepcopy", "x": 1}
    with pytest.raises(ConfigError, match="must name a class of Lightning"):
        instantiate(node, "trainer.callbacks.bad")


def test_a_nested_target_is_refused() -> None:
    node = {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": {"_target_": "os.system"}}
    with pytest.raises(ConfigError, match=r"trainer.callbacks.bad.monitor has a _target_ of its own"):
        instantiate(node, "trainer.callbacks.bad")
