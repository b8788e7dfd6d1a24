"""Latency backends: how long a model takes on the hardware it will be served on.

`onnxruntime`, `torch` and `replay` are one file each. The measuring ones share `session` (the parent's side: one
worker process, one lock per device), `worker` (the process), `timing` (warm-up, blocks, when to stop), `runners` (one
runtime each) and `statistics`.
"""
