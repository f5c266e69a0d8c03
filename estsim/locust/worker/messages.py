"""What a Locust master and its workers say to each other, as values; their bytes are the protocol module's.

Locust has no specification; this was read off its master (``locust/runners.py``), 2.46 and 2.47. Beside Locust's own
messages there are estsim's, all named ``estsim-…``, which Locust hands to whoever registered for them and reports as
unknown where nobody did. Locust's own prove nothing: :mod:`estsim.locust.worker.session` says which of them count, and
when.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from estsim.fleet import master_messages as words

# -- what a worker says


@dataclass(frozen=True, slots=True)
class ClientReady:
    """The worker is there and idle; a master that takes it answers with :class:`Ack`."""

    kind: ClassVar[str] = "client_ready"


@dataclass(frozen=True, slots=True)
class Hello:
    """The worker asks to join; what is in it is :mod:`estsim.locust.worker.peer`'s."""

    kind: ClassVar[str] = words.HELLO


@dataclass(frozen=True, slots=True)
class Join:
    """The worker, to whom the master has proved the secret, proves it as well and is there for a plan."""

    kind: ClassVar[str] = words.JOIN


@dataclass(frozen=True, slots=True)
class Spawning:
    """The worker has taken an order to spawn."""

    kind: ClassVar[str] = "spawning"


@dataclass(frozen=True, slots=True)
class SpawningComplete:
    """As many users are there as were ordered, by their class in the master's locustfile."""

    users: Mapping[str, int]
    kind: ClassVar[str] = "spawning_complete"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker lives; ``state`` is one of ready, spawning and running. CPU is in percent of a core."""

    state: str
    cpu_percent: float
    rss_bytes: int
    kind: ClassVar[str] = "heartbeat"


@dataclass(frozen=True, slots=True)
class Stats:
    """What has been asked and answered since the last one, as :mod:`estsim.locust.worker.stats` makes it."""

    report: Mapping[str, object]
    users: Mapping[str, int]
    kind: ClassVar[str] = "stats"


@dataclass(frozen=True, slots=True)
class ClockAsked:
    """The worker asks what time it is at the master's, at ``sent_s`` of its own wall clock."""

    sent_s: float
    kind: ClassVar[str] = words.CLOCK


@dataclass(frozen=True, slots=True)
class ReportSent:
    """Counts and rows of a run since the last one, and how far this machine's clock is from the master's."""

    run_id: str
    parcel: bytes  # the name that the link has for it
    offset_s: float | None
    round_trip_s: float | None
    last: bool
    kind: ClassVar[str] = words.WORKER_REPORT


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that the worker cannot do, for the master's list of exceptions."""

    text: str
    kind: ClassVar[str] = "exception"


@dataclass(frozen=True, slots=True)
class ClientStopped:
    """No user of the worker is left."""

    kind: ClassVar[str] = "client_stopped"


@dataclass(frozen=True, slots=True)
class Leaving:
    """The worker goes, and says nothing more."""

    kind: ClassVar[str] = "quit"


FromWorker = (
    ClientReady
    | Hello
    | Join
    | Spawning
    | SpawningComplete
    | Heartbeat
    | Stats
    | ClockAsked
    | ReportSent
    | Complaint
    | ClientStopped
    | Leaving
)


# -- what a master says


@dataclass(frozen=True, slots=True)
class Ack:
    """The master has taken the worker in, as its ``index``-th from 0."""

    index: int


@dataclass(frozen=True, slots=True)
class Spawn:
    """So many users are to be there, of each class, in all; sent once a second while their number changes."""

    timestamp_s: float
    users: Mapping[str, int]
    host: str | None = None
    stop_timeout_s: float = 0.0
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many users of all classes."""
        return sum(self.users.values())


@dataclass(frozen=True, slots=True)
class StopOrder:
    """All users are to stop."""


@dataclass(frozen=True, slots=True)
class QuitOrder:
    """The worker is to go."""


@dataclass(frozen=True, slots=True)
class ReconnectOrder:
    """The master has got something that it could not read, and wants a new connection."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The master lives, and knows this worker."""


@dataclass(frozen=True, slots=True)
class AllSpawned:
    """All workers have spawned all users."""


@dataclass(frozen=True, slots=True)
class Proved:
    """The master has proved that it knows the secret, in answer to our hello."""


@dataclass(frozen=True, slots=True)
class Unproved:
    """The master has answered our hello, and has proved nothing."""

    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be played; ``packed`` is to be read as an assignment."""

    packed: object


@dataclass(frozen=True, slots=True)
class ClockTold:
    """It was ``master_s`` at the master's (UNIX seconds) as it got what was sent at ``sent_s`` here."""

    sent_s: float
    master_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The master will not have this worker."""

    why: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message that a worker of this version has no use for."""

    kind: str


FromMaster = (
    Ack
    | Spawn
    | StopOrder
    | QuitOrder
    | ReconnectOrder
    | Beat
    | AllSpawned
    | Proved
    | Unproved
    | Plan
    | ClockTold
    | Refused
    | Unknown
)  # fmt: skip
