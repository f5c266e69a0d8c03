"""One device's timeline: its exchanges with their outcomes, the waits between them, and its certificates.

It is made from the rows that a run recorded of the device. Times are on the run's clock. An exchange is shown at its
intended start, so that the waits between exchanges are those that the device chose.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.style import Style

from estsim.figures.text import ABSENT, PARTS, clean, duration, percent
from estsim.record.internal_errors import titled
from estsim.record.sample import Enrolment, InternalErrorRow, Sample
from estsim.terminal.ink import ALARM, CAUTION, GOOD, PLAIN, QUIET, STRONG, Line, hanging, ink, left, right, wrap

_NS: Final = 1e9
_TIME: Final = 11  # cells: 12:34:56.789 fits into the gap after it
_OPERATION: Final = 14
_CAUSE: Final = 9
_ATTEMPT: Final = 3
_OUTCOME: Final = 16
_FIGURE: Final = 8
_INDENT: Final = _TIME + 2
_LEAST_WIDTH: Final = 76  # what the line of an exchange takes
_LEAST_NS: Final = 1_000_000  # shorter waits and phases are left out
_STYLES: Final = {"ok": GOOD, "deferred": CAUTION, "challenged": PLAIN, "abandoned": PLAIN}  # the others are failures
_ISSUED: Final = "issued"


@dataclass(frozen=True, slots=True)
class About:
    """The device that the timeline is of; ``subject`` is None where it was not recorded."""

    device: int
    cohort: str | None
    subject: str | None
    facts: dict[str, str]
    file: str | None = None  # of its bootstrap certificate, where that is known
    met: Sequence[InternalErrorRow] = ()  # internal errors of estsim: the first stopped it


def timeline(about: About, exchanges: Sequence[Sample], enrolments: Sequence[Enrolment], width: int) -> list[Line]:
    """Return the timeline in lines of at most ``width`` cells, in the order of time."""
    writer = _Writer(max(width, _LEAST_WIDTH))
    writer.head(about)
    if exchanges or enrolments:
        writer.headings()
    elif not about.met:
        writer.note("no activity recorded: its first enrolment was not due before the record ends")
    by_number = {enrolment.number: enrolment for enrolment in enrolments}
    samples: dict[int, list[Sample]] = {number: [] for number in by_number}
    for sample in exchanges:
        samples.setdefault(sample.enrolment, []).append(sample)
    for number in sorted(samples):
        _write_enrolment(writer, by_number.get(number), sorted(samples[number], key=lambda sample: sample.attempt))
    for error in about.met[:1]:
        writer.at(error.at_ns, f"stopped by an {titled(error.error)}", ALARM)
        writer.field("location", error.place)
    return writer.lines


class _Writer:
    """Writes the lines; holds the time written so far, the last exchange, and how the last enrolment ended."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[Line] = []
        self.until_ns: int | None = None
        self.last: Sample | None = None
        self.ended = ""

    def head(self, about: About) -> None:
        """Write the device and the run."""
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
        """Write the headings of the exchanges."""
        names = (
            right("time", _TIME), "  ", left("operation", _OPERATION), " ", left("cause", _CAUSE), " ",
            right("#", _ATTEMPT), "  ", left("outcome", _OUTCOME),
            right("service", _FIGURE), right("response", _FIGURE + 1),
        )  # fmt: skip
        self.lines += [[], [ink("".join(names).rstrip(), QUIET)]]

    def at(self, at_ns: int, text: str, style: Style = STRONG) -> None:
        """Write what happened at a time."""
        self._fold(text, f"{right(moment(at_ns), _TIME)}  ", style)

    def note(self, text: str, style: Style = QUIET) -> None:
        """Write a remark, indented."""
        self._fold(text, " " * _INDENT, style)

    def wait(self, until_ns: int, reason: str) -> None:
        """Write for how long nothing happened, and why, unless that was too short."""
        if self.until_ns is not None and until_ns - self.until_ns >= _LEAST_NS:
            self.note(f"… {duration((until_ns - self.until_ns) / _NS)} {reason}")

    def figures(self, figures: Sequence[str]) -> None:
        """Write figures in a row, indented."""
        self._fold("  ".join(figures), " " * _INDENT, QUIET, gap="  ")

    def field(self, name: str, value: str) -> None:
        """Write a named fact, indented."""
        self._fold(value, f"{' ' * _INDENT}{name:<10} ", PLAIN)

    def exchange(self, sample: Sample) -> None:
        """Write the line of an exchange."""
        stamps = sample.stamps
        outcome = f"{sample.kind} {sample.status or ''}".rstrip()
        self.lines.append(
            [
                ink(f"{right(moment(stamps.intended_ns), _TIME)}  "),
                ink(f"{left(sample.operation, _OPERATION)} {left(sample.cause, _CAUSE)} "),
                ink(f"{right(str(sample.attempt), _ATTEMPT)}  "),
                ink(left(outcome, _OUTCOME), _style(sample)),
                ink(right(duration(stamps.service_ns / _NS), _FIGURE)),
                ink(right(duration(stamps.response_ns / _NS), _FIGURE + 1)),
            ]
        )

    def _fold(self, text: str, start: str, style: Style = PLAIN, *, gap: str = " ") -> None:
        """Write a text behind a start, folded to the width at gaps."""
        lines = wrap(clean(text), self.width - cell_len(start), gap=gap)
        self.lines += hanging([ink(start)] if start else [], lines, style)


