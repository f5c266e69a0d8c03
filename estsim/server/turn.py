"""A call's hold on what it asks for, from its decision until the outcome is on record."""

from estsim.server.answer import Outcome
from estsim.server.policy import IssuePolicy, Pending, Request


class Turn:
    """One call's hold on its identity and key: two requests under way at once must not become two certificates.

    What the policy had of them before comes back, unless the outcome is on record: who was told 503 was told no time to
    come again.
    """

    def __init__(self, in_hand: set[tuple[bytes, bytes]], policy: IssuePolicy) -> None:
        self._in_hand = in_hand
        self._policy = policy
        self._request: Request | None = None
        self._before: Pending | None = None

    def take(self, request: Request) -> bool:
        """Take a request in hand; False where another one of its identity, for its key, is."""
        name = (request.identity, request.key)
        if name in self._in_hand:
            return False
        self._in_hand.add(name)
        self._request, self._before = request, self._policy.kept(request)
        return True

    def done(self, outcome: Outcome) -> None:
        """Let what was decided stand, now that the store knows, and forget what was pending and is issued."""
        if self._request is not None:
            self._before = self._policy.kept(self._request)
        if outcome.settled is not None:
            self._policy.issued(outcome.settled)
            self._before = None

    def end(self) -> None:
        """Let go."""
        if self._request is None:
            return
        self._in_hand.discard((self._request.identity, self._request.key))
        self._policy.restore(self._request, self._before)
