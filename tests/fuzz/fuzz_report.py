"""What a target reports of an input, and the checks that every text and every figure of a run has to pass."""

import logging
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

SLOW_S: Final = 0.05
"""The most CPU that one input may take: what takes more is run again alone before it counts."""

SECRETS: Final = ("correct-horse-fuzz", "Y29ycmVjdC1ob3JzZS1mdXp6", "PRIVATE KEY")
"""What no row, report or message may hold: the password of the fuzzed device, a stretch of its base64, a key."""


@dataclass(slots=True)
class Report:
    """What became of one input.

    ``steps`` counts the messages that were read, ``cpu_s`` is what the costliest of them took. ``tags`` are what was
    reached (an outcome, a broken rule, an error's kind), ``problems`` what is wrong with estsim.
    """

    number: int
    steps: int = 0
    cpu_s: float = 0.0
    tags: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Target(Protocol):
    """A part of estsim that inputs are played against; made once for each process."""

    def play(self, seed: int, numbers: range) -> Iterator[Report]:
        """Play the inputs of these numbers, each reported; undeclared exceptions are problems, too."""

    def close(self) -> None:
        """Let go of what was opened."""


def text_problems(what: str, text: object, *, longest: int = 1000, quotes: bool = False) -> Iterator[str]:
    """Yield what is wrong with a text that people will read: control characters, no end, secrets unless it quotes."""
    if not isinstance(text, str):
        yield f"{what} is no text: {text!r}"
        return
    if not text.isprintable():
        yield f"{what} is not printable: {text[:200]!a}"
    if len(text) > longest:
        yield f"{what} has {len(text)} characters: {text[:60]!a}"
    for secret in SECRETS:
        if secret in text and not quotes:
            yield f"{what} holds a secret: {text[:200]!a}"


class CpuWatch:
    """Measures estsim's own CPU, a step at a time: what the fuzzer itself does in between is left out."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._mark_ns = time.process_time_ns()

    def step(self) -> None:
        """End a step, and begin the next."""
        now_ns = time.process_time_ns()
        self.longest_s = max(self.longest_s, (now_ns - self._mark_ns) / 1e9)
        self._mark_ns = now_ns

    @contextmanager
    def away(self) -> Iterator[None]:
        """End a step, do what does not count, and begin the next step."""
        self.step()
        try:
            yield
        finally:
            self._mark_ns = time.process_time_ns()


@contextmanager
def noting_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Note every warning of Python's while the block runs, however often it comes, and let none become an error."""
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        yield noted


def warning_problems(noted: list[warnings.WarningMessage]) -> Iterator[str]:
    """Yield the warnings noted, and forget them."""
    for each in noted:
        yield f"warning: {each.category.__name__}: {each.message}"
    noted.clear()


class LogKeeper(logging.Handler):
    """Keeps what estsim logs while its block runs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._records: list[logging.LogRecord] = []

    def __enter__(self) -> Self:
        logging.getLogger("estsim").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("estsim").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._records.append(record)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the lines kept, and forget them: nothing that a peer does is worth a traceback."""
        for record in self._records:
            message = record.getMessage()
            if record.exc_info:
                told = "".join(traceback.format_exception(record.exc_info[1]))
                yield f"undeclared exception, logged: {told}"
            elif record.levelno >= logging.ERROR:
                yield f"logged an error: {message}"
            yield from text_problems("a line of the log", message)
        self._records.clear()
