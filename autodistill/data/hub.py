"""Data sets from the hub, through `datasets`; asked only when the configuration allows it, and never run as code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from autodistill.errors import DataError


def load_from_hub(
    name: str,
    config: str | None,
    split: str,
    allow_hub: bool,
    revision: str | None,
    key: str,
    *,
    streaming: bool = False,
) -> Iterable[Mapping[str, Any]]:
    """Return the rows of a data set on the hub.

    Args:
        name: of the data set.
        config: its configuration, or None.
        split: as the data set calls it.
        allow_hub: whether the hub may be asked.
        revision: commit, tag or branch; None is the main one.
        key: the configuration key that would name local files, for messages.
        streaming: rows one after another, without a copy on the disk.

    Raises:
        DataError: not allowed, not found, not reachable.
    """
    if not allow_hub:
        raise DataError(
            f"{key} is null, so {name} would be read from the hub, which is not asked unless data.allow_hub=true. "
            f"Give {key}=PATH, or set data.allow_hub=true."
        )
    import datasets
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    options: dict[str, Any] = {"split": split, "revision": revision, "streaming": streaming}

    @contextmanager
    def explained() -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, HfHubHTTPError, OfflineModeIsEnabled, datasets.exceptions.DatasetsError) as error:
            raise DataError(f"{name} ({config or 'default'}, {split}) cannot be read from the hub: {error}") from error

    with explained():
        rows: Iterable[Mapping[str, Any]] = datasets.load_dataset(name, config, **options)

    def streamed() -> Iterator[Mapping[str, Any]]:
        with explained():
            yield from rows

    return streamed() if streaming else rows
