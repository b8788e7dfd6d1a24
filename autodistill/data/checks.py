"""Range checks that the configs of data sources share; light."""

from __future__ import annotations

from autodistill.errors import ConfigError


def check(condition: bool, name: str, rule: str, given: object) -> None:
    """Raise `ConfigError` with the rule and what was given unless the condition holds."""
    if not condition:
        raise ConfigError(f"{name} must be {rule}, got {given!r}.")


def check_carving(select_share: float, select_max: int, train_limit: int | None, max_length: int) -> None:
    """Raise `ConfigError` unless these parameters, which most sources have, are in their ranges."""
    check(0 < select_share < 1, "data.select_share", "between 0 and 1", select_share)
    check(select_max >= 1, "data.select_max", ">= 1", select_max)
    check(train_limit is None or train_limit >= 1, "data.train_limit", ">= 1 or null", train_limit)
    check(max_length >= 8, "data.max_length", ">= 8", max_length)


def check_labels(labels: list[str] | None) -> None:
    """Raise `ConfigError` unless ``labels`` are two or more different names, or none are given."""
    rule = "two or more different names, or null"
    check(labels is None or len(set(labels)) == len(labels) >= 2, "data.labels", rule, labels)


def check_columns(text_columns: list[str], **others: str | None) -> None:
    """Raise `ConfigError` unless there are one or two text columns, and the other columns are none of them."""
    rule = "one or two different names"
    check(1 <= len(set(text_columns)) == len(text_columns) <= 2, "data.text_columns", rule, text_columns)
    for name, column in others.items():
        check(column not in text_columns, f"data.{name}", "none of data.text_columns", column)
    for column in text_columns:
        check_text_column(column, "data.text_columns")


def check_text_column(column: str, name: str) -> None:
    """Raise `ConfigError` when a column of texts has a name under which examples keep something else."""
    rule = "other than 'id' and 'label', which ids and labels are called in the study; rename the file's column"
    check(column not in ("id", "label"), name, rule, column)
