"""The local addresses that connections leave from: a generator with several has as many times its ports.

A port is taken for one (source address, port, server address, port) only: with Linux' ``IP_BIND_ADDRESS_NO_PORT`` the
kernel chooses it when it connects, and not when it binds, where it would keep it from all other connections.
"""

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.address import Address, Endpoint

_IP_BIND_ADDRESS_NO_PORT: Final = 24  # linux/in.h; Python names it from 3.12 on
_IPV6: Final = 6


@dataclass(frozen=True, slots=True)
class Source:
    """A local address, an IPv4 or IPv6 literal."""

    address: str

    @property
    def family(self) -> socket.AddressFamily:
        """The address family; raises ``ValueError`` for what is no literal."""
        return socket.AF_INET6 if ip_address(self.address).version == _IPV6 else socket.AF_INET

    def reaching(self, addresses: tuple[Address, ...], endpoint: Endpoint) -> tuple[Address, ...]:
        """Return the server's addresses that can be reached from here; raises TransportFailed if there are none."""
        family = self.family
        found = tuple(address for address in addresses if address.family == family)
        if addresses and not found:
            reason = f"{endpoint} has no address of the same family as the source address {self.address}"
            raise TransportFailed(Phase.CONNECT, Trouble.GENERATOR, reason)
        return found

    def bind(self, sock: socket.socket) -> None:
        """Bind a new socket to the address, to no port yet; raises TransportFailed where that cannot be."""
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        try:
            sock.bind((self.address, 0))
        except OSError as error:
            reason = f"the source address {self.address} cannot be used: {os.strerror(error.errno or 0)}"
            raise TransportFailed(Phase.CONNECT, Trouble.GENERATOR, reason) from error


def unusable(sources: Iterable[Source]) -> list[str]:
    """Say of each address that connections cannot leave from why not."""
    problems = []
    for source in sources:
        try:
            with socket.socket(source.family, socket.SOCK_STREAM) as sock:
                source.bind(sock)
        except ValueError:
            problems.append(f"the source address {source.address} is not an IPv4 or IPv6 address")
        except OSError as error:
            problems.append(f"the source address {source.address} cannot be used: {error.strerror or error}")
        except TransportFailed as failed:
            problems.append(failed.reason)
    return problems
