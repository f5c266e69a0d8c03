"""The name of a scenario that does not have one of its own: its file's."""

import re
from pathlib import Path


def name_of(path: Path) -> str:
    """Return the file's stem as a name that can be part of a folder's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:64] or "scenario"
