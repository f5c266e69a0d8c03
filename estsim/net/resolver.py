"""From a host name to addresses, asked once per endpoint and process.

A simulated fleet is one process, a real one thousands of hosts: without the cache the generator would measure its own
resolver. IP literals are never looked up.
"""

import socket
from dataclasses import dataclass
from typing import Final

import trio

from estsim.errors import Phase
from estsim.net.hostname import is_ip_literal, reference_name
from estsim.net.troubles import transport_failure


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is, as its URL says: host name or IP literal, and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """An address that a TCP socket can connect to."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int]


class Resolver:
    """Addresses of endpoints, kept for the life of the object; failures are not kept."""

    def __init__(self) -> None:
        self._known: dict[Endpoint, tuple[Address, ...]] = {}
        self._asking: dict[Endpoint, trio.Event] = {}

    def known(self, endpoint: Endpoint) -> tuple[Address, ...] | None:
        """Return the addresses if they were asked for before, the one that worked last first."""
        return self._known.get(endpoint)

    async def resolve(self, endpoint: Endpoint) -> tuple[Address, ...]:
        """Return the addresses of an endpoint; raises :class:`TransportFailed` in phase resolve.

        A herd asks once: those who come while the question is open wait for its answer.
        """
        while (known := self._known.get(endpoint)) is None:
            asking = self._asking.get(endpoint)
            if asking is None:
                return await self._ask(endpoint)
            await asking.wait()
        return known

    def prefer(self, endpoint: Endpoint, worked: Address) -> None:
        """Remember which address worked: it is tried first from now on."""
        known = self._known.get(endpoint, ())
        if known[:1] != (worked,):
            self._known[endpoint] = (worked, *(address for address in known if address != worked))

    async def _ask(self, endpoint: Endpoint) -> tuple[Address, ...]:
        """Ask the system, and wake those who wait whatever comes of it."""
        answered = self._asking[endpoint] = trio.Event()
        try:
            name = reference_name(endpoint.host)
            if is_ip_literal(name):
                host = endpoint.host.removeprefix("[").removesuffix("]")
                found = socket.getaddrinfo(host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            else:
                found = await trio.socket.getaddrinfo(name, endpoint.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise transport_failure(error, Phase.RESOLVE, endpoint.host) from error
        else:
            known = tuple(dict.fromkeys(Address(entry[0], entry[4]) for entry in found))  # type: ignore[arg-type]
            self._known[endpoint] = known
            return known
        finally:
            del self._asking[endpoint]
            answered.set()


SHARED: Final = Resolver()
