"""Where a server is: its name and port, the addresses behind them, and which of those are known already."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from estsim.net.hostname import is_ip_literal, reference_name


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


class KnownAddresses:
    """Addresses of endpoints, kept for the life of the object; failures are not kept."""

    def __init__(self) -> None:
        self._known: dict[Endpoint, tuple[Address, ...]] = {}

    def known(self, endpoint: Endpoint) -> tuple[Address, ...] | None:
        """Return the addresses if they were asked for before, the one that worked last first."""
        return self._known.get(endpoint)

    def prefer(self, endpoint: Endpoint, worked: Address) -> None:
        """Remember which address worked: it is tried first from now on."""
        known = self._known.get(endpoint, ())
        if known[:1] != (worked,):
            self._known[endpoint] = (worked, *(address for address in known if address != worked))

    def keep(self, endpoint: Endpoint, found: Iterable[tuple[Any, ...]]) -> tuple[Address, ...]:
        """Keep what ``getaddrinfo`` has found, and return it."""
        known = self._known[endpoint] = tuple(dict.fromkeys(Address(entry[0], entry[4]) for entry in found))
        return known


def look_up(endpoint: Endpoint) -> list[tuple[Any, ...]]:
    """Ask the system for a host's addresses, and wait for its answer; raises ``OSError``."""
    name = reference_name(endpoint.host).encode()  # as bytes, for which Python does not ask whether it is a host name
    return list(socket.getaddrinfo(name, endpoint.port, type=socket.SOCK_STREAM))


def read_literal(endpoint: Endpoint) -> list[tuple[Any, ...]] | None:
    """Return the address that an IP literal says, None for a name, which has to be looked up; raises ``OSError``."""
    if not is_ip_literal(reference_name(endpoint.host)):
        return None
    host = endpoint.host.removeprefix("[").removesuffix("]")  # with the zone
    return list(socket.getaddrinfo(host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
