"""Which of a server's addresses to try, in turn, and what it means when none of them answers."""

import errno
from collections.abc import Iterator

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.address import Address, Endpoint, KnownAddresses
from estsim.net.source import Source
from estsim.net.troubles import is_ours, transport_failure


class Attempts:
    """The addresses to try, those only that can be reached from ``source``: the driver tells how each attempt ended.

    Raises TransportFailed where none can be reached from there. ``error`` is the last attempt's.
    """

    def __init__(self, endpoint: Endpoint, addresses: tuple[Address, ...], source: Source | None) -> None:
        self._endpoint = endpoint
        self._addresses = addresses if source is None else source.reaching(addresses, endpoint)
        self.error: OSError | None = None

    def __iter__(self) -> Iterator[Address]:
        for address in self._addresses:
            yield address
            if self.error and is_ours(self.error) and self.error.errno != errno.EADDRNOTAVAIL:
                return

    def failed(self, error: OSError) -> None:
        """Take note of an attempt that failed."""
        self.error = error

    def worked(self, address: Address, known: KnownAddresses) -> None:
        """Have the address that answered tried first from now on."""
        if len(self._addresses) > 1:
            known.prefer(self._endpoint, address)

    def failure(self) -> TransportFailed:
        """Return what it is that no address answered."""
        if self.error is None:
            reason = f"{self._endpoint.host}: the name has no address"
            return TransportFailed(Phase.RESOLVE, Trouble.REFUSED, reason)
        return transport_failure(self.error, Phase.CONNECT, str(self._endpoint))
