"""The refusal of a file or folder that a scenario names and that cannot be read."""

from pathlib import Path

from estsim.errors import UnitError
from estsim.units import shown


def unreadable(path: Path, reason: str) -> UnitError:
    """Return the refusal with its reason; a name that is not fit for a terminal is told shortened, without folder."""
    got = str(path) if str(path).isprintable() else shown(path.name)
    return UnitError(f"cannot be read: {reason} (got {got})")
