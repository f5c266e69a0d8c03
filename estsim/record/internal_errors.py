"""Internal errors: unexpected exceptions, so bugs of estsim, as bounded values that merge.

Errors of one type from one place are one *kind*: it is counted, and its traceback is kept once. An exception becomes
text here and nowhere else (:mod:`estsim.record.exceptions`). Noting one never fails: a bug that cannot be
described is counted all the same. A shortage of the machine is no bug: its resource and its time are kept.
"""

from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from estsim.errors import BEHAVIOUR, SHORTAGES, leaves, shortage
from estsim.record.exceptions import MAX_TRACE, Secrets, described, line_of, traced
from estsim.units import counted

INTERNAL_ERROR: Final = "internal_error"  # the state of the devices that one stopped, and the mark of a kind of them
MAX_KINDS: Final = 20  # more kinds have a common cause
_MAX_LEAVES: Final = 16  # exceptions of one group
_NUMBERS: Final = 8  # devices that are named


@dataclass(slots=True)
class InternalError:
    """One kind of internal error; ``devices`` is how many it stopped, ``numbers`` has the first of them."""

    error: str
    place: str
    trace: str
    first_ns: int
    count: int = 0
    devices: int = 0
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Return the kind in a line."""
        return f"{self.error} at {self.place}"

    def count_one(self, device: int | None) -> None:
        """Count one error; ``device`` is the one that it stopped, if any."""
        self.count += 1
        if device is not None:
            self.devices += 1
            self.numbers = (*self.numbers, device)[:_NUMBERS]

    def add(self, other: "InternalError") -> None:
        """Add the counts of another process."""
        self.first_ns = min(self.first_ns, other.first_ns)
        self.count += other.count
        self.devices += other.devices
        self.numbers = (*self.numbers, *other.numbers)[:_NUMBERS]


@dataclass(frozen=True, slots=True)
class Noted:
    """A noted exception: its type, its location, and whether it is the first of its kind."""

    error: str
    place: str
    is_new: bool


@dataclass(slots=True)
class InternalErrors:
    """The internal errors of a run, or of a part of it."""

    secrets: Secrets = None
    kinds: dict[tuple[str, str], InternalError] = field(default_factory=dict)
    unlisted: int = 0  # errors of kinds beyond MAX_KINDS
    shortages: dict[str, int] = field(default_factory=dict)  # resources that the machine ran out of, and when first
    _devices: set[int] = field(default_factory=set)
    _devices_elsewhere: int = 0
    _counted_before: frozenset[int] = frozenset()  # devices, of those that this one goes on from

    def __bool__(self) -> bool:
        return self.count > 0 or bool(self.shortages)

    @property
    def count(self) -> int:
        """The number of internal errors."""
        return self.unlisted + sum(kind.count for kind in [*self.kinds.values()])

    @property
    def devices(self) -> int:
        """The number of devices that they stopped."""
        return len(self._devices) + self._devices_elsewhere

    def note(self, error: BaseException, *, at_ns: int, device: int | None = None) -> list[Noted]:
        """Note an exception, or each in a group. Never raises."""
        noted = []
        bugs = [leaf for leaf in islice(leaves(error), _MAX_LEAVES) if not self._is_shortage(leaf, at_ns)]
        stops_device = bool(bugs) and device is not None and device not in self._devices | self._counted_before
        if stops_device and device is not None:
            self._devices.add(device)
        for leaf in bugs:
            name, place = described(leaf)
            kind = self.kinds.get((name, place))
            is_new = kind is None and len(self.kinds) < MAX_KINDS
            if kind is None and is_new:
                kind = self.kinds[name, place] = InternalError(name, place, traced(leaf, self.secrets), at_ns)
            if kind is None:
                self.unlisted += 1
            else:
                kind.count_one(device if stops_device else None)
            stops_device = False
            noted.append(Noted(name, place, is_new))
        return noted

    def _is_shortage(self, error: BaseException, at_ns: int) -> bool:
        what = shortage(error)
        if what is not None:
            self.shortages.setdefault(what, at_ns)
        return what is not None

    def successor(self) -> "InternalErrors":
        """Return one of nothing yet, in which a device that has been counted here is not counted again."""
        return InternalErrors(self.secrets, _counted_before=self._counted_before | self._devices)

    def merge(self, other: "InternalErrors") -> list[InternalError]:
        """Add the errors of another process; returns the kinds that are new here."""
        new = []
        self._devices_elsewhere += other.devices
        self.unlisted += other.unlisted
        for what, at_ns in other.shortages.items():
            self.shortages.setdefault(what, at_ns)
        for key, theirs in other.kinds.items():
            ours = self.kinds.get(key)
            if ours is not None:
                ours.add(theirs)
            elif len(self.kinds) < MAX_KINDS:
                self.kinds[key] = InternalError(theirs.error, theirs.place, theirs.trace, theirs.first_ns)
                self.kinds[key].add(theirs)
                new.append(self.kinds[key])
            else:
                self.unlisted += theirs.count
        return new

    def log(self, version: str) -> str:
        """Return the text of errors.log: ASCII, and at most about 180 KB."""
        found = [*self.kinds.values()]
        further = f" ({self.unlisted} of other kinds)" if self.unlisted else ""
        what = f"{counted(self.count, 'internal error')} of {counted(len(found), 'kind')}{further}"
        lines = [f"estsim {version}: {what}; {counted(self.devices, 'device')} stopped.", *self._whose()]
        for number, kind in enumerate(found, start=1):
            numbers = ", ".join(map(str, kind.numbers))
            more = ", ..." if kind.devices > len(kind.numbers) else ""
            who = f"; stopped {counted(kind.devices, 'device')}: {numbers}{more}" if kind.devices else ""
            times = "once" if kind.count == 1 else f"{kind.count} times, first"
            lines += ["", f"[{number}] {kind}", f"{times} at {kind.first_ns / 1e9:.3f} s of the run{who}", kind.trace]
        return "\n".join(lines) + "\n"

    def _whose(self) -> list[str]:
        own = [is_of_behaviour(kind.error) for kind in self.kinds.values()]
        lines = ["A behaviour's errors are bugs in the scenario's Python class, not in estsim."] if any(own) else []
        if not own or not all(own):
            which = "The other errors" if any(own) else "These"
            lines.append(f"{which} are bugs in estsim, not in the server. Please report them and attach this file.")
        return lines

    def foremost(self) -> str:
        """Return the kind that a single line is about: the first that is a bug of ours, otherwise the first."""
        ours = (kind for kind in self.kinds.values() if not is_of_behaviour(kind.error))
        return str(next(ours, next(iter(self.kinds.values()), None)))

    def packed(self) -> list[Any]:
        """Return the errors as plain lists."""
        kinds = [
            [kind.error, kind.place, kind.trace, kind.first_ns, kind.count, kind.devices, list(kind.numbers)]
            for kind in self.kinds.values()
        ]
        return [self.unlisted, self.devices, kinds, [*self.shortages.items()]]

    @classmethod
    def unpacked(cls, packed: Any) -> "InternalErrors":  # noqa: ANN401 - what msgpack brings
        """Read errors packed by another process, within the same bounds; raises ValueError or TypeError."""
        unlisted, devices, kinds, short = packed
        found = cls(unlisted=_whole(unlisted), _devices_elsewhere=_whole(devices))
        found.shortages = {str(what): int(at_ns) for what, at_ns in short if what in SHORTAGES}
        for error, place, trace, first_ns, count, struck, numbers in islice(kinds, MAX_KINDS):
            name, where = line_of(str(error)), line_of(str(place))
            text = "\n".join(line_of(line) for line in str(trace)[:MAX_TRACE].split("\n"))[:MAX_TRACE]
            found.kinds[name, where] = InternalError(
                name,
                where,
                text,
                int(first_ns),
                _whole(count),
                _whole(struck),
                tuple(_whole(number) for number in numbers[:_NUMBERS]),
            )
        return found


def told(count: int, devices: int, first: str) -> str:
    """Return a sentence about internal errors; ``first`` is the first kind, in a line."""
    struck = f"{counted(devices, 'device')} stopped, the others continued" if devices else "no device was stopped"
    return f"{titled(first)}{f' and {count - 1} more' if count > 1 else ''}; {struck}"


def is_of_behaviour(error: str) -> bool:
    """Say whether an error is one of a user's behaviour class, and no bug of estsim."""
    return error.startswith(BEHAVIOUR)


def titled(error: str) -> str:
    """Return an error with what it is an error of."""
    return f"error in {error}" if is_of_behaviour(error) else f"internal error of estsim: {error}"


def request(error: str) -> str:
    """Return what a user is to do about an error."""
    return "the error is in the behaviour's code, not in estsim" if is_of_behaviour(error) else "please report it"


def _whole(number: Any) -> int:  # noqa: ANN401 - what msgpack brings
    if not isinstance(number, int) or not 0 <= number < 1 << 53:
        raise ValueError("expected a count")
    return number
