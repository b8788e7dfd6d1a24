"""Benchmarks of reading and tokenising data; see README.md beside this file."""
