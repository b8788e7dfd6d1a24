"""Every part of a search space is changed alone from the command line, with the quoting that the documents show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import autodistill
from autodistill.engine.space import Space, build_space
from autodistill.errors import ConfigError
from autodistill.students.bert import BertFamily
from autodistill.students.configs import BertFamilyConfig

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
WIDTH = "student.space.intermediate_size"
RANGED = [f"~{WIDTH}", f"+{WIDTH}={{type: integer, low: 128, high: 1024, step: 128}}"]
SWITCHED = [f"~{WIDTH}", f'+{WIDTH}={{values: [256, 512], when: "num_layers > 2", default: 512}}']
COUPLED = [
    f"~{WIDTH}",
    "+student.space.ffn_ratio=[2,4]",
    f'+{WIDTH}={{type: derived, value: "hidden_size * ffn_ratio"}}',
]


def space_of(*overrides: str) -> Space:
    parameters = autodistill.compose(["data=python_docs", *overrides]).one("student").parameters
    return build_space("bert", parameters["space"], parameters["rules"])


def widths(space: Space) -> set[object]:
    return {item.choices["intermediate_size"] for item in space.enumerate()}


def documented() -> list[list[str]]:
    """The overrides of every `plan` command in the document that changes the space."""
    blocks = re.findall(r"```bash\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [words[2:] for words in commands if words[1:2] == ["plan"] and "student." in " ".join(words)]


def test_the_document_shows_overrides_of_every_type() -> None:
    text = " ".join(" ".join(words) for words in documented())
    assert all(word in text for word in ("integer", "derived", "when", "student.rules", "=null"))


@pytest.mark.parametrize("overrides", documented(), ids=lambda words: words[-1][:40])
def test_documented_overrides_make_a_space_that_the_family_can_build(overrides: list[str]) -> None:
    space = space_of(*overrides)
    family = BertFamily(**vars(BertFamilyConfig()))
    helpers = space.helpers - set(BertFamilyConfig().space)
    for item in space.sample(20, seed=0):
        family.validate(
            type(item)("bert", {name: value for name, value in item.choices.items() if name not in helpers})
        )


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([f"{WIDTH}=[300,200]"], {200, 300}),
        ([*RANGED, f"{WIDTH}.step=448"], {128, 576, 1024}),
        ([*RANGED, f"{WIDTH}.low=1000", f"{WIDTH}.high=1001", f"{WIDTH}.step=1"], {1000, 1001}),
        ([*RANGED, f"{WIDTH}.type=log_integer", f"~{WIDTH}.step", f"+{WIDTH}.count=4"], {128, 256, 512, 1024}),
        ([*SWITCHED, f"{WIDTH}.values=[128,512]"], {128, 512}),
        ([*SWITCHED, f'{WIDTH}.when="num_layers > 9"'], {512}),
        ([*SWITCHED, f'{WIDTH}.when="num_layers > 9"', f"{WIDTH}.default=256"], {256}),
        ([*COUPLED, f'{WIDTH}.value="8 * num_heads"', "~student.space.ffn_ratio"], {16, 32, 48, 96}),
        ([*COUPLED, "student.space.ffn_ratio=[1]"], {128, 192, 256, 384}),
        ([*COUPLED, '+student.rules.slim="intermediate_size <= 300"'], {256}),
    ],
)
def test_each_part_is_changed_alone(overrides: list[str], expected: set[object]) -> None:
    assert widths(space_of(*overrides)) == expected


def test_a_rule_is_changed_and_switched_off_alone() -> None:
    free = space_of("student.rules.heads_divide_width=null")
    assert free.size == 5 * 4 * 4 * 5
    assert space_of("student.rules.heads_divide_width='hidden_size == 32 * num_heads'").size == 3 * 25


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("student.space={ffn_ratio: [1]}", r"student\.space is a mapping, .* Add one: \+student\.space\.NAME=VALUE"),
        (f"{WIDTH}={{type: integer, low: 1, high: 3}}", rf"in two steps: ~{WIDTH} \+{WIDTH}=\{{"),
    ],
)
def test_what_hydra_cannot_merge_is_told_with_the_way_out(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space_of(override)
