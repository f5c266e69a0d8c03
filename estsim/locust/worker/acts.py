"""What a worker's session wants done: messages sent, the fleet moved, people told."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from estsim.locust.worker.messages import FromWorker


class Ending(Enum):
    """How a worker ends."""

    TOLD = auto()  # by its master
    INTERRUPTED = auto()
    REFUSED = auto()  # by its master, or what it was to play is not what it can play
    UNREACHABLE = auto()


@dataclass(frozen=True, slots=True)
class Say:
    """Send a message."""

    message: FromWorker


@dataclass(frozen=True, slots=True)
class SayAlive:
    """Send a heartbeat, with what this process takes of the machine."""

    state: str


@dataclass(frozen=True, slots=True)
class Report:
    """Send Locust's statistics since the last report."""

    users: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class HandOn:
    """Send a worker report."""

    last: bool = False


@dataclass(frozen=True, slots=True)
class AskTime:
    """Ask for the master's time."""


@dataclass(frozen=True, slots=True)
class SetClock:
    """Take the answer to that."""

    sent_s: float
    master_s: float


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make the devices of an assignment."""

    packed: object


@dataclass(frozen=True, slots=True)
class Boot:
    """Let so many more devices begin."""

    devices: int


@dataclass(frozen=True, slots=True)
class StopDevices:
    """Stop so many, the youngest."""

    devices: int


@dataclass(frozen=True, slots=True)
class StopFleet:
    """Stop all, and say when it is over; ``at_once`` cuts what is under way, else it may end."""

    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Reopen:
    """Open the connection anew, perhaps ``as_another`` worker, whom no master has seen."""

    as_another: bool


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell people."""

    words: str


@dataclass(frozen=True, slots=True)
class End:
    """End; ``why`` is told where it was nobody's wish."""

    how: Ending
    why: str = ""


Act = (
    Say | SayAlive | Report | HandOn | AskTime | SetClock | Prepare | Boot | StopDevices | StopFleet | Reopen
    | Tell | End
)  # fmt: skip
