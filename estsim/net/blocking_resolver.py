"""From a host name to addresses in plain blocking calls, asked once per endpoint and process.

The question is put in a thread of its own, which may outlast whoever asked: the system's resolver has no deadline.
"""

import threading
from typing import Final

from estsim.errors import Phase, TransportFailed
from estsim.est.url import Origin
from estsim.net.address import Address, KnownAddresses, look_up, read_literal
from estsim.net.limit import Limit
from estsim.net.sockets import transport_failure


class _Open:
    """A question that waits for its answer."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.failed: OSError | None = None


class BlockingResolver(KnownAddresses):
    """Addresses of endpoints, kept for the life of the object; failures are not kept."""

    def __init__(self) -> None:
        super().__init__()
        self._asking: dict[Origin, _Open] = {}
        self._lock = threading.Lock()

    def resolve(self, endpoint: Origin, limit: Limit) -> tuple[Address, ...]:
        """Return the addresses of an endpoint; raises :class:`TransportFailed` in phase resolve.

        A herd asks once: those who come while the question is open wait for its answer, as long as their ``limit`` lets
        them.
        """
        literal = self._literal(endpoint)
        if literal is not None:
            return literal
        with self._lock:
            asking = self._asking.get(endpoint)
            if asking is None:
                asking = self._asking[endpoint] = _Open()
                threading.Thread(target=self._ask, args=(endpoint, asking), daemon=True).start()
        wait_s = limit.left_s()
        while not asking.answered.wait(min(wait_s, threading.TIMEOUT_MAX)):
            if not wait_s:
                raise limit.passed()
            wait_s = limit.rest_s()
        if asking.failed is not None:
            raise _failure(asking.failed, endpoint) from asking.failed
        return self._known[endpoint]

    def _literal(self, endpoint: Origin) -> tuple[Address, ...] | None:
        try:
            found = read_literal(endpoint)
        except OSError as error:
            raise _failure(error, endpoint) from error
        return None if found is None else self.keep(endpoint, found)

    def _ask(self, endpoint: Origin, asking: _Open) -> None:
        """Ask the system, and wake those who wait whatever comes of it."""
        try:
            self.keep(endpoint, look_up(endpoint))
        except OSError as error:
            asking.failed = error
        finally:
            with self._lock:
                del self._asking[endpoint]
            asking.answered.set()


def _failure(error: OSError, endpoint: Origin) -> TransportFailed:
    return transport_failure(error, Phase.RESOLVE, endpoint.host)


SHARED: Final = BlockingResolver()
