"""Keys of documents: equal texts and most near-duplicates have the same, whatever else is keyed with them."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.components.task import Continued
from autodistill.data.document_keys import MOST_SIGNS, batches, document_keys, with_keys
from autodistill.data.splits import normalised

#: Letters, signs and spaces of one to four bytes, some of which change with the case or are no letters to `\\w`.
SIGNS = "abzAZ09_ .,-\n\t\x1c\x85\xa0\u2003\u2019\u2013éÉßİΣς中文।\u0301٣Ⅷ²😀\U0001d538\ufeff"


def number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


@settings(max_examples=300)
@given(texts=st.lists(st.one_of(st.text(SIGNS, max_size=60), st.text(max_size=20)), max_size=6))
def test_equal_texts_are_those_that_are_normalised_alike(texts: list[str]) -> None:
    assert [keys.same for keys in document_keys(texts)] == [number(normalised(text)) for text in texts]


@given(texts=st.lists(st.text("abc ,", max_size=80), min_size=1, max_size=8))
def test_a_text_has_the_same_keys_whatever_stands_beside_it(texts: list[str]) -> None:
    assert document_keys(texts) == [keys for text in texts for keys in document_keys([text])]


def test_many_different_signs_make_no_difference() -> None:
    signs = "".join(map(chr, range(0x2190, 0x2190 + 2 * MOST_SIGNS)))
    [keys] = document_keys([f"Fünf {signs} Wörter_1 sind,{signs}hier"])
    assert keys == document_keys(["fünf wörter_1 sind hier"])[0]


def test_keys_never_change() -> None:
    text = "The quick brown fox jumps over the lazy dog; the dog, it seems, does not mind."
    short, empty = "Too short.", "?!"
    assert document_keys([text, short, empty]) == [
        (8604922112330067490, 3120936898062950172),
        (14256805093552608025, 14256805093552608025),
        (11528102465844907301, 11528102465844907301),
    ]


def documents(count: int, words: int) -> list[list[str]]:
    rng = np.random.default_rng(0)
    return [[f"w{word}" for word in rng.integers(0, 10_000, words)] for _ in range(count)]


def test_near_duplicates_mostly_have_the_same_key() -> None:
    texts = documents(400, 200)
    plain = [" ".join(words) for words in texts]
    with_a_line = [f"{text}\nRead more texts like this one on our pages." for text in plain]
    with_signs = [", ".join(words).upper() + "!" for words in texts]
    first, second, third = ([keys.near for keys in document_keys(group)] for group in (plain, with_a_line, with_signs))
    assert len(set(first)) == len(first)
    assert first == third
    assert np.mean(np.array(first) == second) > 0.9  # some 95 % of the phrases are the same
    assert all(one.same != two.same for one, two in zip(*map(document_keys, (plain, with_a_line)), strict=True))


def test_keys_do_not_depend_on_the_length() -> None:
    texts = [[" ".join(words) for words in documents(400, size)] for size in (8, 400)]
    means = np.mean([[keys.near / 2**64 for keys in document_keys(group)] for group in texts], axis=1)
    assert np.abs(means - 0.5).max() < 0.06  # four standard errors


def test_pieces_have_the_keys_of_the_first() -> None:
    texts = ["one", Continued("two"), Continued("three"), "two", "three"]
    found = [keys for _, keys in with_keys(texts)]
    assert found[0] == found[1] == found[2]
    assert found[3:] == document_keys(["two", "three"])
    assert [text for text, _ in with_keys(texts)] == texts


def test_batches_are_of_about_so_many_characters() -> None:
    assert list(batches(iter(["aa", "b", "c", "dddd", "e"]), 3)) == [["aa", "b"], ["c", "dddd"], ["e"]]
    assert not list(batches([], 3))
