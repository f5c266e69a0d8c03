"""One device's story: what it did, what came of it, and what it waited for, as lines of a terminal.

Pure: from the rows that a run recorded of the device. Times stand on the run's clock; an exchange stands at the moment
it was meant to start, so that the waits between the lines are those that the device chose.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, chop_cells
from rich.style import Style

from estsim.figures.text import ABSENT, PARTS, clean, duration, percent
from estsim.record.sample import Enrolment, InternalErrorRow, Sample
from estsim.terminal.ink import ALARM, CAUTION, GOOD, PLAIN, QUIET, STRONG, Line, ink, left, right

_NS: Final = 1e9
_TIME: Final = 11  # cells: 12:34:56.789 fits into the gap after it
_OPERATION: Final = 14
_CAUSE: Final = 9
_ATTEMPT: Final = 3
_CAME: Final = 16
_FIGURE: Final = 8
_INDENT: Final = _TIME + 2
_LEAST_WIDTH: Final = 76  # what the line of an exchange takes
_WORTH_NS: Final = 1_000_000  # what is shorter is not told apart
_STYLES: Final = {"ok": GOOD, "deferred": CAUTION, "challenged": PLAIN, "abandoned": PLAIN}  # the others are failures
_ISSUED: Final = "issued"


@dataclass(frozen=True, slots=True)
class About:
    """Who the story is about; ``subject`` is None where nobody wrote it down."""

    device: int
    cohort: str | None
    subject: str | None
    facts: dict[str, str]
    file: str | None = None  # of its own certificate, where that is known
    met: Sequence[InternalErrorRow] = ()  # bugs of estsim: the first stopped it


def timeline(about: About, exchanges: Sequence[Sample], enrolments: Sequence[Enrolment], width: int) -> list[Line]:
    """Return the story in lines of at most ``width`` cells, in the order in which things happened."""
    teller = _Teller(max(width, _LEAST_WIDTH))
    teller.head(about)
    if not exchanges and not enrolments:
        if not about.met:
            teller.note("no activity recorded: its first enrolment was not due before the record ends")
        _tell_bugs(teller, about.met)
        return teller.lines
    teller.headings()
    sought = {enrolment.number: enrolment for enrolment in enrolments}
    done: dict[int, list[Sample]] = {number: [] for number in sought}
    for sample in exchanges:
        done.setdefault(sample.enrolment, []).append(sample)
    for number in sorted(done):
        _tell(teller, sought.get(number), sorted(done[number], key=lambda sample: sample.attempt))
    _tell_bugs(teller, about.met)
    return teller.lines


def _tell_bugs(teller: "_Teller", met: Sequence[InternalErrorRow]) -> None:
    for bug in met[:1]:
        teller.at(bug.at_ns, f"stopped by an internal error of estsim: {bug.error}", ALARM)
        teller.field("location", bug.place)


class _Teller:
    """Writes the lines, and remembers until when it has told the story, by which exchange, and how a search ended."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[Line] = []
        self.until_ns: int | None = None
        self.last: Sample | None = None
        self.ended = ""

    def head(self, about: About) -> None:
        """Say whose story it is."""
        self._fold(f"device {about.device} of cohort {about.cohort or ABSENT}", "", STRONG)
        self._fold(about.subject or "subject not recorded", "")
        if about.file:
            self._fold(f"bootstrap certificate {about.file}", "")
        facts = about.facts
        run = " ".join(facts[key] for key in ("scenario", "id") if key in facts)
        ending = facts.get("ending", "no end recorded: killed or still running")
        began = f"started {facts['started'][:19].replace('T', ' ')}Z, " if "started" in facts else ""
        self._fold(f"run {run}: {began}{ending}", "", QUIET)

    def headings(self) -> None:
        """Name the columns of the exchanges."""
        words = (
            right("time", _TIME), "  ", left("operation", _OPERATION), " ", left("cause", _CAUSE), " ",
            right("#", _ATTEMPT), "  ", left("outcome", _CAME),
            right("service", _FIGURE), right("response", _FIGURE + 1),
        )  # fmt: skip
        self.lines += [[], [ink("".join(words).rstrip(), QUIET)]]

    def at(self, at_ns: int, text: str, style: Style = STRONG) -> None:
        """Write what happened at a time."""
        self._fold(text, f"{right(moment(at_ns), _TIME)}  ", style)

    def note(self, text: str, style: Style = QUIET) -> None:
        """Write something below what happened."""
        self._fold(text, " " * _INDENT, style)

    def figures(self, figures: Sequence[str]) -> None:
        """Write figures side by side below what happened."""
        self._fold("  ".join(figures), " " * _INDENT, QUIET, gap="  ")

    def field(self, name: str, value: str) -> None:
        """Write a named fact below what happened."""
        self._fold(value, f"{' ' * _INDENT}{name:<10} ", PLAIN)

    def exchange(self, sample: Sample) -> None:
        """Write the line of an exchange."""
        stamps = sample.stamps
        came = f"{sample.kind} {sample.status or ''}".rstrip()
        self.lines.append(
            [
                ink(f"{right(moment(stamps.intended_ns), _TIME)}  "),
                ink(f"{left(sample.operation, _OPERATION)} {left(sample.cause, _CAUSE)} "),
                ink(f"{right(str(sample.attempt), _ATTEMPT)}  "),
                ink(left(came, _CAME), _style(sample)),
                ink(right(duration(stamps.service_ns / _NS), _FIGURE)),
                ink(right(duration(stamps.response_ns / _NS), _FIGURE + 1)),
            ]
        )

    def _fold(self, text: str, start: str, style: Style = PLAIN, *, gap: str = " ") -> None:
        """Write a text after a start, on as many lines as it takes; the ones that follow begin where the first does.

        It is broken where there is a ``gap``.
        """
        room = self.width - cell_len(start)
        for piece in _pieces(clean(text), gap, room):
            self.lines.append([ink(start), ink(piece, style)] if start else [ink(piece, style)])
            start = " " * cell_len(start)


