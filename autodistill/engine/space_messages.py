"""What is said when a search space is empty, or so thin that no architecture was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from autodistill.engine.expressions import Expression


def infeasible_message(
    rules: Mapping[str, Expression], is_possible: Callable[[Sequence[str]], bool], space_key: str, rules_key: str
) -> str:
    """Name the rules without which the space would not be empty.

    Args:
        rules: all rules by label.
        is_possible: whether some architecture satisfies the rules with these labels.
        space_key: configuration key of the space.
        rules_key: configuration key of the rules.
    """
    head = f"{space_key} is empty: no architecture satisfies {rules_key}."
    advice = f"Loosen it, or switch it off with {rules_key}.LABEL=null."
    alone = [label for label in rules if not is_possible([label])]
    if alone:
        return f"{head} {_named(rules, alone)} excludes every architecture by itself. {advice}"
    guilty = [label for label in rules if is_possible([other for other in rules if other != label])]
    if guilty:
        return f"{head} Without any one of these rules there would be some: {_named(rules, guilty)}. {advice}"
    return f"{head} The rules contradict each other: {_named(rules, list(rules))}. {advice}"


def too_rare_message(rules: Mapping[str, Expression], labels: Sequence[str], draws: int, space_key: str) -> str:
    """Say that none of ``draws`` architectures satisfied the rules ``labels``, which bind too much to be counted."""
    entangled = [label for label in labels if label in rules]
    text = _named(rules, entangled) or "none"
    return (
        f"{space_key}: none of {draws} architectures drawn at random satisfies the rules ({text}). They bind too many "
        "parameters at once to be solved exactly; loosen one, give it fewer parameters, or make the space smaller."
    )


def _named(rules: Mapping[str, Expression], labels: Sequence[str]) -> str:
    return ", ".join(f"{label} ({rules[label].text})" for label in labels)
