"""Texts tokenised word by word have the tokens that the tokeniser itself gives them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from autodistill.training import word_cache
from autodistill.training.word_cache import WordCache, splits_at_spaces

PIECES = [*"abcdefgéß中.,!-'", *(f"##{letter}" for letter in "abcdefgéß"), "abc", "##ing", "de", "a'b"]
VOCABULARY = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[MASK]", *PIECES])}


def bert(**normalizer: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]", max_input_chars_per_word=20))
    tokenizer.normalizer = normalizers.BertNormalizer(**normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", AddedToken("[MASK]", lstrip=True)])
    tokenizer.add_tokens([AddedToken("<ent>", normalized=False), AddedToken("fab", single_word=True), "İg"])
    return tokenizer


UNCASED, CASED, RAW = bert(), bert(lowercase=False), bert(clean_text=False, handle_chinese_chars=False)

#: Letters of the vocabulary, all sorts of white space and controls, and anything else.
TEXTS = st.lists(
    st.text(
        st.sampled_from(
            "abcdefgABC éßİΣK中.,!-' \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u200b\u2003\u2028\u3000\u0301\ufeff\x00"
        )
        | st.characters(exclude_categories=["Cs"]),
        max_size=30,
    )
    | st.sampled_from(
        ["[MASK]", "a [MASK] b", "a[MASK]b", "[Mask]", "=\u0338a", "<ENT>", "x<ent>y", "abc" * 40, "", " "]
    ),
    max_size=6,
)


@pytest.mark.parametrize("tokenizer", [UNCASED, CASED, RAW], ids=["uncased", "cased", "raw"])
@given(texts=TEXTS, again=TEXTS)
@example(texts=["a\x1cb", "a\x85b", "\u0301a", "abc\u200bing"], again=[])
def test_tokens_are_those_of_the_tokenizer(tokenizer: Tokenizer, texts: list[str], again: list[str]) -> None:
    cache = WordCache(tokenizer)
    for batch in (texts, again, texts):
        wanted = [item.ids for item in tokenizer.encode_batch(batch, add_special_tokens=False)]
        assert [tokens.tolist() for tokens in cache.encode(batch)] == wanted


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_cache, "MOST_WORDS", 3)
    cache, text = WordCache(UNCASED), "abc de fed bad cab"
    wanted = UNCASED.encode(text, add_special_tokens=False).ids
    for _ in range(3):
        assert cache.encode([text])[0].tolist() == wanted
        assert len(cache._numbers) == 5
    assert cache.encode(["abc"])[0].tolist() == wanted[:1]
    assert len(cache._numbers) == 1


def test_tokenisers_that_know_spaces_are_left_alone() -> None:
    assert splits_at_spaces(UNCASED)
    spaced = bert()
    spaced.add_tokens(["ab cd"])
    assert not splits_at_spaces(spaced)
    plus = bert()
    plus.add_tokens(["c++"])  # is looked for after normalising: in "ć++" too
    assert not splits_at_spaces(plus)
    bytes_of = Tokenizer(models.BPE())
    bytes_of.pre_tokenizer = pre_tokenizers.ByteLevel()
    assert not splits_at_spaces(bytes_of)
