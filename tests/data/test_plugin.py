"""The plugin registers what is there."""

from __future__ import annotations

import importlib

from autodistill.data.plugin import autodistill_data_sources


def test_every_registered_source_can_be_imported() -> None:
    specs = autodistill_data_sources()
    names = [spec.name for spec in specs]
    assert names == sorted(names)
    assert {"corpus", "glue", "python_docs", "squad", "text_classification"} <= set(names)
    for spec in specs:
        module, attribute = spec.target.split(":")
        assert callable(getattr(importlib.import_module(module), attribute))
        assert "max_length" in spec.parameters
