"""Suggestions for misspelt words: ``did you mean 'devices'?``.

Pure, and bounded in time: a thousand misspelt names cost no more than a few hundred.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache
from typing import Final

_LONGEST_WORD: Final = 64  # longer words get no suggestion
_NEAR: Final = 0.65  # "retries" still means "retry", "events" no longer "devices"
_MOST_COMPARED: Final = 100
_KEPT: Final = 1024


def nearest(word: str, known: Iterable[str], *, of_all: bool = False) -> str | None:
    """Return the nearest known word, None where none is near.

    Of more than a hundred, only words of the same first letter and similar length are compared, unless ``of_all``.
    """
    names = known if isinstance(known, tuple) else tuple(known)
    if len(word) > _LONGEST_WORD:
        return None
    if len(names) > _MOST_COMPARED and not of_all:
        alike = (name for name in names if name[:1] == word[:1] and abs(len(name) - len(word)) <= 2)  # noqa: PLR2004
        names = tuple(name for name, _ in zip(alike, range(_MOST_COMPARED), strict=False))
    return _nearest(word, names)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'devices'?)`` if a known word is near, else an empty text."""
    found = nearest(word, known)
    return f" (did you mean '{found}'?)" if found else ""


def likeness(word: str, other: str) -> float:
    """Return the similarity of two words, from 0 to 1."""
    return SequenceMatcher(None, word, other).ratio() if max(len(word), len(other)) <= _LONGEST_WORD else 0.0


@lru_cache(maxsize=_KEPT)
def _nearest(word: str, names: tuple[str, ...]) -> str | None:
    return next(iter(get_close_matches(word, names, n=1, cutoff=_NEAR)), None)
