"""Evaluators: metrics of predictions, and of architectures before training. One file per evaluator."""
