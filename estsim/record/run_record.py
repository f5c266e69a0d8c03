"""The record of a run: the reports of all its processes, merged, for the store, the figures and the verdict.

Whoever leads a run has one. What this process counts itself goes through a recorder like any other's (``own``), whose
report is merged in memory before the record is read. It does no I/O and knows no event loop: twice a second the driver
takes a batch, writes it in a thread, and gives it back if that failed::

    batch = record.take_batch()
    try:
        await trio.to_thread.run_sync(store.write, batch)
    except StoreError as error:
        record.keep(batch, error)
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from estsim.errors import StoreError
from estsim.record.book import TallyBook
from estsim.record.internal_errors import INTERNAL_ERROR, InternalErrors, is_of_behaviour
from estsim.record.per_second import PerSecond
from estsim.record.recorder import Recorder
from estsim.record.rows import FleetStates
from estsim.record.sample import FleetReading, GeneratorReading, MarkRow
from estsim.record.saturation import LOST, WINDOW_S, Saturation, SaturationWatch, of_loss
from estsim.record.slice_counts import SliceCounts, SliceKey
from estsim.record.store import Batch
from estsim.record.worker_report import WorkerReport, fleet_of

_NS: Final = 1_000_000_000
_MARKS_SHOWN: Final = 20
_OWN: Final = 0  # the number of the process that leads, where it plays devices


class RunRecord:
    """What a run has come to; everything on the loop, nothing that blocks it. ``cohorts`` are devices by cohort."""

    def __init__(self, cohorts: Mapping[str, int], own: Recorder) -> None:
        self.devices = dict(cohorts)
        self.own = own
        self.book = TallyBook(cohorts, within_s=own.within_s, phases=own.phases)
        self.saturation = SaturationWatch(max_lag_s=own.max_lag_s, max_cpu=own.max_cpu)
        self.per_second = PerSecond()
        self.fleet_reading = FleetReading(at_ns=0)
        self.readings: dict[int, deque[GeneratorReading]] = {}  # by process, the last 10 s
        self.marks: deque[tuple[float, str]] = deque(maxlen=_MARKS_SHOWN)  # the last, for displays
        self.first_poll: int | None = None  # bin
        self.write_failures = 0
        self.write_error: StoreError | None = None  # of the last write, until one succeeds
        self.lost: Saturation | None = None  # the verdict of the first loss
        self.findings: list[str] = []
        self.internal_errors = InternalErrors()
        self.notices: dict[str, None] = {}  # in the order they came
        self.events_s: list[float] = []  # when something disturbed the fleet
        self.awaiting: str | None = None  # what the run waits for before it goes on
        self._shortages: set[str] = set()  # of this machine, as far as they are marked
        self._pending = Batch()
        self._fleets: dict[int, FleetReading] = {}  # by process
        self._states: dict[str, dict[str, int]] = {}  # by cohort, as last written

    def collect(self) -> None:
        """Merge what this process has counted since the last time."""
        self.merge(_OWN, self.own.take_report())

    def merge(self, process: int, report: WorkerReport) -> None:
        """Add what a process has counted and kept since its last report; rows made elsewhere are kept as they are."""
        self.count(report.counted)
        self._pending.counted.extend(report.counted.items())
        self.per_second.merge(report.pace)
        self.saturation.merge(report.watch)
        if report.first_poll is not None:
            self.first_poll = report.first_poll if self.first_poll is None else min(report.first_poll, self.first_poll)
        readings = [replace(reading, worker=process) for reading in report.readings]
        if readings:
            self.readings.setdefault(process, deque(maxlen=WINDOW_S)).extend(readings)
        for at_ns, text in report.findings:
            self.finding(at_ns, text)
        self.merge_errors(report.internal_errors)
        for at_ns, text in report.notices:
            self.notice(at_ns, text)
        if report.rows:
            self._pending.ready.append(report.rows_of(process))
        else:
            self._pending.extend(replace(report.batch, generator=readings))
        if report.fleet is not None:
            self._fleets[process] = report.fleet
            self.fleet(fleet_of(self._fleets.values()))

    def count(self, counted: Mapping[SliceKey, SliceCounts]) -> None:
        """Add counts to the totals; they must not be changed any more."""
        for (number, cohort, phase), counts in counted.items():
            self.book.merge(number, cohort, phase, counts.tally)

    def merge_errors(self, errors: InternalErrors) -> None:
        """Add the bugs of ours that a process has met."""
        for kind in self.internal_errors.merge(errors):
            self.mark(
                kind.first_ns,
                f"error in {kind}" if is_of_behaviour(kind.error) else f"internal error: {kind}",
                kind=INTERNAL_ERROR,
            )
        for what, at_ns in self.internal_errors.shortages.items():
            if what not in self._shortages:
                self._shortages.add(what)
                self.miss(at_ns=at_ns, told=f"this machine ran out of {what} after {at_ns / _NS:.1f} s")

    def fleet(self, reading: FleetReading) -> None:
        """Take note of where the fleet stands; what has changed since is written."""
        self.fleet_reading = reading
        for cohort, states in reading.cohorts.items():
            if self._states.get(cohort) != states:
                self._states[cohort] = dict(states)
                self._pending.fleet.append(FleetStates(max(0, reading.at_ns) // _NS, cohort, dict(states)))

    def lose(self, process: int, cohorts: dict[str, dict[str, int]], *, at_ns: int, told: str) -> None:
        """Take note that a worker is gone, told in a sentence, and of the state that its devices are in, by cohort."""
        self.miss(at_ns=at_ns, told=told)
        states: Counter[str] = Counter()
        for of_cohort in cohorts.values():
            states.update(of_cohort)
        self.readings.pop(process, None)
        self._fleets[process] = FleetReading(at_ns, dict(states), cohorts=cohorts)
        self.fleet(fleet_of(self._fleets.values()))

    def miss(self, *, at_ns: int, told: str) -> None:
        """Take note of something of the run that is missing, told in a sentence: it cannot be judged."""
        self.lost = self.lost or of_loss(at_ns, told)
        self.mark(at_ns, told, kind=LOST)

    def mark(self, at_ns: int, text: str, *, kind: str = "mark", stirs: bool = False) -> None:
        """Mark a moment of the run; ``stirs`` says that it disturbed the fleet, from where its resync counts."""
        self._pending.marks.append(MarkRow(at_ns, kind, text))
        self.marks.append((at_ns / _NS, text))
        if stirs:
            self.events_s.append(at_ns / _NS)

    def finding(self, at_ns: int, text: str) -> None:
        """Take note of a device that the server ought to have refused and accepted: it fails the run."""
        self.findings.append(text)
        self.mark(at_ns, f"finding: {text}", kind="finding")

    def notice(self, at_ns: int, text: str) -> None:
        """Take note of what a reader of the figures has to know, once for each text."""
        if text not in self.notices:
            self.notices[text] = None
            self.mark(at_ns, text, kind="notice")

    def take_batch(self) -> Batch:
        """Return what waits to be written and start a new batch; the taker writes it or gives it back to `keep`."""
        self.collect()
        batch, self._pending = self._pending, Batch()
        self.write_error = None
        return batch

    def keep(self, batch: Batch, error: StoreError) -> None:
        """Take back a batch that could not be written: it goes before what has come since, and is tried again."""
        self.write_failures += 1
        self.write_error = error
        later, self._pending = self._pending, batch
        batch.extend(later)

    def verdict(self) -> Saturation | None:
        """Return what made the generator the limit, None where it kept up throughout."""
        return self.lost or self.saturation.verdict()
