"""Reads summary.json's nested blocks without trust: what is missing, null or of another kind is None or empty.

A report must come out of every run, also of one that an older or newer estsim left behind.
"""

from collections.abc import Mapping, Sequence

Block = Mapping[str, object]


def block(source: Block, *path: str) -> Block:
    """Return the block at the path, empty where there is none."""
    found: object = source
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def blocks(source: Block, key: str) -> tuple[Block, ...]:
    """Return the blocks in the list under the key."""
    found = source.get(key)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ()
    return tuple(entry for entry in found if isinstance(entry, Mapping))


def number(source: Block, key: str) -> float | None:
    """Return the number under the key."""
    found = source.get(key)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def whole(source: Block, key: str) -> int:
    """Return the count under the key, 0 where there is none."""
    found = source.get(key)
    return found if isinstance(found, int) else 0


def text(source: Block, key: str) -> str:
    """Return the text under the key, empty where there is none."""
    found = source.get(key)
    return found if isinstance(found, str) else ""


def counts(source: Block) -> dict[str, int]:
    """Return those entries of a block that count something, zeros left out."""
    return {name: value for name, value in source.items() if isinstance(value, int) and value and value is not True}
