"""Data sets from the hub, through `datasets`; asked only when the configuration allows it, and never run as code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from autodistill.errors import DataError


def load_from_hub(
    name: str, config: str | None, split: str, allow_hub: bool, revision: str | None, key: str
) -> Iterable[Mapping[str, Any]]:
    """Return the rows of a data set on the hub.

    Args:
        name: of the data set.
        config: its configuration, or None.
        split: as the data set calls it.
        allow_hub: whether the hub may be asked.
        revision: commit, tag or branch; None is the main one.
        key: the configuration key that would name local files, for messages.

    Raises:
        DataError: not allowed, not found, not reachable.
    """
    if not allow_hub:
        raise DataError(
            f"{key} is null, so {name} would be read from the hub, which is not asked unless data.allow_hub=true. "
            f"Give {key}=PATH, or set data.allow_hub=true."
        )
    import datasets

    with _explained(name, config, split):
        rows: Iterable[Mapping[str, Any]] = datasets.load_dataset(name, config, split=split, revision=revision)
    return rows


@dataclass(frozen=True, slots=True)
class HubStream:
    """Rows of a data set on the hub, one after another, without a copy on the disk.

    Args:
        name: of the data set.
        config: its configuration, or None.
        split: as the data set calls it.
        data: of `datasets`, streaming.
    """

    name: str
    config: str | None
    split: str
    data: Any

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """The rows, from the state that the stream began with.

        Raises:
            DataError: the hub cannot be reached any more.
        """
        with _explained(self.name, self.config, self.split):
            yield from self.data

    def state(self) -> dict[str, Any]:
        """Where the stream stands, after the row that it gave last; JSON-able."""
        state: dict[str, Any] = self.data.state_dict()
        return state


def stream_from_hub(
    name: str, config: str | None, split: str, commit: str, state: Mapping[str, Any] | None = None
) -> HubStream:
    """Stream a data set of the hub, from its first row or from where another stream of it stood.

    Args:
        name: of the data set.
        config: its configuration, or None.
        split: as the data set calls it.
        commit: of the data set, that of the other stream, so that it is of the same rows; see `commit_on_hub`.
        state: of the other stream.

    Raises:
        DataError: not found, not reachable.
    """
    import datasets

    with _explained(name, config, split):
        data = datasets.load_dataset(name, config, split=split, revision=commit, streaming=True)
        if state is not None:
            data.load_state_dict(dict(state))
    return HubStream(name, config, split, data)


def commit_on_hub(name: str, revision: str | None) -> str:
    """The commit that a revision of a data set stands for now, None being the main one.

    Raises:
        DataError: not found, not reachable.
    """
    from huggingface_hub import HfApi

    with _explained(name, None, revision or "main"):
        return str(HfApi().dataset_info(name, revision=revision).sha)


@contextmanager
def _explained(name: str, config: str | None, split: str) -> Iterator[None]:
    """Turn what goes wrong between here and the hub into one sentence."""
    import datasets
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except (OSError, ValueError, HfHubHTTPError, OfflineModeIsEnabled, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{name} ({config or 'default'}, {split}) cannot be read from the hub: {error}") from error
