"""Tokenises each word once: text repeats its words, and BERT's tokenisers know no context beyond them.

Imports neither torch nor transformers.
"""

from __future__ import annotations

import itertools
import json
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Tokens: TypeAlias = "NDArray[np.int32]"

#: Words and tokens that are remembered at most before all are forgotten: some 50 MB.
MOST_WORDS, MOST_TOKENS = 300_000, 2_000_000


def splits_at_spaces(tokenizer: Tokenizer) -> bool:
    """Whether a text's tokens are those of its words, one after another, as BERT's tokenisers have it.

    Byte-level tokenisers and SentencePiece's keep the space before a word in its tokens. Added tokens may be looked for
    in the text as the tokeniser changes it; those that hold white space or punctuation then reach beyond a word.
    """
    parts = json.loads(tokenizer.to_str())
    kinds = [(parts[name] or {}).get("type") for name in ("normalizer", "pre_tokenizer")]
    tied = any(
        character.isspace() or (token["normalized"] and character in string.punctuation)
        for token in parts["added_tokens"]
        for character in token["content"]
    )
    return kinds == ["BertNormalizer", "BertPreTokenizer"] and not tied


class _Numbers(dict[str, int]):
    """Word -> number; a word that is new gets the next one, and is noted in ``new``."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[str] = []

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        self.new.append(word)
        return number


class WordCache:
    """Encodes texts without special tokens, as ``tokenizer.encode_batch`` does, a multiple as fast.

    Args:
        tokenizer: one of which `splits_at_spaces` is true; without truncation and padding.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        parts = json.loads(tokenizer.to_str())
        self._tokenizer = tokenizer
        self._lowers = bool(parts["normalizer"]["lowercase"])
        self._added = [self._lowered(token["content"]) for token in parts["added_tokens"]]
        self._forget()

    def _forget(self) -> None:
        self._numbers = _Numbers()
        self._tokens: Tokens = np.empty(0, dtype=np.int32)
        self._starts: NDArray[np.int64] = np.zeros(1, dtype=np.int64)

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text."""
        if not texts:
            return []
        if len(self._numbers) > MOST_WORDS or len(self._tokens) > MOST_TOKENS:
            self._forget()
        words = [self._words(text) for text in texts]
        counts = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        every = itertools.chain.from_iterable(words)
        numbers = np.fromiter(map(self._numbers.__getitem__, every), dtype=np.int64, count=int(counts.sum()))
        self._learn(self._numbers.new)
        self._numbers.new = []
        starts = self._starts[numbers]
        lengths = self._starts[numbers + 1] - starts
        ends = np.cumsum(lengths)
        # Where each token of the texts stands among those of the words.
        places = np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1])
        borders = np.concatenate([[0], ends])[np.cumsum(counts)[:-1]]
        return np.split(self._tokens[places], borders)

    def _learn(self, words: list[str]) -> None:
        """Take in the tokens of new words."""
        found = [item.ids for item in self._tokenizer.encode_batch_fast(words, add_special_tokens=False)]
        flat = np.fromiter(itertools.chain.from_iterable(found), dtype=np.int32, count=sum(map(len, found)))
        ends = self._starts[-1] + np.cumsum([len(tokens) for tokens in found], dtype=np.int64)
        self._tokens, self._starts = np.concatenate([self._tokens, flat]), np.concatenate([self._starts, ends])

    def _lowered(self, text: str) -> str:
        """ASCII letters as they are for the tokeniser; what others become is left to it."""
        return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass") if self._lowers else text

    def _words(self, text: str) -> list[str]:
        """Words and the signs between them; empty ones among them, which have no tokens.

        Divided is at white space that every tokeniser knows as such (``str.split`` knows more), and at punctuation,
        unless an added token, which may hold some, could be in the text.
        """
        lowered = self._lowered(text)
        if any(token in lowered for token in self._added):
            lowered = text
        else:
            for sign in string.punctuation:
                if sign in lowered:
                    lowered = lowered.replace(sign, f" {sign} ")
        return lowered.replace("\n", " ").replace("\t", " ").replace("\r", " ").split(" ")