def _pieces(text: str, gap: str, room: int) -> Iterator[str]:
    """Yield a text in pieces of at most ``room`` cells, broken at gaps where there are any."""
    line = ""
    for word in text.split(gap):
        longer = f"{line}{gap}{word}" if line else word
        if cell_len(longer) <= room:
            line = longer
            continue
        if line:
            yield line
        *whole, line = chop_cells(word, room) or [""]
        yield from whole
    yield line


def _tell(teller: _Teller, enrolment: Enrolment | None, exchanges: Sequence[Sample]) -> None:
    """Tell of one certificate sought: its beginning, its exchanges with the waits between, its end."""
    number = enrolment.number if enrolment else exchanges[0].enrolment
    begun_ns = enrolment.intended_ns if enrolment else exchanges[0].stamps.intended_ns
    goal = enrolment.goal.value if enrolment else ""
    if teller.until_ns is not None and begun_ns - teller.until_ns >= _WORTH_NS:
        teller.note(f"… {duration((begun_ns - teller.until_ns) / _NS)} {_until_begun(goal, teller.ended)}")
    teller.at(begun_ns, f"starts enrolment {number}{f' ({goal})' if goal else ''}")
    teller.until_ns, teller.last = begun_ns, None
    for sample in exchanges:
        _tell_wait(teller, sample)
        _tell_exchange(teller, sample)
    if enrolment is not None:
        _tell_end(teller, enrolment)


def _until_begun(goal: str, ended: str) -> str:
    """Return what a device waited for between two searches."""
    if goal == "renew":
        return "until renewal" if ended == _ISSUED else "until the next renewal attempt"
    return "until the next enrolment"


def _tell_wait(teller: _Teller, sample: Sample) -> None:
    """Tell why nothing happened before an exchange, if that took any time."""
    begun_ns = sample.stamps.intended_ns
    if teller.until_ns is None or begun_ns - teller.until_ns < _WORTH_NS:
        return
    teller.note(f"… {duration((begun_ns - teller.until_ns) / _NS)} {_why(sample, teller.last)}")


def _why(sample: Sample, last: Sample | None) -> str:
    """Return what a device waited for before an exchange, after the one before it."""
    if sample.poll is not None:
        form = "" if sample.poll.form == "seconds" else f" ({sample.poll.form})"
        return f"deferred: Retry-After {duration(sample.poll.told_s)}{form}, {_own_part(sample)}"
    if sample.cause.value == "poll":
        return "deferred: no Retry-After, the device's default wait"
    if sample.cause.value == "retry":
        told_s = last.retry_after.wait_s if last is not None and last.retry_after is not None else None
        return "backoff" if told_s is None else f"backoff: Retry-After {duration(told_s)}"
    return f"until the next step ({sample.cause})"


def _own_part(sample: Sample) -> str:
    """Return what the device added to the wait that it was told, or took off it."""
    poll = sample.poll
    if poll is None:
        return ""
    early_ns = poll.deferred_at_ns + round(poll.told_s * _NS) - sample.stamps.intended_ns
    if early_ns >= _WORTH_NS:
        return f"polled {duration(early_ns / _NS)} early"
    return f"device spread {duration(poll.spread_s)}"


def _tell_exchange(teller: _Teller, sample: Sample) -> None:
    teller.exchange(sample)
    figures = [f"{name} {duration(took / _NS)}" for name, took in phases(sample)]
    teller.figures([*figures, *_tls(sample)])
    if sample.retry_after is not None:
        teller.note(_retry_after(sample))
    trouble = " ".join(part for part in (f"in {sample.phase}" if sample.phase else "", sample.trouble or "") if part)
    if trouble or sample.detail:
        style = _style(sample)
        teller.note(": ".join(part for part in (trouble, sample.detail) if part), PLAIN if style is GOOD else style)
    for broken in sample.non_conformances:
        teller.note(f"non-conforming ({broken.rfc_section}): {broken.rule}", CAUTION)
    teller.until_ns, teller.last = sample.stamps.ended_ns, sample


