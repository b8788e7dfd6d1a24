"""Live progress of a run: which stage, how far, how long still, what is best so far.

On a terminal `ProgressDisplay` draws bars that stay at the bottom; elsewhere (a log file, CI) it prints a plain line
per stage and trial. `QuietProgress` has the same methods and says nothing. Both only show what they are told: they
hold no state of the study.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autodistill.report import formats

#: Seconds between two plain lines about work inside one stage or trial.
PLAIN_INTERVAL = 60.0
#: Redraws of the live bars per second.
REFRESH_PER_SECOND = 4.0
#: Share of an item's time that its steps take, about; scoring, saving and the next proposal take the rest.
STEPS_SHARE = 0.9


class Progress(Protocol):
    """What a run tells about itself; implemented by `ProgressDisplay` and `QuietProgress`."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of ``total`` items (None: unknown); the stage before has ended."""
        ...

    def advance(self, n: int = 1) -> None:
        """Say that ``n`` more items of the stage are done."""
        ...

    def step(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` steps of the current item are done."""
        ...

    def trials(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` trials are done; they are the items of the stage."""
        ...

    def best(self, text: str) -> None:
        """Show the best so far, one line."""
        ...

    def message(self, text: str) -> None:
        """Print a line that stays."""
        ...


class QuietProgress:
    """Progress that shows nothing."""

    def __enter__(self) -> QuietProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def stage(self, name: str, total: int | None = None) -> None:
        """Show nothing."""

    def advance(self, n: int = 1) -> None:
        """Show nothing."""

    def step(self, done: int, total: int) -> None:
        """Show nothing."""

    def trials(self, done: int, total: int) -> None:
        """Show nothing."""

    def best(self, text: str) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""


class _Stage:
    """How far one stage is; times in seconds on the display's clock."""

    def __init__(self, name: str, total: int | None, now: float) -> None:
        self.name = name
        self.unit = ""
        self.total = total
        self.done = 0
        self.first_done = 0  # a study that goes on begins with trials that cost nothing now
        self.steps = (0, 0)
        self.started = now

    @property
    def position(self) -> float:
        """Items done, the current one by its share of steps; scoring and saving come after the last step."""
        done, total = self.steps
        return self.done + (STEPS_SHARE * min(done / total, 1.0) if total else 0.0)

    def seconds_left(self, now: float) -> float | None:
        """Elapsed time per item, times the items left; None before anything is known."""
        covered = self.position - self.first_done
        if self.total is None or covered <= 0:
            return None
        return max(0.0, (self.total - self.position) * (now - self.started) / covered)

    def counted(self) -> str:
        total = "" if self.total is None else f" of {self.total:,}"
        return f"{self.done:,}{total}{self.unit}" if self.done or self.total is not None else ""


class ProgressDisplay:
    """Bars on a terminal, sparse plain lines elsewhere; a context manager.

    Methods may be called from any thread, as often as one likes, and outside the ``with`` block too. Leaving the block,
    by Ctrl-C as well, gives the terminal back; no exception is swallowed.

    Args:
        console: where to draw; standard error by default, so that results can be piped.
        clock: seconds, rising.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._stage: _Stage | None = None
        self._best = ""
        self._last_plain = clock()
        self._live: Live | None = None

    def __enter__(self) -> ProgressDisplay:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=REFRESH_PER_SECOND,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end_stage(finished=error is None)
        finally:
            live, self._live = self._live, None
            if live is not None:
                live.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of ``total`` items (None: unknown); the stage before has ended."""
        self._end_stage(finished=True)
        self._stage = _Stage(name, total, self._clock())
        if self._live is None:
            self._plain(f"{name}: started{'' if total is None else f', {total:,} to do'}")

    def advance(self, n: int = 1) -> None:
        """Say that ``n`` more items of the stage are done."""
        stage = self._current()
        stage.done += n
        stage.steps = (0, 0)
        self._plain_now_and_then()

    def step(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` steps of the current item are done."""
        self._current().steps = (done, total)
        self._plain_now_and_then()

    def trials(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` trials are done; they are the items of the stage."""
        stage = self._current()
        if stage.unit == "":
            stage.unit, stage.first_done, stage.started = " trials", done, self._clock()
        changed = (done, total) != (stage.done, stage.total)
        stage.done, stage.total, stage.steps = done, total, (0, 0)
        if changed and self._live is None:
            self._plain(self._line(stage))

    def best(self, text: str) -> None:
        """Show the best so far, one line."""
        changed, self._best = text != self._best, text
        if changed and self._live is None:
            self._plain(f"best so far: {text}")

    def message(self, text: str) -> None:
        """Print a line that stays."""
        self._plain(text)

    def _current(self) -> _Stage:
        if self._stage is None:
            self._stage = _Stage("work", None, self._clock())
        return self._stage

    def _end_stage(self, finished: bool) -> None:
        stage, self._stage = self._stage, None
        if stage is None:
            return
        words = "done" if finished else "stopped"
        details = [text for text in (stage.counted(), formats.duration(self._clock() - stage.started)) if text]
        self._plain(f"{stage.name}: {words} ({', '.join(details)})")

    def _plain(self, text: str) -> None:
        self._last_plain = self._clock()
        # Paths and names may hold brackets, which are no markup here.
        self._console.print(Text(text), soft_wrap=True)

    def _plain_now_and_then(self) -> None:
        if self._live is None and self._clock() - self._last_plain >= PLAIN_INTERVAL:
            self._plain(self._line(self._current()))

    def _line(self, stage: _Stage) -> str:
        done, total = stage.steps
        steps = f"step {done:,} of {total:,}" if total else ""
        return f"{stage.name}: {', '.join(text for text in (stage.counted(), steps, self._times(stage)) if text)}"

    def _times(self, stage: _Stage) -> str:
        now = self._clock()
        left = stage.seconds_left(now)
        elapsed = formats.duration(now - stage.started)
        return f"{elapsed}, about {formats.duration(left)} left" if left else elapsed

    def _render(self) -> RenderableType:
        stage = self._stage
        if stage is None:
            return Text(self._best, style="green", overflow="ellipsis", no_wrap=True)
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(width=max(10, min(40, self._console.width - 50)))  # 50: room for the words beside the bar
        grid.add_column(no_wrap=True)
        grid.add_row(Text(stage.name, style="bold"), _bar(stage.position, stage.total), Text(self._details(stage)))
        done, total = stage.steps
        if total:
            grid.add_row(Text("  steps", style="dim"), _bar(done, total), Text(f"{done:,} of {total:,}", style="dim"))
        best = [Text(f"best so far: {self._best}", style="green", overflow="ellipsis", no_wrap=True)]
        return Group(grid, *(best if self._best else []))

    def _details(self, stage: _Stage) -> str:
        return ", ".join(text for text in (stage.counted(), self._times(stage)) if text)


def _bar(done: float, total: int | None) -> ProgressBar:
    return ProgressBar(total=total, completed=done, pulse=total is None)
