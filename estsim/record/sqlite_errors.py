"""SQLite's errors, turned into StoreError where they enter."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from estsim.errors import StoreError


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreError, in words for whoever has to free the disk."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_FULL:
            raise StoreError(f"{path}: the disk is full") from error
        if code == sqlite3.SQLITE_NOTADB:
            raise StoreError(f"{path}: not an estsim run") from error
        raise StoreError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:  # of SQLite's own words, which quote the names in a damaged file
        raise StoreError(f"{path}: damaged: its names are no text") from error
