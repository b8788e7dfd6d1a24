"""Specs and protocols: the vocabulary that plugins, engine and components share.

Light: the standard library only. Protocols say what a component of each kind must do and how it is built; the
dataclasses beside them are what travels between components.
"""
