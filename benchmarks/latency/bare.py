"""A bare timing loop, sharing no code with AutoDistill's: what anybody would write.

python -m benchmarks.latency.bare RUNTIME PATH THREADS LENGTH VOCABULARY SECONDS PRECISION
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

#: Requests that are not counted, and that are at least.
WARM_UP, LEAST = 10, 20


def load(runtime: str, path: str, threads: int, columns: dict[str, Any], precision: str) -> Callable[[], object]:
    """What answers one request."""
    if runtime == "torch":
        import torch
        from transformers import AutoModelForSequenceClassification

        torch.set_num_threads(threads)
        types = {"fp32": torch.float32, "bf16": torch.bfloat16}
        model = AutoModelForSequenceClassification.from_pretrained(path, dtype=types[precision]).eval()
        tensors = {name: torch.from_numpy(column) for name, column in columns.items()}

        def answer() -> object:
            with torch.inference_mode():
                return model(**tensors)

        return answer
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    request = {node.name: columns[node.name] for node in session.get_inputs()}
    return lambda: session.run(None, request)


def main() -> None:
    """Time, and print median and 95 % interval in milliseconds."""
    runtime, path, threads, length, vocabulary, seconds, precision = sys.argv[1:]
    shape = (1, int(length))
    columns = {
        "input_ids": np.random.default_rng(1).integers(2, int(vocabulary), shape),
        "attention_mask": np.ones(shape, dtype=np.int64),
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }
    answer = load(runtime, path, int(threads), columns, precision)
    for _ in range(WARM_UP):
        answer()
    times: list[float] = []
    end = time.perf_counter() + float(seconds)
    while time.perf_counter() < end or len(times) < LEAST:
        start = time.perf_counter()
        answer()
        times.append(1000 * (time.perf_counter() - start))
    times.sort()
    half = round(0.98 * len(times) ** 0.5)  # 1.96 / 2 sqrt(n): ranks of the 95 % interval of a median
    middle = len(times) // 2
    low, high = times[max(0, middle - half)], times[min(len(times) - 1, middle + half)]
    print(json.dumps({"median": statistics.median(times), "low": low, "high": high, "n": len(times)}))


if __name__ == "__main__":
    main()
