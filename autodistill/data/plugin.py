"""Registers the built-in data sources."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.data.configs import PythonDocsConfig, TextClassificationConfig
from autodistill.hookspecs import hookimpl


@hookimpl
def autodistill_data_sources() -> list[ComponentSpec]:
    """Return the data sources that come with autodistill."""
    return [
        ComponentSpec(
            name="python_docs",
            target="autodistill.data.python_docs:PythonDocs",
            config=PythonDocsConfig,
            summary="Which library is it? Sentences from the docstrings of installed libraries; needs no download.",
        ),
        ComponentSpec(
            name="text_classification",
            target="autodistill.data.text_classification:TextClassification",
            config=TextClassificationConfig,
            summary="Your own texts, labelled or not: TSV, CSV, JSON lines or Parquet files.",
        ),
    ]
