"""The refusal of a file or folder that a scenario names and that cannot be read."""

from pathlib import Path

from estsim.errors import UnitError
from estsim.units import shown


def unreadable(path: Path, error: Exception) -> UnitError:
    """Return the refusal, with the system's reason; a name that no system takes is told without its folder."""
    reason, got = (error.strerror, path) if isinstance(error, OSError) else (error, shown(path.name))
    return UnitError(f"cannot be read: {reason} (got {got})")
