"""Public helpers for tests, in this project and others: a device driven by a script instead of a server.

``ScriptedDevice`` is another driver of the machine: it answers every exchange with the next outcome of a script,
advances time to the end of every wait, and records the machine's commands.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from estsim.device.behaviour import Behaviour
from estsim.device.commands import Command, Exchange, WaitUntil
from estsim.device.custom_behaviour import behaviour_of
from estsim.device.events import Answered, Event, Lifetime, Started, Woke
from estsim.device.machine import Machine
from estsim.device.policy import Policy
from estsim.est.outcome import Deferred, Issued, Outcome, RetryAfter, RetryAfterForm


def deferred(wait_s: float) -> Deferred:
    """Return a deferral with a Retry-After in seconds."""
    return Deferred(RetryAfter(wait_s, RetryAfterForm.SECONDS))


@dataclass(slots=True)
class ScriptedDevice:
    """One machine with a script of outcomes. Exchanges take ``service_s`` each, certificates live ``validity_s``."""

    policy: Policy
    script: Iterable[Outcome]
    seed: int = 1
    device: int = 0
    service_s: float = 0.0
    validity_s: float = 3600.0
    now_s: float = 0.0
    behaviour: type[Behaviour] = Behaviour
    machine: Machine = field(init=False)
    commands: list[Command] = field(init=False, default_factory=list)
    _outcomes: Iterator[Outcome] = field(init=False)

    def __post_init__(self) -> None:
        self.machine = Machine(behaviour_of(self.policy, self.behaviour), seed=self.seed, device=self.device)
        self._outcomes = iter(self.script)

    def run(self) -> list[Command]:
        """Switch the device on and run until it stops, plans nothing more, or the script ends."""
        command = self.tell(Started(self.now_s))
        while (following := self._follow(command)) is not None:
            command = self.tell(following)
        return self.commands

    def tell(self, event: Event) -> Command:
        """Give the machine an event now, and record its command."""
        command = self.machine.step(event, self.now_s)
        self.commands.append(command)
        return command

    def exchanges(self) -> list[Exchange]:
        """Return the exchanges so far."""
        return [command for command in self.commands if isinstance(command, Exchange)]

    def _follow(self, command: Command) -> Event | None:
        if isinstance(command, Exchange):
            outcome = next(self._outcomes, None)
            if outcome is None:
                return None
            self.now_s += self.service_s
            issued = isinstance(outcome, Issued)
            return Answered(
                command.turn, outcome, Lifetime(self.now_s, self.now_s + self.validity_s) if issued else None
            )
        if isinstance(command, WaitUntil) and command.at_s < float("inf"):
            self.now_s = max(self.now_s, command.at_s)
            return Woke(command.turn)
        return None
