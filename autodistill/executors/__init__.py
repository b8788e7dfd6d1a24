"""Executors: run the jobs of a study. One file per executor."""