def _style(sample: Sample) -> Style:
    return _STYLES.get(sample.kind.value, ALARM)


def _retry_after(sample: Sample) -> str:
    told = sample.retry_after
    if told is None or told.wait_s is None:
        return f"Retry-After {told.form if told else 'missing'}"
    return f"Retry-After {duration(told.wait_s)}{', a date in the past' if told.past else ''}"


def _tls(sample: Sample) -> list[str]:
    if sample.tls_version is None:
        return []
    how = ", resumed" if sample.resumed else ", connection reused" if sample.reused else ""
    return [f"TLS {sample.tls_version}{how}"]


def phases(sample: Sample) -> list[tuple[str, int]]:
    """Return the phases of an exchange, which add up to its response time.

    The phase that it did not get through takes the rest. Lag and work of the generator's own are told if they
    matter.
    """
    stamps = sample.stamps
    own = [("key", stamps.key_wait_ns), ("lag", stamps.schedule_lag_ns)]
    steps = [
        ("connect", stamps.connected_ns),
        ("handshake", stamps.handshaken_ns),
        ("send", stamps.sent_ns),
        ("wait", stamps.first_byte_ns),
        ("receive", stamps.ended_ns),
    ]
    if sample.reused:
        steps = steps[2:]
    found = [(name, took) for name, took in own if took >= _WORTH_NS]
    at_ns = stamps.started_ns
    for name, reached_ns in steps:
        end_ns = stamps.ended_ns if reached_ns is None else reached_ns
        took = end_ns - at_ns
        if name == "send" and stamps.client_work_ns and reached_ns is not None:
            took -= stamps.client_work_ns
            if stamps.client_work_ns >= _WORTH_NS:
                found.append(("client", stamps.client_work_ns))
        if name != "send" or took >= _WORTH_NS or reached_ns is None:
            found.append((name, took))
        if reached_ns is None:
            break
        at_ns = end_ns
    return found


def _tell_end(teller: _Teller, enrolment: Enrolment) -> None:
    if enrolment.ended_ns is None or enrolment.end is None:
        teller.note(f"enrolment {enrolment.number} is still open at the end of the record", CAUTION)
        return
    if teller.until_ns is not None and enrolment.end.value != _ISSUED:
        waited_ns = enrolment.ended_ns - teller.until_ns
        if waited_ns >= _WORTH_NS:
            teller.note(f"… {duration(waited_ns / _NS)} until the enrolment ends: {enrolment.end}")
    took_ns = enrolment.ended_ns - enrolment.intended_ns
    good = enrolment.end.value == _ISSUED
    ended = f"enrolment {enrolment.number}: {enrolment.end} after {duration(took_ns / _NS)}"
    teller.at(enrolment.ended_ns, ended, GOOD if good else ALARM)
    teller.field("breakdown", _spent(enrolment, took_ns))
    _tell_certificate(teller, enrolment)
    teller.until_ns, teller.ended = enrolment.ended_ns, enrolment.end.value


def _spent(enrolment: Enrolment, whole_ns: int) -> str:
    """Return the parts of the time to certificate that there were."""
    parts = [(label, int(getattr(enrolment, f"{name}_ns"))) for name, label in PARTS.items()]
    told = [f"{name} {duration(took / _NS)} ({percent(took / whole_ns)})" for name, took in parts if took and whole_ns]
    return ", ".join(told) or "nothing"


def _tell_certificate(teller: _Teller, enrolment: Enrolment) -> None:
    if enrolment.serial is None:
        return
    teller.field("serial", enrolment.serial)
    teller.field("issuer", enrolment.issuer or ABSENT)
    teller.field("subject", enrolment.subject or ABSENT)
    teller.field("not after", (enrolment.not_after or ABSENT).replace("T", " ").replace("+00:00", "Z"))
    if enrolment.margin_s is not None:
        teller.field("margin", f"{duration(enrolment.margin_s)} of validity left on the replaced certificate")


def moment(at_ns: int) -> str:
    """Return a time of the run to the millisecond: ``0:03.250``, ``1:02:03.004``."""
    whole_ms = round(at_ns / 1e6)
    minutes, ms = divmod(abs(whole_ms), 60_000)
    hours, minute = divmod(minutes, 60)
    seconds = f"{ms // 1000:02d}.{ms % 1000:03d}"
    sign = "-" if whole_ms < 0 else ""
    return f"{sign}{hours}:{minute:02d}:{seconds}" if hours else f"{sign}{minute}:{seconds}"
