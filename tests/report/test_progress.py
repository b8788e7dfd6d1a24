"""Progress says enough, not too much, and gives the terminal back."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from autodistill.report.progress import PLAIN_INTERVAL, Progress, ProgressDisplay, QuietProgress


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def plain(output: io.StringIO, clock: Clock) -> ProgressDisplay:
    return ProgressDisplay(Console(file=output, force_terminal=False, width=200), clock)


def drive(progress: Progress, clock: Clock) -> None:
    """A small run."""
    with progress:
        progress.stage("teacher")
        clock.now += 12
        progress.stage("explore", 3)
        progress.trials(0, 3)
        for trial in range(3):
            for step in range(100):
                clock.now += 0.1
                progress.step(step + 1, 100)
            progress.trials(trial + 1, 3)
        progress.best("accuracy 0.84 at 1.2 ms (trial 1)")
        progress.message("trial [2] failed: [nan]")
        progress.stage("distill", 2)
        progress.advance()
        progress.advance()


def test_without_a_terminal_there_is_one_line_per_stage_and_trial(
    plain: ProgressDisplay, output: io.StringIO, clock: Clock
) -> None:
    drive(plain, clock)
    assert output.getvalue().splitlines() == [
        "teacher: started",
        "teacher: done (12 s)",
        "explore: started, 3 to do",
        "explore: 1 of 3 trials, 10 s, about 20 s left",
        "explore: 2 of 3 trials, 20 s, about 10 s left",
        "explore: 3 of 3 trials, 30 s",
        "best so far: accuracy 0.84 at 1.2 ms (trial 1)",
        "trial [2] failed: [nan]",
        "explore: done (3 of 3 trials, 30 s)",
        "distill: started, 2 to do",
        "distill: done (2 of 2, 0.0 s)",
    ]


def test_long_work_without_a_terminal_prints_a_line_a_minute(
    plain: ProgressDisplay, output: io.StringIO, clock: Clock
) -> None:
    with plain:
        plain.stage("distill", 2)
        for step in range(1000):
            clock.now += 0.5
            plain.step(step, 2000)
    lines = output.getvalue().splitlines()
    assert lines[1] == "distill: 0 of 2, step 119 of 2,000, 1 min 00 s, about 36 min 21 s left"
    assert len(lines) == 2 + 500 // PLAIN_INTERVAL


def test_trials_of_an_earlier_run_do_not_shorten_the_estimate(
    plain: ProgressDisplay, output: io.StringIO, clock: Clock
) -> None:
    with plain:
        plain.stage("explore", 40)
        plain.trials(30, 40)
        clock.now += 10
        plain.trials(31, 40)
    assert "explore: 31 of 40 trials, 10 s, about 1 min 30 s left" in output.getvalue()


def test_on_a_terminal_bars_and_best_are_drawn_and_finished_stages_stay(clock: Clock, output: io.StringIO) -> None:
    console = Console(file=output, force_terminal=True, width=110, color_system=None)
    drive(ProgressDisplay(console, clock), clock)
    text = output.getvalue()
    assert "explore: done (3 of 3 trials, 30 s)" in text
    assert "trial [2] failed: [nan]" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is hidden once and shown once


def test_the_live_picture_shows_stage_steps_and_time_left(clock: Clock, output: io.StringIO) -> None:
    console = Console(file=output, width=100, color_system=None)
    display = ProgressDisplay(console, clock)
    display.stage("explore", 10)
    display.trials(0, 10)
    clock.now += 30
    display.trials(3, 10)
    display.step(5, 10)
    display.best("accuracy 0.84")
    with console.capture() as captured:
        console.print(display._render())
    first, second, third = captured.get().splitlines()
    assert first.startswith("explore")
    assert first.rstrip().endswith("3 of 10 trials, 30 s, about 57 s left")
    assert second.rstrip().endswith("5 of 10")
    assert third.rstrip() == "best so far: accuracy 0.84"


def test_ctrl_c_gives_the_terminal_back_and_goes_on_up(clock: Clock, output: io.StringIO) -> None:
    def interrupted() -> None:
        with ProgressDisplay(Console(file=output, force_terminal=True, width=80), clock) as progress:
            progress.stage("explore", 3)
            raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    drawn = output.getvalue()
    assert "explore: stopped (0 of 3, 0.0 s)" in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")  # the cursor is shown again
    for thread in set(threading.enumerate()) - before:  # that drew: it has been told to end
        thread.join(timeout=60)
    assert set(threading.enumerate()) <= before


def test_methods_may_be_called_outside_the_block_and_from_threads(plain: ProgressDisplay) -> None:
    plain.step(1, 2)
    plain.advance()
    with plain:
        workers = [threading.Thread(target=plain.advance) for _ in range(20)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    plain.message("after")


def test_quiet_progress_says_nothing(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    drive(QuietProgress(), clock)
    assert capsys.readouterr() == ("", "")
