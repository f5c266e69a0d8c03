"""Options that several verbs share, each defined once, and how the command line reads numbers and choices.

Loads nothing of what the verbs do: help needs it.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from estsim.errors import UsageError
from estsim.units import shown

Choice = TypeVar("Choice", bound=StrEnum)
_MOST_DIGITS: Final = 20


def number(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers within bounds, which says what it expects."""
    expected = f"must be a number from {low} to {high}" if high is not None else f"must be a number, at least {low}"

    def read(text: str) -> int:
        digits = str(text).strip()
        value = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS else None
        if value is None or value < low or (high is not None and value > high):
            raise typer.BadParameter(f"{expected} (got {shown(text)})")
        return value

    return read


def choice(kind: type[Choice]) -> Callable[[str], Choice]:
    """Return a reader of one of several words, which says which there are."""
    *most, last = [each.value for each in kind]
    expected = f"{', '.join(most)} or {last}"

    def read(text: str) -> Choice:
        try:
            return kind(text)
        except ValueError:
            raise typer.BadParameter(f"must be {expected} (got {shown(text)})") from None

    return read


def words_of(kind: type[StrEnum]) -> Callable[[], list[str]]:
    """Return what a shell completes a choice with."""
    return lambda: [each.value for each in kind]


def settings_of(texts: Iterable[str] | None) -> tuple[tuple[str, str], ...]:
    """Read each KEY=VALUE of ``--set``; raises UsageError."""
    return tuple(map(_setting, texts or ()))


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set: expected KEY=VALUE, such as cohorts.meters.devices=100 (got {text})")
    return key, value


Url = Annotated[str | None, typer.Option(help="URL of the EST server; overrides target.url.")]
Trust = Annotated[Path | None, typer.Option(help="PEM file with the server's CA certificates.")]
Devices = Annotated[
    int | None, typer.Option(parser=number(1), metavar="N", help="Total devices, split across cohorts in proportion.")
]
Duration = Annotated[str | None, typer.Option(help="Maximum duration, such as 90s or 10m.")]
Seed = Annotated[int | None, typer.Option(parser=number(0), metavar="N", help="Random seed; overrides the scenario's.")]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Import the Python classes that the scenario names (behaviour).")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key: cohorts.meters.devices=100.")
]
