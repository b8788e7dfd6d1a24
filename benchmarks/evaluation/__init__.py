"""Benchmark of the evaluation: metrics, intervals, throughput, and the fine-tuning protocol on GLUE."""
