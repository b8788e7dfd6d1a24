"""The rules of SQuAD: normalised texts, exact match and F1 of an answer, for versions 1.1 and 2.0.

Decoding, from the logits of windows to one answer per question, is in `autodistill.evaluators.spans`.

.. [Rajpurkar2016] SQuAD: 100,000+ questions for machine comprehension of text, arXiv 1606.05250.
.. [Rajpurkar2018] Know what you don't know: unanswerable questions for SQuAD, arXiv 1806.03822.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, white space as single blanks."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, accepted: str) -> float:
    """1 when both are the same after normalisation, else 0."""
    return float(normalised(answer) == normalised(accepted))


def token_f1(answer: str, accepted: str, *, empty_counts: bool) -> float:
    """F1 of the bags of words of two normalised texts.

    Args:
        answer: given.
        accepted: one of the right ones.
        empty_counts: whether two texts without words agree, as in version 2.0; in version 1.1 they score 0.
    """
    given, right = normalised(answer).split(), normalised(accepted).split()
    if empty_counts and not (given and right):
        return float(given == right)
    same = sum((Counter(given) & Counter(right)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(given), same / len(right)
    return 2 * precision * recall / (precision + recall)


def question_scores(answer: str, accepted: Sequence[str], *, version_2: bool) -> tuple[float, float]:
    """Exact match and F1 of a question: the best over the accepted answers.

    Args:
        answer: given; empty for "there is no answer".
        accepted: the right ones; none for an unanswerable question.
        version_2: rules of version 2.0: accepted answers that normalise to nothing are passed over, and where none is
            left the right answer is the empty one. In version 1.1 a question without answers scores 0.
    """
    if version_2:
        accepted = [text for text in accepted if normalised(text)] or [""]
    if not accepted:
        return 0.0, 0.0
    return (
        max(exact_match(answer, text) for text in accepted),
        max(token_f1(answer, text, empty_counts=version_2) for text in accepted),
    )
