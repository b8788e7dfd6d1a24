"""One run in several processes on this machine, each with its share of every batch: Lightning's DDP.

The process of the study is the first; it starts the others, which do the same work on what was pickled for them, and
which end with it. Only the first saves, reports, asks for a stop and sees rungs. The processes find each other by a
file and talk over the loopback interface: nothing listens on a network.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy
from transformers import PreTrainedModel

from autodistill.errors import AutoDistillError, ConfigError, OutOfMemoryTrialError, TrialError
from autodistill.training.devices import CUDA, named_devices

logger = logging.getLogger(__name__)

#: How long processes wait for each other: scoring a rung on a large split is the first one's alone.
TIMEOUT = timedelta(hours=6)

#: Seconds between two looks of the first process at the others.
_WATCH_SECONDS = 1.0

#: What a helper says when all that it can do alone is done, before it waits for the others.
_READY = b"ready\n"


@dataclass(frozen=True)
class Place:
    """A process's place among those of a run.

    Args:
        rank: from 0.
        world: number of processes.
        meeting: file by which they find each other.
        threads: CPU threads of each, its share of the run's.
    """

    rank: int
    world: int
    meeting: str
    threads: int


#: The place of this process when it was started as a helper.
_own: Place | None = None

#: Where a helper says that it is ready: a descriptor of its own, as what the work prints must not go there.
_ready_pipe: int | None = None


def processes(trainer: Mapping[str, Any]) -> int:
    """Number of processes that the Trainer's arguments ask for.

    Raises:
        ConfigError: several devices without ``strategy=ddp``, or another strategy.
    """
    strategy, devices, nodes = trainer.get("strategy", "auto"), trainer.get("devices", 1), trainer.get("num_nodes", 1)
    if strategy not in ("auto", "ddp"):
        raise ConfigError(f"trainer.strategy must be auto (one device) or ddp (several), got {strategy!r}.")
    if nodes != 1:
        raise ConfigError(f"trainer.num_nodes must be 1, got {nodes!r}: a run stays on one machine.")
    if strategy == "auto":
        several = _number_of(devices, str(trainer.get("accelerator", "cpu")))
        if several > 1:
            raise ConfigError(
                f"trainer.devices={devices} needs trainer.strategy=ddp: it means {several} devices, and every batch is "
                f"divided among them. Give trainer.devices={several} with it, or one device, trainer.devices=1."
            )
        return 1
    if not isinstance(devices, int) or devices < 1:
        raise ConfigError(f"trainer.devices must be a whole number >= 1 with trainer.strategy=ddp, got {devices!r}.")
    return devices


def _number_of(devices: Any, accelerator: str) -> int:
    """How many devices Lightning would take for what is given: a number, a list, all (-1), or as many as there are."""
    named = named_devices(devices)
    if named is not None:
        return len(named)
    text = str(devices).strip()
    if text in ("auto", "-1"):
        return torch.cuda.device_count() if accelerator in CUDA and torch.cuda.is_available() else 1
    return int(text) if text.isdigit() else 1


def check_processes(trainer: Mapping[str, Any], batch_size: int, setting: str = "schedule.batch_size") -> int:
    """Return the number of processes of a run.

    Args:
        trainer: arguments of Lightning's Trainer.
        batch_size: examples per step.
        setting: what the batch size is called where users give it.

    Raises:
        ConfigError: what `processes` refuses, or processes that cannot share a batch equally.
    """
    world = processes(trainer)
    if batch_size % world:
        raise ConfigError(
            f"trainer.devices={world} must divide the {batch_size} examples of a step: with unequal shares "
            f"examples would not count the same. Change {setting} or trainer.devices."
        )
    return world


@contextlib.contextmanager
def joined(world: int, work: Callable[[], Any] | None, accelerator: str) -> Iterator[Place | None]:
    """Be one of ``world`` processes inside the block; None when there is one only.

    Args:
        world: number of processes.
        work: what the other processes do; pickled.
        accelerator: Lightning's name of the device; one of `CUDA` is CUDA where there is a GPU, all else the CPU.

    Raises:
        TrialError: another process failed.
    """
    if world == 1:
        yield None
        return
    if _own is not None:
        _say_ready(_device(_own, accelerator))
        with _group(_own, accelerator):
            yield _own
        return
    threads = torch.get_num_threads()
    share = max(1, threads // world)
    torch.set_num_threads(share)
    try:
        with tempfile.TemporaryDirectory(prefix="autodistill-") as folder:
            place = Place(0, world, str(Path(folder) / "meeting"), share)
            with _helpers(place, work, Path(folder)) as started, _group(place, accelerator), _watched(started):
                yield place
    finally:
        torch.set_num_threads(threads)


def strategy_of(place: Place) -> DDPStrategy:
    """Lightning's strategy for a place; phases and their losses leave some parameters out, so these are looked for."""
    return DDPStrategy(cluster_environment=_Environment(place), find_unused_parameters=True, timeout=TIMEOUT)


