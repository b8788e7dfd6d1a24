"""Commands that are run apart: the terminal's Ctrl-C is not theirs, and they outlive nobody."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest

from autodistill.exporters.onnx_session import package_environment
from autodistill.lifeline import run_apart, text_of

# Presses Ctrl-C for its whole process group as soon as it has a child; its handler only notes that, as a study's does.
INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from autodistill.errors import AutoDistillError
from autodistill.lifeline import Lifeline
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(True))
tie = Lifeline.tie
def tie_and_press(lifeline, group):
    tie(lifeline, group)
    os.killpg(0, signal.SIGINT)
Lifeline.tie = tie_and_press
{call}
print(asked)
"""
BROKEN = """
from autodistill.exporters.onnx_session import quantise_onnx
try:
    quantise_onnx(Path(sys.argv[1], "missing.onnx"), Path(sys.argv[1], "int8.onnx"))
except AutoDistillError as error:
    assert "exit status 1)" in str(error), error
"""
SLOW = """
import tempfile
from autodistill.lifeline import run_apart
with tempfile.TemporaryFile() as printed:
    assert run_apart(["sleep", "0.8"], printed=printed, said=printed) == 0
"""


@pytest.mark.parametrize("call", [BROKEN, SLOW])
def test_ctrl_c_reaches_the_parent_only(call: str, tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(call=call), str(tmp_path)],
        capture_output=True,
        text=True,
        env=package_environment(),
        start_new_session=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[True]\n"), done.stderr


def test_what_a_command_says_and_how_it_ended_is_told() -> None:
    code = "import os, sys; print(os.getsid(0) == os.getpid()); sys.stderr.write('no'); os.kill(os.getpid(), 15)"
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
        assert run_apart([sys.executable, "-uc", code], printed=printed, said=said) == -15
        assert (text_of(printed), text_of(said)) == ("True\n", "no")


def test_a_command_that_takes_too_long_is_killed() -> None:
    with tempfile.TemporaryFile() as printed, pytest.raises(subprocess.TimeoutExpired):
        run_apart(["sleep", "600"], printed=printed, said=printed, timeout_seconds=0.2)
