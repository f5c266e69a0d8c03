"""From a host name to addresses under trio, asked once per endpoint and process.

A simulated fleet is one process, a real one thousands of hosts: without the cache the generator would measure its own
resolver. IP literals are never looked up.
"""

import socket
from typing import Final

import trio

from estsim.errors import Phase
from estsim.est.url import Origin
from estsim.net.address import Address, KnownAddresses, read_literal
from estsim.net.server_checks import reference_name
from estsim.net.sockets import transport_failure

__all__ = ["SHARED", "Address", "Origin", "Resolver"]


class Resolver(KnownAddresses):
    """Addresses of endpoints, kept for the life of the object; failures are not kept."""

    def __init__(self) -> None:
        super().__init__()
        self._asking: dict[Origin, trio.Event] = {}

    async def resolve(self, endpoint: Origin) -> tuple[Address, ...]:
        """Return the addresses of an endpoint; raises :class:`TransportFailed` in phase resolve.

        A herd asks once: those who come while the question is open wait for its answer.
        """
        while (known := self._known.get(endpoint)) is None:
            asking = self._asking.get(endpoint)
            if asking is None:
                return await self._ask(endpoint)
            await asking.wait()
        return known

    async def _ask(self, endpoint: Origin) -> tuple[Address, ...]:
        """Ask the system, and wake those who wait whatever comes of it."""
        answered = self._asking[endpoint] = trio.Event()
        try:
            found = read_literal(endpoint) or await trio.socket.getaddrinfo(
                reference_name(endpoint.host), endpoint.port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise transport_failure(error, Phase.RESOLVE, endpoint.host) from error
        else:
            return self.keep(endpoint, found)
        finally:
            del self._asking[endpoint]
            answered.set()


SHARED: Final = Resolver()
