"""What a worker says by the clock: that it lives, what it counts, and its questions for the time. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from estsim.locust.worker.acts import Act, AskTime, End, Ending, HandOn, Report, Say, SayAlive, Tell
from estsim.locust.worker.messages import Hello

HEARTBEAT_S: Final = 1.0  # as in locust/runners.py
REPORT_S: Final = 3.0  # the same
WORKER_REPORT_S: Final = 1.0
CALL_S: Final = 5.0  # CONNECT_TIMEOUT there
GREETING_S: Final = 5.0  # after which a master that has not answered our hello knows nothing of estsim
PROOF_S: Final = 0.5
_FIRST_QUESTIONS: Final = 4
_QUESTION_GAP_S: Final = 0.2
_QUESTION_S: Final = 30.0
_UNANSWERED: Final = "its locustfile has no estsim user, or another program listens on that port"


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

    master: str
    patience_s: float
    since_s: float
    _call: _Every = field(default_factory=lambda: _Every(CALL_S))
    _tell: _Every = field(init=False)
    _linked_s: float | None = None
    _is_told: bool = False  # that somebody is there who is no master of estsim's
    _was_ignored: bool = False

    def __post_init__(self) -> None:
        self._tell = _Every(CALL_S, self.since_s + CALL_S)

    def at_once(self) -> None:
        """Call as soon as there is a connection."""
        self._call = _Every(CALL_S)
        self._linked_s = None

    def due(self, now_s: float, *, linked: bool) -> list[Act]:
        """Return what is to be done now."""
        left_s = self.since_s + self.patience_s - now_s
        if left_s <= 0:
            return [self._end()]
        acts: list[Act] = []
        if linked and self._linked_s is None:
            self._linked_s = now_s
        if not linked and self._tell.is_due(now_s):
            acts.append(Tell(f"no master at {self.master} yet; retrying for {left_s:.0f} s"))
        if linked and self._call.is_due(now_s):
            acts.append(Say(Hello()))
        if linked and self._linked_s is not None and now_s >= self._linked_s + GREETING_S and not self._is_told:
            self._is_told = True
            acts.append(Tell(f"no response from an estsim master at {self.master}: {_UNANSWERED}"))
        return acts

    def ignored(self) -> list[Act]:
        """Take note of an order by somebody who has proved nothing; returns what is to be told of it, once."""
        was_ignored, self._was_ignored = self._was_ignored, True
        told = f"ignoring orders from {self.master}: it has not proved that it has the link secret"
        return [] if was_ignored else [Tell(told)]

    def _end(self) -> End:
        if self._is_told or self._was_ignored:
            why = f"no response from an estsim master at {self.master} within {self.patience_s:g} s: {_UNANSWERED}"
            return End(Ending.REFUSED, why)
        return End(Ending.UNREACHABLE, f"no response from a master at {self.master} within {self.patience_s:g} s")


@dataclass(slots=True)
class Rhythm:
    """A worker that a master has taken in."""

    _beat: _Every = field(default_factory=lambda: _Every(HEARTBEAT_S))
    _report: _Every = field(default_factory=lambda: _Every(REPORT_S))
    _worker_report: _Every = field(default_factory=lambda: _Every(WORKER_REPORT_S))
    _proof: _Every = field(default_factory=lambda: _Every(PROOF_S))
    _questions: int = 0
    _ask_s: float = -inf

    def beats(self, now_s: float, state: str) -> list[Act]:
        """Return the heartbeat that is due."""
        return [SayAlive(state)] if self._beat.is_due(now_s) else []

    def asks(self, now_s: float) -> list[Act]:
        """Return the question that only the master of before can answer, on a connection that is new."""
        return [AskTime()] if self._proof.is_due(now_s) else []

    def due(self, now_s: float, users: Mapping[str, int], *, counts: bool) -> list[Act]:
        """Return what else is; ``counts`` says that there is a fleet whose worker reports are wanted."""
        acts: list[Act] = []
        if now_s >= self._ask_s:
            self._questions += 1
            self._ask_s = now_s + (_QUESTION_GAP_S if self._questions < _FIRST_QUESTIONS else _QUESTION_S)
            acts.append(AskTime())
        if self._report.is_due(now_s):
            acts.append(Report(dict(users)))
        if counts and self._worker_report.is_due(now_s):
            acts.append(HandOn())
        return acts
