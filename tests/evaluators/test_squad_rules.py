"""The official rules, derived once more from their description in the SQuAD papers, and awkward answers."""

from __future__ import annotations

import collections
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.evaluators.squad_rules import exact_match, normalised, question_scores, token_f1

PUNCTUATION = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")

plain = "the The a an An theatre cat cat's 42 4.2 - ...".split()
# accents, a ligature, a typographic quote and an ideographic full stop
foreign = ["", "\u00c9", "\u00df", "\ufb01", "e\u0301", "\u2019", "\u3002"]
words = st.sampled_from(plain + foreign)
texts = st.one_of(st.lists(words, max_size=8).map(" ".join), st.text(max_size=20))


def independent_tokens(text: str) -> list[str]:
    """Lower-case, drop punctuation, drop articles, split on white space: in that order."""
    kept = "".join(character for character in text.lower() if character not in PUNCTUATION)
    # An article is a whole word between two word borders, also next to signs that are no punctuation here.
    pieces = re.split(r"(\W)", kept)
    kept = "".join(" " if piece in ("a", "an", "the") else piece for piece in pieces)
    return kept.split()


def independent_f1(answer: str, accepted: str, version_2: bool) -> float:
    given, right = independent_tokens(answer), independent_tokens(accepted)
    if version_2 and (not given or not right):
        return 1.0 if given == right else 0.0
    remaining = collections.Counter(right)
    same = 0
    for token in given:
        if remaining[token] > 0:
            remaining[token] -= 1
            same += 1
    if same == 0:
        return 0.0
    precision, recall = 1.0 * same / len(given), 1.0 * same / len(right)
    return (2 * precision * recall) / (precision + recall)


def independent_question(answer: str, accepted: list[str], version_2: bool) -> tuple[float, float]:
    if version_2:
        accepted = [text for text in accepted if independent_tokens(text)]
        if not accepted:
            accepted = [""]
    best_match = best_f1 = 0.0
    for text in accepted:
        best_match = max(best_match, float(independent_tokens(answer) == independent_tokens(text)))
        best_f1 = max(best_f1, independent_f1(answer, text, version_2))
    return best_match, best_f1


@given(texts, st.lists(texts, max_size=4), st.booleans())
def test_scores_are_those_of_the_rules_to_the_last_digit(answer: str, accepted: list[str], version_2: bool) -> None:
    assert question_scores(answer, accepted, version_2=version_2) == independent_question(answer, accepted, version_2)


@given(texts)
def test_normalisation_is_idempotent_on_words_and_an_answer_matches_itself(text: str) -> None:
    assert normalised(text).split() == independent_tokens(text)
    assert exact_match(text, text) == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat's\tpyjamas!", "cats pyjamas"),
        ("theatre, an hour", "theatre hour"),
        ("a.b", "ab"),
        ("U.S.A.", "usa"),
        ("\u2019the\u2019", "\u2019 \u2019"),  # typographic quotes are no ASCII punctuation
        ("the a an", ""),
        ("", ""),
    ],
)
def test_normalisation_of_known_texts(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_empty_answers_follow_the_version() -> None:
    assert token_f1("", "", empty_counts=False) == 0.0
    assert token_f1("the", "an", empty_counts=True) == 1.0
    assert question_scores("", [], version_2=True) == (1.0, 1.0)
    assert question_scores("cat", [], version_2=True) == (0.0, 0.0)
    assert question_scores("", ["cat"], version_2=True) == (0.0, 0.0)
    assert question_scores("", [], version_2=False) == (0.0, 0.0)
    # A right answer that is only an article: version 1.1 gives an exact match and no overlap.
    assert question_scores("the", ["The"], version_2=False) == (1.0, 0.0)


def test_repeated_words_count_once_each() -> None:
    assert token_f1("cat cat cat", "cat dog", empty_counts=False) == pytest.approx(2 * (1 / 3) * (1 / 2) / (5 / 6))
