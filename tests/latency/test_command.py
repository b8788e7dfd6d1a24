from __future__ import annotations

import dataclasses
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodistill.components.latency import LatencyContext, LatencySubject
from autodistill.errors import ConfigError, LatencyError
from autodistill.exporters.huggingface import save_pretrained
from autodistill.latency.command import CommandLatency
from autodistill.latency.configs import CommandConfig

Make = Callable[..., LatencySubject]
EXAMPLE = Path(__file__).parents[2] / "examples" / "05_time_elsewhere.py"


def backend(context: LatencyContext, command: list[str], **changes: Any) -> CommandLatency:
    config = CommandConfig(command=command, **{"device": "phone", **changes})
    return CommandLatency(dataclasses.replace(context, label="phone"), **dataclasses.asdict(config))


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], list[str]]:
    """Write a Python script; returns the command that runs it."""

    def write(text: str) -> list[str]:
        path = tmp_path / "script.py"
        path.write_text("import json, os, sys, time\n" + textwrap.dedent(text))
        return [sys.executable, str(path)]

    return write


def printing(answer: str) -> str:
    return f"print('progress')\nprint({answer!r})\n"


def test_the_example_times_the_exported_model_under_load_and_against_the_reference(
    context: LatencyContext, make_subject: Make
) -> None:
    made = backend(
        dataclasses.replace(context, reference=make_subject("teacher", layers=6)),
        [sys.executable, str(EXAMPLE)],
        p99_limit_ms=1000.0,
        max_batch=2,
    )
    report = made.measure(make_subject())
    made.close()
    assert (report.kind, report.backend, report.n) == ("measured", "command", 60)
    assert report.device == "this machine, through a script"
    assert report.relative_half_width is not None
    assert report.ratio_to_reference is not None
    assert 0 < report.ratio_to_reference < 1
    assert report.throughput_at_p99 is not None
    assert list(context.work_dir.iterdir()) == []


def test_summary_of_the_script_is_taken_and_p99_of_few_left_out(
    context: LatencyContext, script: Callable[[str], list[str]], make_subject: Make
) -> None:
    answer = '{"median_ms": 4.0, "p90_ms": 5, "p99_ms": 6, "n": 40, "versions": {"rt": 2}, "peak_memory_bytes": 7}'
    with_reference = dataclasses.replace(context, reference=make_subject("teacher"))
    report = backend(with_reference, script(printing(answer))).measure(make_subject())
    assert report.ratio_to_reference == 1.0
    assert (report.median, report.p90, report.p99, report.n) == (4.0, 5, None, 40)
    assert report.throughput == pytest.approx(250)
    assert report.versions == {"rt": "2"}
    assert report.peak_memory_bytes == 7


def test_placeholders_stand_for_the_files_and_a_saved_model_is_given_as_it_is(
    context: LatencyContext, script: Callable[[str], list[str]], make_subject: Make, tmp_path: Path
) -> None:
    subject = make_subject()
    assert subject.build is not None
    save_pretrained(subject.build(), tmp_path / "hf")
    command = script("""
        assert sys.argv[1].startswith("--model=") and sys.argv[1].endswith("/hf"), sys.argv
        workload = json.load(open(sys.argv[2]))
        assert workload["lengths"] == [4, 9] and workload["vocabulary"] == 60, workload
        print('{"median_ms": 1}')
    """)
    made = backend(context, [*command, "--model={model}", "{workload}"], format="huggingface")
    report = made.measure(LatencySubject("pick 1", None, None, {"huggingface": tmp_path / "hf"}))
    assert report.artifact_sha256 is not None


def test_script_that_hangs_is_killed_with_its_children(
    context: LatencyContext, script: Callable[[str], list[str]], make_subject: Make, tmp_path: Path
) -> None:
    command = script(f"""
        import subprocess
        child = subprocess.Popen(["sleep", "600"])
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        print("still here", file=sys.stderr, flush=True)
        time.sleep(600)
    """)
    message = r"(?s)'phone' could not time trial 9: .* has not ended after 1\.5 s and was killed.*still here"
    with pytest.raises(LatencyError, match=message):
        backend(context, command, timeout_seconds=1.5).measure(make_subject("trial 9"))
    assert not running(int((tmp_path / "pid").read_text()))


def test_script_that_hangs_is_killed_with_a_child_in_a_session_of_its_own_that_holds_its_output(
    context: LatencyContext, script: Callable[[str], list[str]], make_subject: Make, tmp_path: Path
) -> None:
    command = script(f"""
        import subprocess
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        time.sleep(600)
    """)
    with pytest.raises(LatencyError, match=r"has not ended after 1\.5 s and was killed"):
        backend(context, command, timeout_seconds=1.5).measure(make_subject())
    assert not running(int((tmp_path / "pid").read_text()))