class _Environment(ClusterEnvironment):
    """Tells Lightning that the processes are there already."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        return 0  # not used: they met by a file

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._place.world

    def set_world_size(self, size: int) -> None:
        """Nothing to set."""

    def global_rank(self) -> int:
        return self._place.rank

    def set_global_rank(self, rank: int) -> None:
        """Nothing to set."""

    def local_rank(self) -> int:
        return self._place.rank

    def node_rank(self) -> int:
        return 0


def _device(place: Place, accelerator: str) -> torch.device | None:
    """The GPU of a place; None where the processes meet on the CPU."""
    cuda = accelerator in CUDA and torch.cuda.is_available()
    return torch.device("cuda", place.rank) if cuda else None


@contextlib.contextmanager
def _group(place: Place, accelerator: str) -> Iterator[None]:
    """The process group, over the loopback interface."""
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, "lo")
    # Of its own accord torch ends the whole process, which is the study's, when NCCL fails or times out. 2: it aborts
    # the communicator only, so that the run's next step raises (torch's page "ProcessGroupNCCL Environment Variables").
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "2")
    device = _device(place, accelerator)
    torch.distributed.init_process_group(
        "gloo" if device is None else "nccl",
        init_method=f"file://{place.meeting}",
        rank=place.rank,
        world_size=place.world,
        timeout=TIMEOUT,
        device_id=device,
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@contextlib.contextmanager
def _watched(started: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Abort the group when another process fails inside the block: over NCCL nobody would notice before `TIMEOUT`.

    Raises:
        OSError: one failed, and so did the block.
    """
    over, aborted = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(_WATCH_SECONDS):
            if any(process.poll() for process in started):  # 0 is a helper that has done its work
                aborted.set()
                try:
                    _abort()
                except Exception:  # a thread has nobody to raise to; gloo notices by itself
                    logger.exception("a process of the run failed, and waiting for it could not be ended")
                return

    thread = threading.Thread(target=watch, name="autodistill-helpers", daemon=True)
    thread.start()
    try:
        yield
    except Exception as error:
        if not aborted.is_set():
            raise
        # Whatever it is: what an aborted step computed is not what was meant, and may look like a loss gone astray.
        raise OSError("a process of the run ended before its time") from error
    finally:
        over.set()
        thread.join()  # before the group is destroyed


def _abort() -> None:
    """Let the group's pending and later operations fail, those on a GPU too.

    The group itself stays, unlike with torch's ``_abort_process_group``: who has it still asks for it, and destroys it.
    """
    owner: Any = torch.distributed.group.WORLD
    if not hasattr(owner, "abort") and torch.distributed.get_backend() == "nccl":
        owner = owner._get_backend(torch.device("cuda"))  # where older versions of torch have it
    if hasattr(owner, "abort"):
        owner.abort()


