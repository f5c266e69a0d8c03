"""What a device keeps of its line between two exchanges: an idle connection, a TLS session to resume.

Of a device that gets a new identity nothing is kept: a session of the old one would silently present the old
certificate (DESIGN, "the device").
"""

from math import inf

from estsim.device.identity import LoadedCredential
from estsim.fleet.devices import Device
from estsim.locust.wire import BlockingLine, BlockingWire
from estsim.net.tls import Resumable


class KeptLine:
    """One device's line, given out for an exchange and taken back after it; idle until ``until_s`` of the run."""

    __slots__ = ("_device", "_line", "_session", "_wire", "until_s")

    def __init__(self, wire: BlockingWire, device: Device) -> None:
        self._wire = wire
        self._device = device
        self._line: BlockingLine | None = None
        self._session: Resumable | None = None
        self.until_s = inf

    def take(self, credential: LoadedCredential | None) -> BlockingLine:
        """Give the device its way to the server: the one it kept, if it still is what is wanted, or a new one."""
        if self._wire.clock.now_s() >= self.until_s:
            self.drop()
        line, self._line, self.until_s = self._line, None, inf
        if line is not None:
            if line.presents(credential):
                return line
            line.drop()
        return self._wire.line(self._device.cohort, credential, session=self._session)

    def give_back(self, line: BlockingLine, *, keep: bool) -> None:
        """Take a line back: keep its connection if it may be used again, else drop it in the cohort's way.

        Of an exchange that was cut nothing new is kept: it may be the power that went.
        """
        tls = self._device.cohort.plan.tls
        if keep and tls.resume:
            self._session = line.session
        if keep and tls.keep_alive_s > 0 and line.is_idle:
            self._line, self.until_s = line, self._wire.clock.now_s() + tls.keep_alive_s
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
