"""Registers the built-in data sources."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.data.benchmark_configs import GlueConfig, SquadConfig
from autodistill.data.configs import (
    PythonDocsConfig,
    SentencesConfig,
    TextClassificationConfig,
    TextRegressionConfig,
    TokenClassificationConfig,
)
from autodistill.data.corpus_configs import CorpusConfig
from autodistill.hookspecs import hookimpl


@hookimpl
def autodistill_data_sources() -> list[ComponentSpec]:
    """Return the data sources that come with autodistill."""
    return [
        ComponentSpec(
            name="corpus",
            target="autodistill.data.corpus:Corpus",
            config=CorpusConfig,
            summary="Any amount of text, for masked language models: files, folders or the hub.",
        ),
        ComponentSpec(
            name="glue",
            target="autodistill.data.glue:Glue",
            config=GlueConfig,
            summary="One of the nine tasks of GLUE, from the official files or the hub.",
        ),
        ComponentSpec(
            name="python_docs",
            target="autodistill.data.python_docs:PythonDocs",
            config=PythonDocsConfig,
            summary="Which library is it? Sentences from the docstrings of installed libraries; needs no download.",
        ),
        ComponentSpec(
            name="sentences",
            target="autodistill.data.sentences:Sentences",
            config=SentencesConfig,
            summary="Your own texts without labels, for sentence embeddings.",
        ),
        ComponentSpec(
            name="squad",
            target="autodistill.data.squad:Squad",
            config=SquadConfig,
            summary="SQuAD 1.1 and 2.0, from the official files or the hub.",
        ),
        ComponentSpec(
            name="text_classification",
            target="autodistill.data.text_classification:TextClassification",
            config=TextClassificationConfig,
            summary="Your own texts or pairs, with one, several or no labels: TSV, CSV, JSON lines, Parquet.",
        ),
        ComponentSpec(
            name="text_regression",
            target="autodistill.data.text_regression:TextRegression",
            config=TextRegressionConfig,
            summary="Your own texts or pairs with a number each.",
        ),
        ComponentSpec(
            name="token_classification",
            target="autodistill.data.token_classification:TokenClassification",
            config=TokenClassificationConfig,
            summary="Your own words with a label each: CoNLL files, JSON lines or Parquet.",
        ),
    ]
