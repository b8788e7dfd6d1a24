"""Conformance suites for plugin authors, one module per kind of component, and tiny fixtures. Needs pytest."""
