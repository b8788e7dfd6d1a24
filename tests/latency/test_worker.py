from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from autodistill.exporters.onnx_session import package_environment
from autodistill.latency.machine import reset_peak
from autodistill.latency.process import WorkerError, WorkerProcess
from autodistill.latency.runners import Setup
from autodistill.latency.worker import FIRST_TOKEN, Worker, requests_of

SETUP = Setup(batch_size=2, lengths=(5, 3), precision="fp32", threads=1, device="cpu")


def test_requests_are_the_same_every_time_padded_to_their_own_length_only() -> None:
    first, second = requests_of(SETUP, 50), requests_of(SETUP, 50)
    assert [request["input_ids"].shape for request in first] == [(2, 5), (2, 3)]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one["input_ids"], other["input_ids"])
        assert one["attention_mask"].all()
        assert one["input_ids"].min() >= FIRST_TOKEN
        assert one["input_ids"].max() < 50


def test_worker_imports_no_heavy_library_before_it_is_told_which() -> None:
    code = "import sys, autodistill.latency.worker; print(sorted({'torch', 'onnxruntime', 'onnx'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=package_environment(), check=True
    )
    assert done.stdout == "[]\n"


def test_what_libraries_print_does_not_disturb_the_answers(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text("import os\nprint('hello')\nos.write(1, b'raw')\nclass Runner: pass\n")
    message = {"command": "open", "runner": "noisy:Runner", "setup": {**SETUP_DICT}}
    environment = {**package_environment(), "PYTHONPATH": f"{package_environment()['PYTHONPATH']}:{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "-m", "autodistill.latency.worker"],
        input=json.dumps(message) + "\n",
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert done.stdout == "{}\n"
    assert "hello" in done.stderr
    assert "raw" in done.stderr


SETUP_DICT = {"batch_size": 2, "lengths": [5, 3], "precision": "fp32", "threads": 1, "device": "cpu", "options": {}}


def test_refused_command_is_an_error_and_the_worker_lives() -> None:
    worker = WorkerProcess(threads=1)
    with pytest.raises(WorkerError, match="No module named 'nowhere'") as caught:
        worker.ask({"command": "open", "runner": "nowhere:Runner", "setup": SETUP_DICT}, 60)
    assert not caught.value.dead
    runner = "autodistill.latency.runners:OnnxRuntimeRunner"
    assert worker.ask({"command": "open", "runner": runner, "setup": SETUP_DICT}, 60) == {}
    worker.close()
    worker.close()


SLOW_RUNNER = """
import time
class Runner:
    def __init__(self, path, setup): pass
    def prepare(self, inputs): return inputs
    def run(self, request): time.sleep(0.02)
    def facts(self): return {"versions": {}}
"""


def test_slow_model_with_many_requests_is_waited_for_while_it_makes_headway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow.py").write_text(SLOW_RUNNER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = WorkerProcess(threads=1)
    worker.ask({"command": "open", "runner": "slow:Runner", "setup": SETUP_DICT}, 60)
    rule = {"target_relative_half_width": 0.02, "max_seconds": 0.1, "min_repeats": 1, "min_requests": 70}
    message = {"command": "measure", "path": "x", "vocabulary": 60, "rule": rule}
    answer = worker.ask(message, 1.0)
    assert answer["n"] >= 70  # 70 requests of 20 ms take 1.4 s
    (cpu,) = answer["environment"]["pinned_to_cpus"]
    assert os.sched_getaffinity(worker.pid) == {cpu}
    worker.close()


def test_worker_that_cannot_parse_dies_and_its_last_words_are_told() -> None:
    worker = WorkerProcess(threads=1)
    assert worker._process.stdin is not None
    worker._process.stdin.write(b"not json\n")
    with pytest.raises(WorkerError, match=r"ended with exit status 1(.|\n)*JSONDecodeError") as caught:
        worker.ask({"command": "open"}, 60)
    assert caught.value.dead
    worker.close()


def test_hanging_worker_is_given_up_and_killed() -> None:
    worker = WorkerProcess(threads=1)
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerError, match=r"its worker has not answered for 0\.1 s") as caught:
        worker.ask({"command": "open", "runner": "nowhere:Runner", "setup": SETUP_DICT}, 0.1)
    assert caught.value.dead
    worker.close()
    assert not Path(f"/proc/{worker.pid}").exists()


def test_worker_ends_when_its_parent_is_gone() -> None:
    code = "import os; from autodistill.latency.process import WorkerProcess; print(WorkerProcess(1).pid); os._exit(9)"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=package_environment(), check=False
    )
    deadline = time.monotonic() + 60
    while running(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(int(done.stdout))


def test_worker_that_hangs_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    (tmp_path / "hang.py").write_text(
        f"import ctypes\nopen({str(tmp_path / 'hangs')!r}, 'w').close()\nctypes.PyDLL(None).sleep(600)\n"
    )
    code = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "from autodistill.latency.process import WorkerProcess\n"
        "worker = WorkerProcess(1)\nprint(worker.pid, flush=True)\n"
        f"message = {{'command': 'open', 'runner': 'hang:Runner', 'setup': {SETUP_DICT!r}}}\n"
        "import json\nworker._process.stdin.write(json.dumps(message).encode() + b'\\n')\n"
        "worker._process.stdin.flush()\n"
        f"while not Path({str(tmp_path / 'hangs')!r}).exists(): time.sleep(0.02)\n"
        "os._exit(9)\n"
    )
    environment = {**package_environment(), "PYTHONPATH": f"{package_environment()['PYTHONPATH']}:{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, check=False, timeout=120
    )
    deadline = time.monotonic() + 60
    while running(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.02)
    still = running(int(done.stdout))
    if still:
        os.kill(int(done.stdout), signal.SIGKILL)
    assert not still


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except FileNotFoundError:
        return False


