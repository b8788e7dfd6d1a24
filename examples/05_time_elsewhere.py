"""A script for ``latency=[command]``: times an exported model where AutoDistill itself cannot run.

    autodistill latency experiment=quickstart 'latency=[command]' \
        'latency.command.command=[python3,examples/05_time_elsewhere.py]' latency.command.device=my_target

AutoDistill starts it once per model with two paths: the ONNX file, and a JSON file with the workload. It prints one
JSON object as its last line. Put what reaches your target in the place of `connect`: `adb shell`, an HTTP request to a
model server, a simulator. Here the model runs under onnxruntime on this machine, so that the example can be tried.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: Passes over all lengths: enough for an interval of the median, few enough to be quick.
PASSES = 30


def connect(model: Path, threads: int) -> Callable[[dict[str, Any]], object]:
    """Load the model on the target and return what answers one request."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return lambda request: session.run(None, {name: request[name] for name in names})


def request_of(batch_size: int, length: int, vocabulary: int) -> dict[str, Any]:
    """Random tokens, no padding."""
    shape = (batch_size, length)
    return {
        "input_ids": np.random.default_rng(0).integers(2, max(vocabulary, 3), shape),
        "attention_mask": np.ones(shape, dtype=np.int64),
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }


def milliseconds(run: Callable[[dict[str, Any]], object], request: dict[str, Any]) -> float:
    """Wall-clock time of one request."""
    start = time.perf_counter()
    run(request)
    return 1000 * (time.perf_counter() - start)


def table(
    run: Callable[[dict[str, Any]], object], workload: dict[str, Any], batch_size: int, least: int = 0
) -> list[list[float]]:
    """Passes x lengths, ``least`` requests or more, after three passes that are not counted."""
    requests = [request_of(batch_size, length, workload["vocabulary"]) for length in workload["lengths"]]
    count = max(PASSES, -(-least // len(requests)))
    passes = [[milliseconds(run, request) for request in requests] for _ in range(count + 3)]
    return passes[3:]


def main() -> None:
    """Time the model and print what AutoDistill reads."""
    model, workload = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    run = connect(model, workload["threads"])
    answer: dict[str, Any] = {"device": "this machine, through a script"}
    answer["samples_ms"] = table(run, workload, workload["batch_size"])
    if "batch_sizes" in workload:  # asked for when the workload has an offered load
        least = workload["requests_of_each"]  # what a 99th percentile needs
        answer["services"] = {str(size): table(run, workload, size, least) for size in workload["batch_sizes"]}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
