"""The impacts of events on devices, followed to a usable certificate (docs/metrics.md, "One enrolment").

A device that gets its power back recovers when it holds a certificate that is valid: at once, or with that of an
enrolment to come. One that is told to renew has its certificate replaced with the next one. Both are followed per
device, across failed attempts and further power cuts, until the device has nothing left to try.
"""

from math import isfinite
from typing import Final

from estsim.device.commands import Exchange, Stop, WaitUntil
from estsim.device.events import Event, PowerRestored, RenewNow
from estsim.device.faults import shows
from estsim.device.states import State, StopReason
from estsim.est.enrolment import EnrolmentEnd, Goal, ImpactKind
from estsim.fleet.clock import to_ns
from estsim.fleet.devices import Device
from estsim.fleet.records import Records
from estsim.record.sample import Enrolment, Impact

_HELPLESS: Final = frozenset({State.GAVE_UP, State.EXPIRED})  # they have no certificate to replace, and do nothing


class Impacts:
    """Opens, keeps and closes the impacts of a shard's devices."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def event(self, device: Device, event: Event) -> None:
        """Open what an event begins; the machine has taken it, and what it answers is not booked yet."""
        machine = device.machine
        if isinstance(event, PowerRestored) and machine.started and not machine.cuts and not machine.stopped:
            self._open(device, ImpactKind.RECOVERY, to_ns(event.planned_s))
            if machine.lifetime is not None:  # it has kept its certificate, which is valid
                self._close(device, ImpactKind.RECOVERY, EnrolmentEnd.ISSUED, to_ns(event.planned_s))
        elif isinstance(event, RenewNow) and not machine.stopped and machine.state not in _HELPLESS:
            self._open(device, ImpactKind.REPLACEMENT, to_ns(event.planned_s))

    def enrolment_ended(self, device: Device, enrolment: Enrolment) -> None:
        """Close what ends with a certificate, or with a refusal that was expected."""
        if enrolment.ended_ns is None or not device.impacts:
            return
        if enrolment.end is EnrolmentEnd.ISSUED or enrolment.expected:
            for kind in ImpactKind:
                self._close(device, kind, enrolment.end, enrolment.ended_ns, enrolment)

    def command(self, device: Device, command: Exchange | WaitUntil | Stop, now_ns: int) -> None:
        """Close what a device will not come through: it leaves, or waits for nothing but help."""
        if not device.impacts:
            return
        end: EnrolmentEnd | None = None
        if isinstance(command, Stop):
            end = EnrolmentEnd.RETIRED if command.reason is StopReason.RETIRED else None
        elif isinstance(command, WaitUntil) and not isfinite(command.at_s) and device.machine.state is not State.OFF:
            end = EnrolmentEnd.EXPIRED if device.machine.state is State.EXPIRED else EnrolmentEnd.EXHAUSTED
        if end is not None:
            self.leave(device, end, now_ns)

    def leave(self, device: Device, end: EnrolmentEnd, now_ns: int) -> None:
        """Close all that a device has not come through."""
        for kind in ImpactKind:
            self._close(device, kind, end, now_ns)

    def _open(self, device: Device, kind: ImpactKind, since_ns: int) -> None:
        if any(impact.kind is kind for impact in device.impacts):
            return  # struck again before it came through: it counts from the first time
        sought = Goal.ENROLL if device.machine.lifetime is None else Goal.RENEW
        impact = Impact(device.index, device.cohort.plan.name, kind, since_ns)
        impact.to_be_refused = shows(device.cohort.fault, sought)
        device.impacts += (impact,)
        self._records.impact_began(impact)

    def _close(
        self,
        device: Device,
        kind: ImpactKind,
        end: EnrolmentEnd | None,
        ended_ns: int,
        enrolment: Enrolment | None = None,
    ) -> None:
        for impact in device.impacts:
            if impact.kind is kind:
                impact.end, impact.ended_ns = end, max(ended_ns, impact.since_ns)
                if enrolment is not None:
                    impact.expected, impact.own_delay_ns = enrolment.expected, enrolment.own_delay_ns
                self._records.impact_ended(impact)
        device.impacts = tuple(impact for impact in device.impacts if impact.kind is not kind)
