"""Exporters: write a trained model in a deployable format, load it again and compare.

`huggingface` and `onnx` are one file each; `onnx_export` has the bare conversion that latency backends and references
use too, `parity` compares logits, `files` writes atomically.
"""
