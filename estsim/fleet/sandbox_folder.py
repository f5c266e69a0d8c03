"""A sandbox of our own for one run, less its process: its private folder, where it says it is, what it is told.

Starts and waits for nothing: the drivers do, on trio and in plain blocking calls.
"""

import json
import logging
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from errno import ENOSPC
from pathlib import Path
from typing import Any, Final

from estsim.errors import EstsimError, InternalFailure, PreflightError, UsageError
from estsim.fleet.error_log import ERRORS_LOG, write_private
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.target_url import TargetUrl, parse_url
from estsim.server.changes import CHANGED_FILE, UNWRITTEN, addressed

START_S: Final = 120.0  # a long chain of RSA-4096 keys takes half a minute to make
CHANGE_S: Final = 5.0
STOP_S: Final = 6.0
POLL_S: Final = 0.02

_LOG: Final = logging.getLogger(__name__)
_LAST_WORDS: Final = 400
_FULL_BYTES: Final = 1 << 16  # less is left where a store stops to grow
_STDERR: Final = ".stderr"
KEPT_ERRORS: Final = "sandbox-errors.log"
_ROOM_BYTES: Final = 1 << 20  # a sandbox that does not come up with less had no room to


@dataclass(slots=True, kw_only=True)
class OwnSandbox:
    """A running sandbox: where it is, what trusts it, and the manufacturer whose devices it trusts.

    ``pki`` is the folder of the trust center's authorities, with their keys: it lives in our private folder. ``label``
    is the trust center that the fleet goes to, None for the default one.
    """

    url: TargetUrl
    trust: Path
    factory: ManufacturerCA
    database: Path
    pki: Path
    label: str | None = None
    changes: int = field(default=0, init=False)

    @property
    def folder(self) -> Path:
        """Where it keeps everything, as ``estsim pending`` wants it."""
        return self.database.parent

    def bug(self) -> InternalFailure | None:
        """Return what is to be noted of a bug of ours that it has met; its traceback is kept beside the run's rows."""
        if not (self.folder / ERRORS_LOG).exists():
            return None
        return InternalFailure(f"internal error of estsim in the run's sandbox: see {KEPT_ERRORS}")

    def unwritten(self) -> str | None:
        """Return the sentence for a store that it could not write, as on a full disk: such requests got 503."""
        words = _words_in(self.folder.parent / _STDERR).splitlines()
        told = next((line for line in reversed(words) if UNWRITTEN in line), None)
        if told is None and shutil.disk_usage(self.folder).free < _FULL_BYTES:  # then its words had no room either
            told = f"{UNWRITTEN}: {os.strerror(ENOSPC)}"
        return None if told is None else f"in the run's sandbox: {told}"

    def change_order(self, changes: Mapping[str, object]) -> bytes:
        """Return the line that tells it to go on with other values at dotted paths of its configuration.

        Paths are within the trust center of the fleet where they do not begin with ``trust_centers.NAME``.
        """
        return self._numbered({"set": addressed(changes, self.label)})

    def begin_order(self, wall_epoch_s: float) -> bytes:
        """Return the line that tells when the run's clock begins (UNIX seconds): windows of faults count from there."""
        return self._numbered({"begin": wall_epoch_s})

    def _numbered(self, order: Mapping[str, object]) -> bytes:
        self.changes += 1
        return f"{json.dumps({**order, 'number': self.changes})}\n".encode()

    def has_changed(self) -> bool:
        """Say whether the last order is obeyed; raises UsageError where it cannot be, and changed nothing."""
        answer = self._answer()
        if answer is not None and answer["error"]:
            raise UsageError(str(answer["error"]))
        return answer is not None

    def _answer(self) -> dict[str, Any] | None:
        """Return what it said to the last order, None as long as it has not."""
        try:
            said = json.loads((self.folder / CHANGED_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return said if said.get("number") == self.changes else None


@dataclass(frozen=True, slots=True)
class SandboxFolder:
    """The private folder of a sandbox."""

    private: Path

    @property
    def errors(self) -> Path:
        """Where its process writes on stderr."""
        return self.private / _STDERR

    @property
    def command(self) -> list[str]:
        """What starts it; it stops when its standard input ends, which the kernel sees to even if we are killed."""
        serve = [sys.executable, "-m", "estsim", "serve", str(self._settings), "--port", "0"]
        return [*serve, "--dir", str(self._folder), "--with-parent", "--ephemeral"]

    @property
    def _settings(self) -> Path:
        return self.private / ".sandbox.yaml"  # no authority can have a name that begins with a dot

    @property
    def _folder(self) -> Path:
        return self.private / ".sandbox"

    def furnish(self, config: str, factories: Mapping[str, ManufacturerCA]) -> None:
        """Put in what it reads: its configuration, and the certificates of authorities that this names."""
        self._settings.touch(mode=0o600)
        self._settings.write_text(config, encoding="utf-8")
        for name, factory in factories.items():
            (self.private / name).write_bytes(factory.certificate_pem)

    def announced(self, label: str | None) -> dict[str, Any] | None:
        """Return where the trust center of a label is, as keywords of a sandbox; None while it does not listen yet."""
        announcement = self._folder / "sandbox.json"
        if not announcement.exists():
            return None
        said = json.loads(announcement.read_text(encoding="utf-8"))
        place = said if label is None else said["labels"][label]
        born = Path(place["manufacturer"])
        return {
            "url": parse_url(place["url"]),
            "trust": Path(place["trust"]),
            "factory": ManufacturerCA.read(born),
            "database": self._folder / "sandbox.sqlite",
            "pki": born.parent,
            "label": label,
        }

    def failure(self, code: int | None) -> EstsimError:
        """Return why it does not listen, its process's exit code given, None if it still runs."""
        if shutil.disk_usage(self.private).free < _ROOM_BYTES:
            return _no_room(os.strerror(ENOSPC))
        ending = f"ended with code {code}" if code is not None else "did not start"
        words = _words_in(self.errors)[-_LAST_WORDS:]
        return PreflightError(f"the sandbox {ending} within {START_S:g} s: {words or 'no output'}")

    def keep_log(self, folder: Path) -> None:
        """Copy its logs beside the run's own: who checks its exchanges against the rows needs both."""
        with suppress(OSError, UsageError):
            write_private(folder / KEPT_ERRORS, (self._folder / ERRORS_LOG).read_text(encoding="ascii"))
        log = self._folder / "sandbox.sqlite"
        if not (log.exists() and folder.is_dir()):
            return
        kept = folder / log.name
        try:
            with closing(sqlite3.connect(log)) as source, closing(sqlite3.connect(kept)) as copy:
                source.backup(copy)  # also what one that was killed had not folded into its file
        except sqlite3.Error as error:
            with suppress(OSError):
                kept.unlink(missing_ok=True)
            _LOG.warning("cannot save the sandbox's exchange log: %s", error)


@contextmanager
def sandbox_folder(config: str, factories: Mapping[str, ManufacturerCA]) -> Generator[SandboxFolder, None, None]:
    """Give a private folder for a sandbox of this configuration, gone with all that is in it at the end.

    ``factories`` are authorities made for the run; their certificates, not their keys, go to the sandbox. Raises
    UsageError where there is no place or no room for it.
    """
    try:
        private = Path(tempfile.mkdtemp(prefix="estsim-"))  # 0700
    except OSError as error:
        raise _no_room(error.strerror or str(error)) from error
    try:
        place = SandboxFolder(private)
        try:
            place.furnish(config, factories)
        except OSError as error:
            raise _no_room(error.strerror or str(error)) from error
        yield place
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _words_in(path: Path) -> str:
    """Return what is in a file that a process of ours wrote; nothing where it is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _no_room(why: str) -> UsageError:
    return UsageError(
        f"{_temporary()}: cannot create a folder for the sandbox: {why}; set TMPDIR to use another location"
    )


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return os.environ.get("TMPDIR", "the temporary folder")
