"""The exception tree: what can go wrong on our side, by who has to act on it.

What a server does wrong is an :mod:`estsim.est.outcome`, never an exception. Foreign exceptions are mapped to these
where they enter, with ``from``.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_PROCESSES = "processes or threads"
_SHORTAGES = {
    errno.ENOMEM: "memory",
    errno.EMFILE: "file descriptors",
    errno.ENFILE: "file descriptors",
    errno.ENOSPC: "disk space",
    errno.EDQUOT: "disk space",
    errno.EAGAIN: _PROCESSES,  # of fork; no socket of ours is read before it is ready
}
BEHAVIOUR = "behaviour "  # how the kind of an error begins that is a user's class's, and no bug of estsim
SHORTAGES = frozenset(_SHORTAGES.values())
_MOST_TOLD = 500  # mistakes of one file; with more, it has to be run again anyway


class EstsimError(Exception):
    """The root of everything that estsim raises deliberately; its text is for the user."""


class UnitError(EstsimError, ValueError):
    """A duration, rate, share, size or distribution that cannot be read; the text says what was expected and got."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake in a configuration, as ``fleet.yaml:12:9: cohorts.meters.boot.rate: must be greater than 0``."""

    line: int
    column: int
    path: str
    message: str
    file: Path

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class Doubt(Mistake):
    """A line of a configuration that is valid but probably not meant: ``fleet.yaml:12:9: warning: …``."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: warning: {f'{self.path}: ' if self.path else ''}{self.message}"


class ScenarioError(EstsimError):
    """A scenario or server configuration that cannot be used, with every mistake in file order."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = sorted(mistakes)
        more = len(mistakes) - _MOST_TOLD
        rest = [f"and {more} more"] if more > 0 else []
        super().__init__("\n".join([*map(str, self.mistakes[:_MOST_TOLD]), *rest]))


class UsageError(EstsimError):
    """Invalid options, or a file that cannot be read or written (exit code 2)."""


class UnreadableFile(UsageError):  # noqa: N818 - what the file is
    """A file named by a user that cannot be read; ``reason`` is for callers who word the message themselves."""

    def __init__(self, path: Path, reason: str, *, errno: int | None = None) -> None:
        self.path = path
        self.reason = reason
        self.errno = errno
        super().__init__(f"{path}: cannot be read: {reason}")


class PreflightError(EstsimError):
    """The server could not be reached, verified or set up before the fleet started (exit code 5)."""


class StoreError(EstsimError):
    """A run store that cannot be written or read: a full disk, a foreign file."""


class InternalFailure(EstsimError):  # noqa: N818 - says what it is
    """An internal error that ends something, such as another process of the run, which keeps its traceback."""


class IllegalTransition(EstsimError):  # noqa: N818 - the name of the idea, as in h11
    """An event that is not allowed in the device's state, or a handler that chose a disallowed state: our bug."""


class BehaviourFailed(EstsimError):  # noqa: N818 - reads as the event it is
    """A user's behaviour class that raised, or returned what is no answer: a bug of the user's, which stops a device.

    ``name`` is the class as a scenario names it, ``reason`` what it did, ``place`` the file, line and method.
    """

    def __init__(self, name: str, place: str, reason: str) -> None:
        self.kind = f"{BEHAVIOUR}{name}: {reason}"
        self.place = place
        super().__init__(f"{self.kind} at {place}")


class Phase(StrEnum):
    """The phases of an exchange in which a transport can fail."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    HANDSHAKE = "handshake"
    SEND = "send"
    WAIT = "wait"
    RECEIVE = "receive"


class Trouble(StrEnum):
    """The kind of a transport failure, used by retry policies and verdicts."""

    REFUSED = "refused"  # no listener, no route, unknown name
    RESET = "reset"  # the peer cut the connection
    TIMEOUT = "timeout"  # a deadline of ours passed
    TLS = "tls"  # an alert, or a check of ours that failed
    PROTOCOL = "protocol"  # bytes that are not HTTP/1.1
    GENERATOR = "generator"  # our own machine ran out of ports, descriptors or memory
    NETWORK_STALL = "network_stall"  # the simulated network stalled, until a deadline of ours
    NETWORK_RESET = "network_reset"  # the simulated network reset the connection


class TransportFailed(EstsimError):  # noqa: N818 - reads as the event it is
    """An exchange without a complete answer, by phase.

    ``alert`` is the TLS alert's name with underscores (``unknown_ca``) where one was sent or received, and
    ``verify_code`` OpenSSL's verification code where a check of ours failed; ``advice`` says what would help a client.
    """

    def __init__(
        self,
        phase: Phase,
        trouble: Trouble,
        reason: str,
        *,
        alert: str | None = None,
        verify_code: int | None = None,
        advice: str = "",
    ) -> None:
        self.phase = phase
        self.trouble = trouble
        self.advice = advice
        self.reason = reason
        self.alert = alert
        self.verify_code = verify_code
        super().__init__(f"{phase.value}: {reason}")

    def again(self) -> "TransportFailed":
        """Return a copy of the failure, to raise a stored one again.

        A raised exception refers to the frames that it passed, and these to its owner: a reference cycle that would
        keep a whole connection in memory until the garbage collector runs.
        """
        return TransportFailed(self.phase, self.trouble, self.reason, alert=self.alert, verify_code=self.verify_code)


def is_bug(error: BaseException) -> bool:
    """Whether an exception is a bug: neither raised deliberately by estsim, nor a request to end."""
    if isinstance(error, EstsimError):
        return isinstance(error, IllegalTransition | InternalFailure | BehaviourFailed)
    return isinstance(error, Exception)


def split_bug(error: BaseException, *, on_purpose: bool = False) -> tuple[Exception | None, BaseException | None]:
    """Split an exception into its bugs, and the rest: a cancellation, an interrupt, an exit.

    With ``on_purpose`` the errors that estsim raises deliberately belong to the rest.
    """
    wanted = [each for each in leaves(error) if isinstance(each, Exception) and (is_bug(each) or not on_purpose)]
    if not wanted:
        return None, error
    if isinstance(error, BaseExceptionGroup):
        _, rest = error.split(lambda each: any(each is bug for bug in wanted))
        return ExceptionGroup(error.message, wanted), rest
    return wanted[0], None


@contextmanager
def noting(note: Callable[[Exception], object], *, on_purpose: bool = False) -> Iterator[None]:
    """Pass bugs of the block to ``note``, and continue after it; the rest of :func:`split_bug` is raised."""
    try:
        yield
    except BaseException as error:
        bug, rest = split_bug(error, on_purpose=on_purpose)
        if bug is not None:
            note(bug)
        if rest is error:
            raise
        if rest is not None:
            raise rest from None


def shortage(error: BaseException) -> str | None:
    """Return the resource that the machine ran out of, if an exception says only that, else None.

    It is neither a bug of ours nor a failure of the server.
    """
    short = [_short_of(leaf) for leaf in leaves(error)]
    return next(iter(short), None) if all(short) else None


def _short_of(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError):
        return _SHORTAGES.get(error.errno or 0)
    is_thread = isinstance(error, RuntimeError) and str(error) == "can't start new thread"  # the interpreter's words
    return _PROCESSES if is_thread else None


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of nested groups, or the one that it is."""
    waiting = [error]
    while waiting:
        this = waiting.pop()
        if isinstance(this, BaseExceptionGroup):
            waiting.extend(reversed(this.exceptions))
        else:
            yield this
