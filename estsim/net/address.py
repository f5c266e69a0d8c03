"""The addresses of a server: looking them up, and caching them."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from estsim.est.url import Origin
from estsim.net.server_checks import is_ip_literal, reference_name


@dataclass(frozen=True, slots=True)
class Address:
    """An address that a TCP socket can connect to."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int]


class KnownAddresses:
    """A cache of servers' addresses for the life of the object; failures are not cached."""

    def __init__(self) -> None:
        self._known: dict[Origin, tuple[Address, ...]] = {}

    def known(self, endpoint: Origin) -> tuple[Address, ...] | None:
        """Return the cached addresses, the one that worked last first."""
        return self._known.get(endpoint)

    def prefer(self, endpoint: Origin, worked: Address) -> None:
        """Note which address worked; it is tried first from now on."""
        known = self._known.get(endpoint, ())
        if known[:1] != (worked,):
            self._known[endpoint] = (worked, *(address for address in known if address != worked))

    def keep(self, endpoint: Origin, found: Iterable[tuple[Any, ...]]) -> tuple[Address, ...]:
        """Cache what ``getaddrinfo`` has found, and return it."""
        known = self._known[endpoint] = tuple(dict.fromkeys(Address(entry[0], entry[4]) for entry in found))
        return known


def look_up(endpoint: Origin) -> list[tuple[Any, ...]]:
    """Look up a host's addresses, blocking; raises ``OSError``."""
    name = reference_name(endpoint.host).encode()  # bytes: Python does not encode them with IDNA
    return list(socket.getaddrinfo(name, endpoint.port, type=socket.SOCK_STREAM))


def read_literal(endpoint: Origin) -> list[tuple[Any, ...]] | None:
    """Return the address of an IP literal, None for a name, which has to be looked up; raises ``OSError``."""
    if not is_ip_literal(reference_name(endpoint.host)):
        return None
    host = endpoint.host.removeprefix("[").removesuffix("]")  # with the zone
    return list(socket.getaddrinfo(host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