def test_script_that_leaves_something_running_is_not_waited_for_longer_than_itself(
    context: LatencyContext, script: Callable[[str], list[str]], make_subject: Make, tmp_path: Path
) -> None:
    command = script(f"""
        import subprocess
        server = subprocess.Popen(["sleep", "600"])
        open({str(tmp_path / "pid")!r}, "w").write(str(server.pid))
        print('{{"median_ms": 3}}')
    """)
    assert backend(context, command, format="huggingface").measure(make_subject()).median == 3
    server = int((tmp_path / "pid").read_text())
    assert running(server)  # e.g. the server of a device's debugger: the next call needs it
    os.kill(server, signal.SIGKILL)


def running(pid: int) -> bool:
    """Not gone, nor a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sys.exit('no phone is attached')", r"ended with exit status 1\.\nLast lines .*\n  no phone is attached"),
        ("os.kill(os.getpid(), 11)", "was ended by signal 11"),
        ("pass", "must print one JSON object .* got nothing"),
        (printing("all fine"), "must print one JSON object .* got 'all fine'"),
        (printing("[1, 2]"), r"got '\[1, 2\]': no JSON object"),
        (printing("{}"), "median_ms must be a number > 0, got None"),
        (printing('{"median_ms": NaN}'), "median_ms must be a number > 0, got nan"),
        (printing('{"median_ms": -1}'), "median_ms must be a number > 0, got -1"),
        (printing('{"median_ms": 3, "p90_ms": 2}'), "p90_ms must not be below median_ms"),
        (printing('{"samples_ms": [1, 2]}'), "samples_ms must be passes x 2 lengths of numbers"),
        (printing('{"samples_ms": [[1, 2, 3]]}'), "samples_ms must be passes x 2 lengths of numbers"),
        (printing('{"samples_ms": [[1, 0]]}'), "samples_ms must hold milliseconds > 0"),
        (printing('{"median_ms": 3, "versions": 2}'), "versions must be a mapping, got 2"),
    ],
)
def test_failing_script_is_named_with_model_and_reason(
    text: str, message: str, context: LatencyContext, script: Callable[[str], list[str]], make_subject: Make
) -> None:
    with pytest.raises(LatencyError, match="(?s)Latency backend 'phone' could not time trial 9: .*" + message):
        backend(context, script(text), format="huggingface").measure(make_subject("trial 9"))


def test_load_without_times_of_batches_says_which_are_missing(
    context: LatencyContext, script: Callable[[str], list[str]], make_subject: Make
) -> None:
    made = backend(context, script(printing('{"median_ms": 3}')), p99_limit_ms=20.0, max_batch=4)
    with pytest.raises(LatencyError, match="services must have the batch sizes 1, 2, 4"):
        made.measure(make_subject())


@pytest.mark.parametrize("program", ["/nowhere/adb", "no_such_program", __file__])
def test_program_that_cannot_be_run_is_named_before_anything_is(context: LatencyContext, program: str) -> None:
    with pytest.raises(ConfigError, match=rf"latency\.phone\.command must start with a program .* got '{program}'"):
        backend(context, [program])


def test_program_that_is_gone_is_named(context: LatencyContext, make_subject: Make, tmp_path: Path) -> None:
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh")
    program.chmod(0o755)
    made = backend(context, [str(program)])
    program.unlink()
    with pytest.raises(LatencyError, match="adb cannot be started"):
        made.measure(make_subject())


@pytest.mark.parametrize(("age", "references"), [(300.0, 1), (0.0, 3)])
def test_a_reference_is_timed_again_when_its_timing_is_old(
    age: float,
    references: int,
    context: LatencyContext,
    script: Callable[[str], list[str]],
    make_subject: Make,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The device takes a millisecond longer for every model: a ratio to an old timing would grow with it."""
    monkeypatch.setattr("autodistill.latency.command.REFERENCE_SECONDS", age)
    calls = tmp_path / "calls"
    command = script(f"""
        with open({str(calls)!r}, "a") as file:
            file.write("x")
        print(json.dumps({{"median_ms": 10 + os.path.getsize({str(calls)!r})}}))
    """)
    made = backend(dataclasses.replace(context, reference=make_subject("teacher")), command, format="huggingface")
    ratios = [made.measure(make_subject()).ratio_to_reference for _ in range(3)]
    assert calls.stat().st_size == 3 + references
    assert ratios == [12 / 11, *([14 / 13, 16 / 15] if references == 3 else [13 / 11, 14 / 11])]


def test_a_directory_without_weights_is_named(
    context: LatencyContext, script: Callable[[str], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    made = backend(context, script("pass"), format="huggingface")
    with pytest.raises(LatencyError, match=r"'phone' could not time pick 1: .* holds no model\.safetensors"):
        made.measure(LatencySubject("pick 1", None, None, {"huggingface": tmp_path}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"command": []}, r"latency\.command\.command must be a list: program and arguments, got \[\]"),
        ({"command": ["x"], "device": "../x"}, r"latency\.command\.device must be a name"),
        ({"command": ["x"], "timeout_seconds": 0.0}, r"latency\.command\.timeout_seconds must be > 0"),
        ({"command": ["x"], "format": "tflite"}, r"latency\.command\.format must be one of onnx, huggingface"),
    ],
)
def test_configuration_out_of_range_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CommandConfig(**changes)
