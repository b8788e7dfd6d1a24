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
from pathlib import Path

import psutil

from autodistill.engine.records import RunKind, RunRecord
from autodistill.engine.storage import Storage

logger = logging.getLogger(__name__)

#: A lease lasts this long without a heartbeat; three heartbeats fit, so that one lost does no harm.
LEASE_SECONDS = 60.0
_HEARTBEAT_SECONDS = LEASE_SECONDS / 3


#: What differs between two boots of a machine, and between two containers on it that share its host name.
_BOOT, _NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def owner_name() -> str:
    """Who this process is: where its process id counts, that id and its start, so that a dead owner is recognised.

    The start is in ticks since the boot: seconds since the epoch change when the clock is set.
    """
    number, boot = os.getpid(), _boot()
    return f"{_host()}:{number}:{_created(number)}" if boot is None else f"{boot}:{number}:{_ticks(number)}"


def _boot() -> str | None:
    """This boot and this namespace of process ids; None on systems that do not tell them."""
    try:
        return _hashed(f"{_BOOT.read_text().strip()} {_NAMESPACE.stat().st_ino}")
    except OSError:
        return None


def _host() -> str:
    return _hashed(platform.node())


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]  # tells machines apart without naming them


def _ticks(number: int) -> str:
    fields = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[19]  # the 22nd of proc(5); the second, which may hold spaces, ends with the parenthesis


def _created(number: int) -> str:
    return f"{psutil.Process(number).create_time():.2f}"


def _is_dead_here(owner: str) -> bool:
    """Whether ``owner`` was a process of this machine that has ended."""
    machine, _, rest = owner.partition(":")
    number, _, started = rest.partition(":")
    boot = _boot()
    if machine not in (boot, _host()) or not number.isdigit():
        return False
    try:
        if machine == boot:
            return _ticks(int(number)) != started
        # Earlier versions wrote this name everywhere: where the clock may have been set, it is sure only that such a
        # process is there.
        return _created(int(number)) != started and boot is None
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True
    except (psutil.AccessDenied, PermissionError):  # another user's, so it is there
        return False


def release_dead(storage: Storage, study_id: int) -> list[RunRecord]:
    """Give back the leases of this machine's dead processes, so that their runs go on at once."""
    dead = [run for run in storage.runs(study_id) if run.state == "leased" and run.owner and _is_dead_here(run.owner)]
    return [run for run in dead if storage.release_run(run)]


class Lease:
    """A lease that is being held; ``lost`` becomes true when somebody took the run over."""

    def __init__(self, storage: Storage, run: RunRecord) -> None:
        self.run = run
        self.lost = False
        self._storage = storage
        self._renewed = time.monotonic()

    def renew(self) -> bool:
        """Prolong the lease; false, from then on, when somebody took the run over."""
        try:
            lost = not self._storage.renew(self.run, LEASE_SECONDS)
            self._renewed = time.monotonic()
        except Exception:  # a database that is busy or starts again: the lease holds until it expires
            logger.exception("the lease of trial %d could not be renewed; trying again", self.run.trial)
            lost = time.monotonic() - self._renewed > LEASE_SECONDS
        self.lost = self.lost or lost
        return not self.lost


@contextmanager
def held(storage: Storage, study_id: int, number: int, kind: RunKind, retry_failed: bool) -> Iterator[Lease | None]:
    """Lease a run and keep renewing it in the background; None when it has ended or somebody else holds it.

    On any exception the lease is given back, so that the run can go on at once.
    """
    run = storage.lease_run(study_id, number, kind, owner_name(), LEASE_SECONDS, retry_failed=retry_failed)
    if run is None:
        yield None
        return
    lease, ended = Lease(storage, run), threading.Event()

    def beat() -> None:
        while not ended.wait(_HEARTBEAT_SECONDS) and lease.renew():
            pass

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