@contextlib.contextmanager
def _helpers(place: Place, work: Callable[[], Any] | None, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The other processes, ready; they are gone after the block."""
    content = _pickled(work)
    started: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(1, place.world):
            with (folder / f"errors-{rank}").open("wb") as errors:
                # A session of its own: Ctrl-C goes to the first process, which tells the others.
                started.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "autodistill.training.parallel"],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=errors,
                        start_new_session=True,
                        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                    )
                )
        for rank, process in enumerate(started, start=1):
            _hand_over(process, replace(place, rank=rank), content)
        for process in started:
            _wait_until_ready(process)
        yield started
        for process in started:
            process.wait(TIMEOUT.total_seconds())
    except AutoDistillError:
        raise
    except (RuntimeError, OSError) as error:
        reason = _reason(started, folder)
        if reason is None:
            raise
        kind = OutOfMemoryTrialError if reason.startswith(OutOfMemoryTrialError.__name__) else TrialError
        raise kind(f"One of the run's {place.world} processes failed: {reason}") from error
    finally:
        for process in started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _hand_over(process: subprocess.Popen[bytes], place: Place, content: bytes) -> None:
    """Send a helper its place and its work."""
    pipe = process.stdin
    if pipe is not None:
        for part in (pickle.dumps(place), content):
            pipe.write(struct.pack("<Q", len(part)) + part)
        pipe.flush()


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    """Raise `OSError` when a helper ends before it is ready."""
    for line in process.stdout or ():
        if line == _READY:
            return
    raise OSError("a process of the run did not start")


def _reason(started: list[subprocess.Popen[bytes]], folder: Path) -> str | None:
    """What a failed helper said, or wrote last; None when none has failed by itself."""
    for rank, process in enumerate(started, start=1):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)  # seconds: it is dead, or about to be
        if process.returncode:
            said = _reason_file(folder, rank)
            if said.is_file():
                return said.read_text()
            lines = (folder / f"errors-{rank}").read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else f"it ended with exit code {process.returncode}"
    return None


def _reason_file(folder: Path, rank: int) -> Path:
    """Where a helper says why it fails: messages have several lines, and libraries may write more after the last."""
    return folder / f"reason-{rank}"


def _read(pipe: IO[bytes]) -> Any:
    (size,) = struct.unpack("<Q", pipe.read(8))
    return pickle.loads(pipe.read(size))


class _Pickler(pickle.Pickler):
    """Sends a transformers model as class, configuration and weights: transformers knows only models that it built."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, PreTrainedModel):
            return NotImplemented
        frozen = [name for name, parameter in obj.named_parameters() if not parameter.requires_grad]
        dropouts = {name: module.p for name, module in obj.named_modules() if isinstance(module, torch.nn.Dropout)}
        weights = {name: value.cpu() for name, value in obj.state_dict().items()}
        return _rebuilt, (type(obj), obj.config, weights, frozen, dropouts)


def _rebuilt(
    kind: type[PreTrainedModel],
    config: Any,
    weights: Mapping[str, Any],
    frozen: list[str],
    dropouts: Mapping[str, float],
) -> PreTrainedModel:
    """The model that `_Pickler` sent."""
    model = kind(config).eval()
    model.load_state_dict(weights)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    for name, share in dropouts.items():
        model.get_submodule(name).p = share
    return model


def _pickled(work: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer).dump(work)
    return buffer.getvalue()


def _say_ready(device: torch.device | None) -> None:
    """Tell the first process that this helper goes to the meeting, where nobody would notice that it is missing."""
    if device is not None:
        torch.zeros(1, device=device)  # a device that is not there, or is full, says so here
    if _ready_pipe is not None:
        os.write(_ready_pipe, _READY)


def _end_with_the_first() -> None:
    """End this process when the first one is gone: its end of the pipe is closed then."""
    os.read(0, 1)
    os._exit(1)


def main() -> None:
    """What a helper does: read its place and its work, and do it."""
    from autodistill.training import parallel

    pipe = sys.stdin.buffer
    own = parallel._own = _read(pipe)
    work = _read(pipe)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    torch.set_num_threads(own.threads)
    torch.set_flush_denormal(True)  # as in the first process
    parallel._ready_pipe = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody reads the pipe for long, and it holds little
    try:
        work()
    except (Exception, SystemExit) as error:  # Lightning's answer to SIGTERM would end as if all were done
        traceback.print_exc()
        _reason_file(Path(own.meeting).parent, own.rank).write_text(f"{type(error).__name__}: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
