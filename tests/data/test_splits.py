"""Carving: groups stay together and the answer depends on the texts alone."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.data.splits import (
    SHINGLE_MAX_EXAMPLES,
    carve,
    near_duplicate_groups,
    normalised,
    shingles,
    stable_hash,
)

SENTENCES = st.lists(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=9).map(" ".join), min_size=1, max_size=40
)


def test_case_and_punctuation_do_not_make_a_text_different() -> None:
    assert normalised("Good,  really GOOD!") == normalised("good really good")
    assert len({normalised(text) for text in ("!", "?", " ? ", ":-)")}) == 3
    assert near_duplicate_groups(["Good film.", "bad film", "good FILM"]) == [0, 1, 0]


def test_a_phrase_is_kept_with_its_sentence() -> None:
    sentence = "it is a gorgeous, witty, seductive movie about people"
    assert near_duplicate_groups(
        [sentence, "something else entirely, of no use", "a gorgeous, witty, seductive movie"]
    ) == [
        0,
        1,
        0,
    ]


def test_twins_are_on_one_side() -> None:
    texts = [f"{first}\n{second}" for first in "abcdefgh" for second in "abcdefgh" if first != second]
    twins = ["\n".join(sorted(text.split("\n"))) for text in texts]
    carved = dict(zip(texts, carve(texts, 20, twins).taken, strict=True))
    assert sum(carved.values()) == 20
    assert all(carved[text] == carved["\n".join(reversed(text.split("\n")))] for text in texts)
    assert near_duplicate_groups(["a b", "c d"], ["same", "same"]) == [0, 0]


def test_boilerplate_joins_nothing() -> None:
    texts = [f"the author of this review says that {number}" for number in range(SHINGLE_MAX_EXAMPLES + 1)]
    assert len(set(near_duplicate_groups(texts))) > 1


@settings(max_examples=50)
@given(SENTENCES, st.integers(0, 20))
def test_no_text_is_on_both_sides_nor_a_shingle_of_a_group_that_fits(texts: list[str], target: int) -> None:
    carved, groups = carve(texts, target), near_duplicate_groups(texts)
    sizes = Counter(groups)
    assert carved.largest == max(sizes.values())
    sides: tuple[set[str], set[str]] = set(), set()
    phrases: tuple[set[int], set[int]] = set(), set()
    for text, group, taken in zip(texts, groups, carved.taken, strict=True):
        sides[taken].add(normalised(text))
        if sizes[group] <= target:
            phrases[taken].update(shingles(text))
    assert not sides[0] & sides[1]
    assert not phrases[0] & phrases[1]
    assert sum(carved.taken) <= target


@settings(max_examples=50)
@given(SENTENCES, st.integers(0, 20), st.integers(0, 5))
def test_the_order_of_the_examples_does_not_matter(texts: list[str], target: int, seed: int) -> None:
    shuffled = list(texts)
    random.Random(seed).shuffle(shuffled)
    first = {normalised(text) for text, taken in zip(texts, carve(texts, target).taken, strict=True) if taken}
    second = {normalised(text) for text, taken in zip(shuffled, carve(shuffled, target).taken, strict=True) if taken}
    assert first == second


def test_large_groups_are_taken_no_sooner_than_single_texts() -> None:
    alone = [f"text number {number}" for number in range(400)]
    phrases = [f"one two three four five {number}" for number in range(40)]
    together = [f"{phrase} {ending}" for phrase in phrases for ending in "abcde"]
    chosen = carve(alone + together, 120).taken
    assert 20 <= sum(chosen[len(alone) :]) <= 60  # a third of all texts are in groups: 40 are expected


def chain(length: int) -> list[str]:
    """Texts of which each shares a phrase with the next one."""
    return [" ".join(f"w{start + place}" for place in range(8)) for start in range(0, 3 * length, 3)]


def test_a_group_larger_than_the_split_is_divided_and_the_split_is_typical() -> None:
    typical, odd = chain(900), [f"odd {number}" for number in range(100)]
    texts = [text for text in typical for _ in range(2)] + odd  # each typical text stands twice
    carved = carve(texts, 100)
    assert (carved.largest, carved.divided) == (1800, 1800)
    assert 98 <= sum(carved.taken) <= 100
    assert sum(carved.taken[1800:]) <= 15  # 5 of 95 or so
    assert carved.taken[:1800:2] == carved.taken[1:1800:2]
    whole = carve(chain(20) + odd, 50)
    assert (whole.largest, whole.divided) == (20, 0)
    assert len(set(whole.taken[:20])) == 1


def test_enough_distinct_texts_reach_the_target_exactly() -> None:
    assert sum(carve([f"text number {number}" for number in range(200)], 20).taken) == 20


def test_the_hash_is_the_same_in_another_process_and_forever() -> None:
    code = "from autodistill.data.splits import stable_hash; print(stable_hash('Grüße'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == stable_hash("Grüße")
    assert stable_hash("a") == 0x40F89E395B66422F
