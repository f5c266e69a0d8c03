"""A sandbox of our own for one run, less its process: its private folder, where it says it is, what it is told.

Starts and waits for nothing: the drivers do, on trio and in plain blocking calls.
"""

import json
import logging
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from estsim.errors import UsageError
from estsim.fleet.factory import Factory
from estsim.scenario.target_url import TargetUrl, parse_url
from estsim.server.changes import CHANGED_FILE, addressed

START_S: Final = 120.0  # a long chain of RSA-4096 keys takes half a minute to make
CHANGE_S: Final = 5.0
STOP_S: Final = 6.0
POLL_S: Final = 0.02

_LOG: Final = logging.getLogger(__name__)
_LAST_WORDS: Final = 400


@dataclass(slots=True, kw_only=True)
class OwnSandbox:
    """A running sandbox: where it is, what trusts it, and the manufacturer whose devices it trusts.

    ``pki`` is the folder of the trust center's authorities, with their keys: it lives in our private folder. ``label``
    is the trust center that the fleet goes to, None for the default one.
    """

    url: TargetUrl
    trust: Path
    factory: Factory
    database: Path
    pki: Path
    label: str | None = None
    changes: int = field(default=0, init=False)

    @property
    def folder(self) -> Path:
        """Where it keeps everything, as ``estsim pending`` wants it."""
        return self.database.parent

    def change_order(self, changes: Mapping[str, object]) -> bytes:
        """Return the line that tells it to go on with other values at dotted paths of its configuration.

        Paths are within the trust center of the fleet where they do not begin with ``trust_centers.NAME``.
        """
        self.changes += 1
        return _line({"set": addressed(changes, self.label), "number": self.changes})

    def has_changed(self) -> bool:
        """Say whether it goes on as the last change has it; raises UsageError where it cannot, and changed nothing."""
        answer = self._answer()
        if answer is not None and answer["error"]:
            raise UsageError(str(answer["error"]))
        return answer is not None

    def _answer(self) -> dict[str, Any] | None:
        """Return what it said to the last change, None as long as it has not."""
        try:
            said = json.loads((self.folder / CHANGED_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return said if said.get("number") == self.changes else None


def begin_order(wall_epoch_s: float) -> bytes:
    """Return the line that tells when the run's clock begins (UNIX seconds): windows of faults count from there."""
    return _line({"begin": wall_epoch_s})


def _line(order: Mapping[str, object]) -> bytes:
    return f"{json.dumps(order)}\n".encode()


@dataclass(frozen=True, slots=True)
class Quarters:
    """The private folder of a sandbox."""

    private: Path

    @property
    def errors(self) -> Path:
        """Where its process writes on stderr."""
        return self.private / ".stderr"

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

    def furnish(self, config: str, factories: Mapping[str, Factory]) -> None:
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
            "factory": Factory.read(born),
            "database": self._folder / "sandbox.sqlite",
            "pki": born.parent,
            "label": label,
        }

    def failure(self, code: int | None) -> str:
        """Return why it does not listen, its process's exit code given, None if it still runs."""
        ending = f"ended with code {code}" if code is not None else "did not come up"
        words = self.errors.read_text(encoding="utf-8", errors="replace").strip()[-_LAST_WORDS:]
        return f"the sandbox {ending} within {START_S:g} s: {words or 'it said nothing'}"

    def keep_log(self, folder: Path) -> None:
        """Copy its exchange log beside the run's own rows: who checks one against the other needs both."""
        log = self._folder / "sandbox.sqlite"
        if not (log.exists() and folder.is_dir()):
            return
        try:
            with closing(sqlite3.connect(log)) as source, closing(sqlite3.connect(folder / log.name)) as copy:
                source.backup(copy)  # also what one that was killed had not folded into its file
        except sqlite3.Error as error:
            _LOG.warning("the sandbox's exchange log could not be kept: %s", error)


@contextmanager
def quarters(config: str, factories: Mapping[str, Factory]) -> Generator[Quarters, None, None]:
    """Give a private folder for a sandbox of this configuration, gone with all that is in it at the end.

    ``factories`` are authorities made for the run; their certificates, not their keys, go to the sandbox.
    """
    private = Path(tempfile.mkdtemp(prefix="estsim-"))  # 0700
    try:
        place = Quarters(private)
        place.furnish(config, factories)
        yield place
    finally:
        shutil.rmtree(private, ignore_errors=True)
