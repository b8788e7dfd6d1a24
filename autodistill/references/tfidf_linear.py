"""The reference ``tfidf_linear``: logistic regression on TF-IDF features, what one gets without any language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion

from autodistill.components.students import ReferenceContext, ReferenceResult

#: Probability of a class that the train split lacks; its logarithm must stay finite.
FLOOR = 1e-12

#: Enough for convergence on a hundred thousand short texts; scikit-learn's own 100 is not.
MAX_ITERATIONS = 1000


class TfidfLinear:
    """A linear classifier on weighted word counts, each text column with its own features.

    Args:
        context: task and splits.
        word_ngrams: longest run of words.
        character_ngrams: longest run of characters; 0 for none.
        min_documents: examples in which a feature must occur.
        regularisation: inverse strengths to choose from by accuracy on the select split.
    """

    def __init__(
        self,
        context: ReferenceContext,
        *,
        word_ngrams: int,
        character_ngrams: int,
        min_documents: int,
        regularisation: Sequence[float],
    ) -> None:
        self.context = context
        self.word_ngrams = word_ngrams
        self.character_ngrams = character_ngrams
        self.min_documents = min_documents
        self.regularisation = tuple(regularisation)

    def available(self) -> str | None:
        """None for one of at least two classes per example in the train split, else the reason."""
        task = self.context.task
        if task.kind != "classification":
            return f"tfidf_linear classifies; the task is {task.kind}"
        if task.label_free:
            return "tfidf_linear learns from labels, and the data has none"
        if task.multi_label:
            return "tfidf_linear answers one class per example, and these have several labels"
        if len(set(self._labels("train").tolist())) == 1:
            return "tfidf_linear needs two classes in the train split, and there is one"
        return None

    def measure(self) -> ReferenceResult:
        """Train on the train split, choose the penalty on the select split, predict select and test."""
        vectorisers = [self._vectoriser() for _ in self.context.task.text_columns]
        train = self._features("train", vectorisers, fit=True)
        select = self._features("select", vectorisers)
        model = self._best(train, select)
        logits = {"select": self._logits(model, select)}
        if "test" in self.context.splits:
            logits["test"] = self._logits(model, self._features("test", vectorisers))
        return ReferenceResult(
            name=self.context.label,
            logits=logits,
            parameters=int(model.coef_.size + model.intercept_.size),
            notes={"features": int(train.shape[1]), "regularisation": float(model.C)},
        )

    def _vectoriser(self) -> Any:
        common = {"sublinear_tf": True, "min_df": self.min_documents, "dtype": np.float32}
        # Single letters and punctuation stay words ("I", "not good !"), unlike scikit-learn's default.
        words = TfidfVectorizer(ngram_range=(1, self.word_ngrams), token_pattern=r"\w+|[^\w\s]", **common)
        parts = [("words", words)]
        if self.character_ngrams:
            ngrams = (2, self.character_ngrams)
            parts.append(("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=ngrams, **common)))
        return FeatureUnion(parts)

    def _features(self, role: str, vectorisers: Sequence[Any], *, fit: bool = False) -> Any:
        from scipy.sparse import hstack

        split = self.context.splits[role]
        columns = [list(split[name]) for name in self.context.task.text_columns]
        blocks = [
            vectoriser.fit_transform(texts) if fit else vectoriser.transform(texts)
            for vectoriser, texts in zip(vectorisers, columns, strict=True)
        ]
        return hstack(blocks, format="csr")

    def _labels(self, role: str) -> NDArray[np.int64]:
        return np.asarray(list(self.context.splits[role]["label"]), dtype=np.int64)

    def _best(self, train: Any, select: Any) -> Any:
        labels, expected = self._labels("train"), self._labels("select")
        models = [LogisticRegression(C=c, max_iter=MAX_ITERATIONS).fit(train, labels) for c in self.regularisation]
        scores = [float(np.mean(model.predict(select) == expected)) for model in models]
        return models[int(np.argmax(scores))]

    def _logits(self, model: Any, features: Any) -> NDArray[np.float32]:
        """Logarithms of the probabilities, columns in the order of class ids: ``examples x classes``."""
        probabilities = np.full((features.shape[0], self.context.task.num_labels), FLOOR)
        probabilities[:, model.classes_] = np.maximum(model.predict_proba(features), FLOOR)
        return np.log(probabilities).astype(np.float32)