def _write_enrolment(writer: _Writer, enrolment: Enrolment | None, exchanges: Sequence[Sample]) -> None:
    """Write one enrolment: its start, its exchanges with the waits between them, its end."""
    number = enrolment.number if enrolment else exchanges[0].enrolment
    begun_ns = enrolment.intended_ns if enrolment else exchanges[0].stamps.intended_ns
    goal = enrolment.goal.value if enrolment else ""
    writer.wait(begun_ns, _between_enrolments(goal, writer.ended))
    writer.at(begun_ns, f"starts enrolment {number}{f' ({goal})' if goal else ''}")
    writer.until_ns, writer.last = begun_ns, None
    for sample in exchanges:
        writer.wait(sample.stamps.intended_ns, _reason(sample, writer.last))
        _write_exchange(writer, sample)
    if enrolment is not None:
        _write_end(writer, enrolment)


def _between_enrolments(goal: str, ended: str) -> str:
    """Return what a device waited for between two enrolments."""
    if goal == "renew":
        return "until renewal" if ended == _ISSUED else "until the next renewal attempt"
    return "until the next enrolment"


def _reason(sample: Sample, last: Sample | None) -> str:
    """Return what a device waited for between the last exchange and this one."""
    if sample.poll is not None:
        form = "" if sample.poll.form == "seconds" else f" ({sample.poll.form})"
        return f"deferred: Retry-After {duration(sample.poll.told_s)}{form}, {_own_part(sample)}"
    if sample.cause.value == "poll":
        return "deferred: no Retry-After, the device's default wait"
    if sample.cause.value == "retry":
        wait_s = last.retry_after.wait_s if last is not None and last.retry_after is not None else None
        return "backoff" if wait_s is None else f"backoff: Retry-After {duration(wait_s)}"
    return f"until the next step ({sample.cause})"


def _own_part(sample: Sample) -> str:
    """Return by how much the device polled early, or what it added to the Retry-After."""
    poll = sample.poll
    if poll is None:
        return ""
    early_ns = poll.deferred_at_ns + round(poll.told_s * _NS) - sample.stamps.intended_ns
    if early_ns >= _LEAST_NS:
        return f"polled {duration(early_ns / _NS)} early"
    return f"device spread {duration(poll.spread_s)}"


def _write_exchange(writer: _Writer, sample: Sample) -> None:
    writer.exchange(sample)
    figures = [f"{name} {duration(took / _NS)}" for name, took in phases(sample)]
    writer.figures([*figures, *_tls(sample)])
    if sample.retry_after is not None:
        writer.note(_retry_after(sample))
    trouble = " ".join(part for part in (f"in {sample.phase}" if sample.phase else "", sample.trouble or "") if part)
    if trouble or sample.detail:
        style = _style(sample)
        writer.note(": ".join(part for part in (trouble, sample.detail) if part), PLAIN if style is GOOD else style)
    for broken in sample.non_conformances:
        writer.note(f"non-conforming ({broken.rfc_section}): {broken.rule}", CAUTION)
    writer.until_ns, writer.last = sample.stamps.ended_ns, sample


