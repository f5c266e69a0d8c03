"""Options that several verbs share, each defined once, and how the command line reads numbers and choices.

Help needs it, so it loads nothing of what the verbs do.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from estsim.errors import UsageError
from estsim.units import shown

if TYPE_CHECKING:
    from estsim.scenario.source import Overrides

Choice = TypeVar("Choice", bound=StrEnum)
_MOST_DIGITS: Final = 20


def number(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers within bounds."""
    expected = f"must be a number from {low} to {high}" if high is not None else f"must be a number, at least {low}"

    def read(text: str) -> int:
        digits = str(text).strip()
        value = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS else None
        if value is None or value < low or (high is not None and value > high):
            raise typer.BadParameter(f"{expected} (got {shown(text)})")
        return value

    return read


def choice(kind: type[Choice]) -> Callable[[str], Choice]:
    """Return a parser of one of several words."""
    *most, last = [each.value for each in kind]
    expected = f"{', '.join(most)} or {last}"

    def read(text: str) -> Choice:
        try:
            return kind(text)
        except ValueError:
            raise typer.BadParameter(f"must be {expected} (got {shown(text)})") from None

    return read


def words_of(kind: type[StrEnum]) -> Callable[[], list[str]]:
    """Return the completions of a choice for a shell."""
    return lambda: [each.value for each in kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioOptions:
    """The options that override a scenario, as they were written."""

    url: str | None = None
    trust: Path | None = None
    devices: int | None = None
    duration: str | None = None
    seed: int | None = None
    workers: str | None = None
    strict: bool = False
    settings: Iterable[str] | None = None

    def overrides(self) -> "Overrides":
        """Return them as the loader takes them; raises UsageError."""
        from estsim.scenario.source import Overrides  # noqa: PLC0415 - what --help has no need of

        return Overrides(
            devices=self.devices,
            duration=self.duration,
            seed=self.seed,
            url=self.url,
            trust=self.trust,
            workers=self.workers,
            strict=self.strict,
            set=tuple(map(_setting, self.settings or ())),
        )


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
