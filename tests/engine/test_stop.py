"""The first Ctrl-C asks, the second insists."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from autodistill.engine.stop import StopSignal
from autodistill.errors import StudyInterruptedError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_insists(number: signal.Signals) -> None:
    with StopSignal() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        assert stop.requested
        with pytest.raises(StudyInterruptedError, match="every finished step is kept"):
            stop.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_the_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopSignal():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_outside_the_main_thread_signals_are_left_alone_and_asking_works() -> None:
    found: list[bool] = []

    def work() -> None:
        with StopSignal() as stop:
            stop.request()
            found.append(stop.requested)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [True]
    assert signal.getsignal(signal.SIGINT) == before


def test_an_interruption_exits_with_130() -> None:
    assert StudyInterruptedError("...").exit_code == 130
