"""Where a running sandbox is, for its caller and, in ``sandbox.json``, for other processes.

Also owns the folder's lock: one sandbox at a time uses it, and the file exists while that one runs.
"""

import fcntl
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from estsim.errors import UsageError
from estsim.server.clock import SandboxClock
from estsim.server.config import DEFAULT, SandboxConfig
from estsim.server.listener import Counts
from estsim.server.pki import private_folder, write_private

_PUBLIC_FILE: Final = 0o644


@dataclass(frozen=True, slots=True)
class CenterReading:
    """A trust center's requests at a moment: pending, not yet decided by a person, queueing for a signer."""

    label: str
    pending: int
    undecided: int
    backlog: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trust center is, and the files that its clients need."""

    url: str
    trust: Path
    bootstrap: Path
    manufacturer: Path

    def as_json(self) -> dict[str, str]:
        """Return it as in ``sandbox.json``."""
        paths = {"trust": self.trust, "bootstrap": self.bootstrap, "manufacturer": self.manufacturer}
        return {"url": self.url, **{name: str(path.absolute()) for name, path in paths.items()}}


@dataclass(frozen=True, slots=True)
class Announcement:
    """A running sandbox: where its trust centers are, and how it is read and changed while it serves.

    ``change`` applies another configuration, within what :mod:`estsim.server.changes` allows, after the text about the
    change is in the store; where that fails it raises ``StoreError`` and changes nothing.
    """

    places: Mapping[str, Place]
    database: Path
    pending: int  # requests that were pending before
    counts: Counts
    clock: SandboxClock
    read: Callable[[], tuple[CenterReading, ...]]
    trouble: Callable[[], str | None]
    open_connections: Callable[[], int]
    change: Callable[[SandboxConfig, str], Awaitable[None]]

    @property
    def place(self) -> Place:
        """The default trust center's."""
        return self.places[DEFAULT]

    @property
    def url(self) -> str:
        """Where the default trust center is."""
        return self.place.url

    @property
    def trust(self) -> Path:
        """What clients of the default trust center trust."""
        return self.place.trust

    @property
    def bootstrap(self) -> Path:
        """A client certificate for the default trust center."""
        return self.place.bootstrap


@contextmanager
def sole_user_of(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel releases it when the process dies."""
    with _lock_file(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: in use by another sandbox; choose another folder with --dir") from None
        (folder / "sandbox.json").unlink(missing_ok=True)  # left by a killed sandbox
        yield


@contextmanager
def announced(folder: Path, places: Mapping[str, Place]) -> Iterator[None]:
    """Keep ``sandbox.json`` while the sandbox serves."""
    path = folder / "sandbox.json"
    labels = {label: place.as_json() for label, place in places.items() if label != DEFAULT}
    content = {**places[DEFAULT].as_json(), "labels": labels, "pid": os.getpid()}
    write_private(path, json.dumps(content, indent=1).encode() + b"\n", _PUBLIC_FILE)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _lock_file(folder: Path) -> TextIO:
    try:
        private_folder(folder)
        return (folder / "lock").open("w")
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: cannot be used for the PKI: {error.strerror}") from error