class GpuRunner:
    """Knows neither its device's name nor its memory, as onnxruntime's."""

    def __init__(self, path: Path, setup: Setup) -> None: ...

    def prepare(self, inputs: object) -> object:
        return inputs

    def run(self, request: object) -> None: ...

    def facts(self) -> dict[str, object]:
        return {"versions": {}}


def test_loading_and_warming_up_the_reference_is_told_step_by_step(tmp_path: Path) -> None:
    signs: list[str] = []
    worker = Worker(lambda: signs.append("sign"))
    cpus = os.sched_getaffinity(0)
    try:
        worker.open(f"{__name__}:GpuRunner", SETUP_DICT)
        worker.reference(str(tmp_path), 10)
    finally:
        gc.unfreeze()
        os.sched_setaffinity(0, cpus)
    assert len(signs) >= 3  # loaded, and after each of two passes


def test_more_threads_than_cores_are_flagged(tmp_path: Path) -> None:
    worker = Worker(lambda: None)
    worker.open(f"{__name__}:GpuRunner", {**SETUP_DICT, "threads": 10_000})
    told = worker.measure(str(tmp_path), 10, {"target_relative_half_width": 0.5, "max_seconds": 0.01, "min_repeats": 1})
    assert "oversubscribed" in told["flags"]
    assert told["environment"]["pinned_to_cpus"] is None


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_runner_on_a_gpu_is_told_neither_the_processors_name_nor_its_memory(device: str, tmp_path: Path) -> None:
    worker = Worker(lambda: None)
    cpus = os.sched_getaffinity(0)
    try:
        worker.open(f"{__name__}:GpuRunner", {**SETUP_DICT, "device": device, "device_name": "NVIDIA H100"})
        rule = {"target_relative_half_width": 0.5, "max_seconds": 0.01, "min_repeats": 1}
        told = worker.measure(str(tmp_path), 10, rule)
    finally:
        os.sched_setaffinity(0, cpus)
    assert told["device"] == "NVIDIA H100"
    assert "oversubscribed" not in told["flags"]
    assert (told["peak_memory_bytes"] is None) == (device == "cuda" or reset_peak() is None)
