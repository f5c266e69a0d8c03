"""The start limiter that devices pass before an exchange: so many for each pass of gevent's loop, the others in line.

Without it a herd of ours would begin all at once, and the time that its last needs to get a turn on our processor would
be booked on the server. So it queues here instead, before the exchange is begun, where it is our own schedule lag
(docs/scale.md, rule 2).
"""

from collections import deque
from typing import Final

import gevent
from gevent.event import Event

STARTS_PER_PASS: Final = 8
_NEXT_PASS_S: Final = 1e-6  # a timer, however short, is due after the loop has looked at its sockets; sleep(0) is not


class StartLimiter:
    """Lets greenlets through in the order in which they came."""

    def __init__(self) -> None:
        self._passed = 0
        self._pass = -1  # of the loop, in which so many have passed
        self._line: deque[Event] = deque()

    def __call__(self) -> None:
        """Pass, at once or when it is the caller's turn."""
        this = gevent.get_hub().loop.iteration
        if this != self._pass:
            self._pass, self._passed = this, 0
        if not self._line and self._passed < STARTS_PER_PASS:
            self._passed += 1
            return
        if not self._line:
            gevent.spawn(self._turn)
        turn = Event()
        self._line.append(turn)
        turn.wait()

    def _turn(self) -> None:
        """Let the next ones through, a pass of the loop after a pass, until the line is empty."""
        while self._line:
            gevent.sleep(_NEXT_PASS_S)
            for _ in range(min(STARTS_PER_PASS, len(self._line))):
                self._line.popleft().set()