def _style(sample: Sample) -> Style:
    return _STYLES.get(sample.kind.value, ALARM)


def _retry_after(sample: Sample) -> str:
    found = sample.retry_after
    if found is None or found.wait_s is None:
        return f"Retry-After {found.form if found else 'missing'}"
    return f"Retry-After {duration(found.wait_s)}{', a date in the past' if found.past else ''}"


def _tls(sample: Sample) -> list[str]:
    if sample.tls_version is None:
        return []
    how = ", resumed" if sample.resumed else ", connection reused" if sample.reused else ""
    return [f"TLS {sample.tls_version}{how}"]


def phases(sample: Sample) -> list[tuple[str, int]]:
    """Return the phases of an exchange, which add up to its response time.

    An unfinished phase takes the rest. The generator's lag and work are listed if they are long enough.
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
    found = [(name, took) for name, took in own if took >= _LEAST_NS]
    at_ns = stamps.started_ns
    for name, reached_ns in steps:
        end_ns = stamps.ended_ns if reached_ns is None else reached_ns
        took = end_ns - at_ns
        if name == "send" and stamps.client_work_ns and reached_ns is not None:
            took -= stamps.client_work_ns
            if stamps.client_work_ns >= _LEAST_NS:
                found.append(("client", stamps.client_work_ns))
        if name != "send" or took >= _LEAST_NS or reached_ns is None:
            found.append((name, took))
        if reached_ns is None:
            break
        at_ns = end_ns
    return found


def _write_end(writer: _Writer, enrolment: Enrolment) -> None:
    if enrolment.ended_ns is None or enrolment.end is None:
        writer.note(f"enrolment {enrolment.number} is still open at the end of the record", CAUTION)
        return
    is_issued = enrolment.end.value == _ISSUED
    if not is_issued:
        writer.wait(enrolment.ended_ns, f"until the enrolment ends: {enrolment.end}")
    took_ns = enrolment.ended_ns - enrolment.intended_ns
    ended = f"enrolment {enrolment.number}: {enrolment.end} after {duration(took_ns / _NS)}"
    writer.at(enrolment.ended_ns, ended, GOOD if is_issued else ALARM)
    writer.field("breakdown", _breakdown(enrolment, took_ns))
    _write_certificate(writer, enrolment)
    writer.until_ns, writer.ended = enrolment.ended_ns, enrolment.end.value


def _breakdown(enrolment: Enrolment, whole_ns: int) -> str:
    """Return the parts of the time to certificate that are not zero."""
    parts = [(label, int(getattr(enrolment, f"{name}_ns"))) for name, label in PARTS.items()]
    shown = [f"{name} {duration(took / _NS)} ({percent(took / whole_ns)})" for name, took in parts if took and whole_ns]
    return ", ".join(shown) or "nothing"


def _write_certificate(writer: _Writer, enrolment: Enrolment) -> None:
    if enrolment.serial is None:
        return
    writer.field("serial", enrolment.serial)
    writer.field("issuer", enrolment.issuer or ABSENT)
    writer.field("subject", enrolment.subject or ABSENT)
    writer.field("not after", (enrolment.not_after or ABSENT).replace("T", " ").replace("+00:00", "Z"))
    if enrolment.margin_s is not None:
        writer.field("margin", f"{duration(enrolment.margin_s)} of validity left on the replaced certificate")


def moment(at_ns: int) -> str:
    """Return a time of the run to the millisecond: ``0:03.250``, ``1:02:03.004``."""
    whole_ms = round(at_ns / 1e6)
    minutes, ms = divmod(abs(whole_ms), 60_000)
    hours, minute = divmod(minutes, 60)
    seconds = f"{ms // 1000:02d}.{ms % 1000:03d}"
    sign = "-" if whole_ms < 0 else ""
    return f"{sign}{hours}:{minute:02d}:{seconds}" if hours else f"{sign}{minute}:{seconds}"
