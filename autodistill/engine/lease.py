"""Holding a run while working on it: heartbeats, and taking over what a dead process of this machine held."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from autodistill.engine.records import RunKind, RunRecord
from autodistill.engine.storage import Storage

logger = logging.getLogger(__name__)

#: A lease lasts this long without a heartbeat; three heartbeats fit, so that one lost does no harm.
LEASE_SECONDS = 60.0
_HEARTBEAT_SECONDS = LEASE_SECONDS / 3


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]  # tells machines apart without naming them


def owner_name() -> str:
    """Who this process is: machine, process id and start time, so that a dead owner is recognised as such."""
    return f"{_machine()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def _is_dead_here(owner: str) -> bool:
    """Whether ``owner`` was a process of this machine that has ended."""
    machine, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    if machine != _machine() or not pid.isdigit():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True


def release_dead(storage: Storage, study_id: int) -> list[RunRecord]:
    """Give back the leases of this machine's dead processes, so that their runs go on at once."""
    dead = [run for run in storage.runs(study_id) if run.state == "leased" and run.owner and _is_dead_here(run.owner)]
    return [run for run in dead if storage.release_run(run)]


class Lease:
    """A lease that is being held; ``lost`` becomes true when somebody took the run over."""

    def __init__(self, run: RunRecord) -> None:
        self.run = run
        self.lost = False


@contextmanager
def held(storage: Storage, study_id: int, number: int, kind: RunKind, retry_failed: bool) -> Iterator[Lease | None]:
    """Lease a run and keep renewing it in the background; None when it has ended or somebody else holds it.

    On any exception the lease is given back, so that the run can go on at once.
    """
    run = storage.lease_run(study_id, number, kind, owner_name(), LEASE_SECONDS, retry_failed=retry_failed)
    if run is None:
        yield None
        return
    lease, ended = Lease(run), threading.Event()

    def beat() -> None:
        renewed = time.monotonic()
        while not ended.wait(_HEARTBEAT_SECONDS):
            try:
                lease.lost = not storage.renew(run, LEASE_SECONDS)
                renewed = time.monotonic()
            except Exception:  # a database that is busy or starts again: the lease holds until it expires
                logger.exception("the lease of trial %d could not be renewed; trying again", number)
                lease.lost = time.monotonic() - renewed > LEASE_SECONDS
            if lease.lost:
                return

    thread = threading.Thread(target=beat, name="autodistill-heartbeat", daemon=True)
    thread.start()
    try:
        yield lease
    except BaseException:
        storage.release_run(run)
        raise
    finally:
        ended.set()
        thread.join()
