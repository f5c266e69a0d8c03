"""What a device keeps of its line between two exchanges: an idle connection, a TLS session to resume.

Of a device that gets a new identity nothing is kept: a session of the old one would silently present the old
certificate (docs/architecture.md, "The device").
"""

from functools import partial
from math import inf

from estsim.fleet.device_connection import DeviceConnection
from estsim.fleet.devices import Device
from estsim.fleet.paths import path_of
from estsim.fleet.server_access import ServerAccess
from estsim.net.io import Io
from estsim.net.shaping import Link
from estsim.net.tls import Resumable
from estsim.pki.credentials import LoadedCredential
from estsim.scenario.plan import Network


class KeptConnection:
    """One device's line, given out for an exchange and taken back after it; idle until ``until_s`` of the run."""

    __slots__ = ("_access", "_connections", "_io", "_line", "_session", "device", "until_s")

    def __init__(self, access: ServerAccess, io: Io, device: Device) -> None:
        self.device = device
        self.until_s = inf  # without an idle line
        self._access = access
        self._io = io
        self._line: DeviceConnection | None = None
        self._session: Resumable | None = None
        self._connections = 0  # opened so far over a shaped network

    @property
    def is_idle(self) -> bool:
        """Whether a connection is kept open at the moment."""
        return self._line is not None

    def take(self, credential: LoadedCredential | None) -> DeviceConnection:
        """Give the device its way to the server: the one it kept, if it still is what is wanted, or a new one."""
        if self._access.clock.now_s() >= self.until_s:
            self.drop()
        line, self._line, self.until_s = self._line, None, inf
        if line is not None:
            if line.presents(credential):
                return line
            line.drop()
        cohort = self.device.cohort
        network = cohort.plan.network
        link = None if network is None else partial(self._link, network)
        return DeviceConnection(self._access, self._io, cohort, credential, session=self._session, link=link)

    def give_back(self, line: DeviceConnection, *, keep: bool) -> None:
        """Take a line back: keep its connection if it may be used again, else drop it in the cohort's way.

        Of an exchange that was cut nothing new is kept: it may be the power that went.
        """
        tls = self.device.cohort.plan.tls
        if keep and tls.resume:
            self._session = line.session
        if keep and tls.keep_alive_s > 0 and line.is_idle:
            self.drop()  # of an exchange that this one overtook
            self._line, self.until_s = line, self._access.clock.now_s() + tls.keep_alive_s
        else:
            line.drop()

    def forget(self) -> None:
        """Drop the idle connection and the session: the device has a new identity, or its power is gone."""
        self._session = None
        self.drop()

    def drop(self) -> None:
        """Close the idle connection, if there is one: its time is over."""
        line, self._line, self.until_s = self._line, None, inf
        if line is not None:
            line.drop()

    def _link(self, network: Network) -> Link:
        """Return the network of the device's next connection."""
        self._connections += 1
        device = self.device
        path = path_of(network, seed=device.machine.seed, device=device.index, connection=self._connections)
        return Link(path, self._access.clock.now_ns, self._io)
