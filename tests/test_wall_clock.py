"""The wall clock may be set while estsim runs: only these modules read it, once or for what other machines read."""

import ast
from pathlib import Path
from typing import Final

import estsim

_PACKAGE: Final = Path(estsim.__file__).parent
# Why each may: everything else measures with clocks that nobody sets.
_READERS: Final = {
    "cli/pending.py",  # the moment at which a person decides
    "engine/sandbox.py",  # a run's beginning, told to its sandbox
    "fleet/clock.py",  # the beginning of a run, once
    "fleet/devices.py",  # the age of certificates made before a run, once
    "locust/worker/worker.py",  # compared with the master's, again and again
    "locust/master/worker_registry.py",  # compared with its workers', again and again
    "locust/users/worker.py",  # the same in a worker of Locust's own
    "net/sockets.py",  # compared with the kernel's stamps of arrival, and bounded where they are used
    "scenario/credential_doubts.py",  # whether certificates in files are valid, once
    "server/clock.py",  # the sandbox's beginning, once
}


def _reads_wall_clock(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in ("time", "time_ns")
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
        for node in ast.walk(tree)
    )


def test_only_these_modules_read_the_wall_clock() -> None:
    """A clock that is set back an hour must not hold anything back for an hour, nor one set forward end anything."""
    readers = {str(path.relative_to(_PACKAGE)) for path in _PACKAGE.rglob("*.py") if _reads_wall_clock(path)}
    assert readers == _READERS
