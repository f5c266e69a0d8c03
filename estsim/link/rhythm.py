"""What a worker says by the clock: that it lives, what it counts, and its questions for the time. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from estsim.link.acts import Act, AskTime, End, Ending, HandOn, Report, Say, SayAlive, Tell
from estsim.link.messages import ClientReady, Hello

HEARTBEAT_S: Final = 1.0  # as in locust/runners.py
REPORT_S: Final = 3.0  # the same
PARCEL_S: Final = 1.0
CALL_S: Final = 5.0  # CONNECT_TIMEOUT there
GREETING_S: Final = 5.0  # after which a master that has not answered our hello knows nothing of estsim
_FIRST_QUESTIONS: Final = 4
_QUESTION_GAP_S: Final = 0.2
_QUESTION_S: Final = 30.0


@dataclass(slots=True)
class _Every:
    """A thing done now and then."""

    period_s: float
    next_s: float = -inf

    def is_due(self, now_s: float) -> bool:
        """Say whether it is to be done now, and plan the next."""
        if now_s < self.next_s:
            return False
        self.next_s = now_s + self.period_s
        return True


@dataclass(slots=True)
class Calls:
    """A worker that looks for its master since ``since_s``, and gives up when its patience is over."""

    hello: Hello
    master: str
    patience_s: float
    since_s: float
    _call: _Every = field(default_factory=lambda: _Every(CALL_S))
    _tell: _Every = field(init=False)

    def __post_init__(self) -> None:
        self._tell = _Every(CALL_S, self.since_s + CALL_S)

    def at_once(self) -> None:
        """Call as soon as there is a connection."""
        self._call = _Every(CALL_S)

    def due(self, now_s: float, *, linked: bool) -> list[Act]:
        """Return what is to be done now."""
        left_s = self.since_s + self.patience_s - now_s
        if left_s <= 0:
            return [End(Ending.UNREACHABLE, f"no master has answered at {self.master} for {self.patience_s:g} s")]
        acts: list[Act] = []
        if self._tell.is_due(now_s):
            acts.append(Tell(f"no master at {self.master} yet, trying for another {left_s:.0f} s"))
        if linked and self._call.is_due(now_s):
            acts += [Say(ClientReady()), Say(self.hello)]
        return acts


@dataclass(slots=True)
class Rhythm:
    """A worker that a master has taken in at ``since_s``."""

    master: str
    since_s: float
    _beat: _Every = field(default_factory=lambda: _Every(HEARTBEAT_S))
    _report: _Every = field(default_factory=lambda: _Every(REPORT_S))
    _parcel: _Every = field(default_factory=lambda: _Every(PARCEL_S))
    _questions: int = 0
    _ask_s: float = -inf
    _is_greeted: bool = False

    def greeted(self) -> None:
        """Take note that the master knows estsim."""
        self._is_greeted = True

    def beats(self, now_s: float, state: str) -> list[Act]:
        """Return the heartbeat that is due."""
        return [SayAlive(state)] if self._beat.is_due(now_s) else []

    def due(self, now_s: float, users: Mapping[str, int], *, counts: bool) -> list[Act]:
        """Return what else is; ``counts`` says that there is a fleet whose parcels are wanted."""
        acts: list[Act] = []
        if now_s >= self._ask_s:
            self._questions += 1
            self._ask_s = now_s + (_QUESTION_GAP_S if self._questions < _FIRST_QUESTIONS else _QUESTION_S)
            acts.append(AskTime())
        if self._report.is_due(now_s):
            acts.append(Report(dict(users)))
        if counts and self._parcel.is_due(now_s):
            acts.append(HandOn())
        if not self._is_greeted and now_s >= self.since_s + GREETING_S:
            self._is_greeted, self._ask_s = True, inf  # nobody answers: ask no more
            acts.append(Tell(f"{self.master} knows nothing of estsim: no user of its locustfile is estsim's. Waiting"))
        return acts
