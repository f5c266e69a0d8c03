"""What a report costs: a store of so many exchanges is made, and its page timed in a process of its own.

    python tests/benchmarks/report_cost.py 10000000 /tmp/ten-million [--phases] [--keep]

The target is 10 million exchanges in under 15 s and 500 MB. One stretch of the run is made of samples, and copied in
SQL with its times and devices shifted: so the store has the seconds, devices and latencies that such a run would have.
What was counted of the stretch is shifted likewise.
"""

import argparse
import json
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Final

from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.record.histograms import LONG, Histogram
from estsim.record.recorder import Recorder
from estsim.record.rows import ENROLMENT_COLUMNS, EXCHANGE_COLUMNS, FLEET_COLUMNS, GENERATOR_COLUMNS, SERIES_COLUMNS
from estsim.record.run_record import RunRecord
from estsim.record.sample import Enrolment, FleetReading, GeneratorReading, PollPlan, Sample, Stamps
from estsim.record.slice_counts import SLICE_S, SliceCounts
from estsim.record.slice_packing import slice_bytes, slice_of_bytes
from estsim.record.store import CountedSlice, RunStore, StoredSlices
from estsim.record.waits import BIN_NS

_S: Final = 1_000_000_000
_STRETCH_S: Final = 20
_STRETCH_ROWS: Final = 50_000
_DEVICES: Final = _STRETCH_ROWS * 2 // 5  # two in three are deferred once or twice
_COHORTS: Final = ("north", "south")
_TIMES: Final = (
    "intended_ns", "ready_ns", "started_ns", "connected_ns", "handshaken_ns", "sent_ns", "first_byte_ns", "ended_ns",
    "poll_deferred_at_ns",
)  # fmt: skip
_REPORT: Final = (sys.executable, "-m", "estsim", "report")


def _exchange(rng: random.Random, device: int, cause: Cause, kind: OutcomeClass, at_ns: int) -> Sample:
    lag_ns, handshake_ns = round(rng.expovariate(1 / 3e5)), round(rng.lognormvariate(15, 0.3))
    wait_ns = round(rng.lognormvariate(16, 0.5))
    started_ns = at_ns + lag_ns
    handshaken_ns = started_ns + handshake_ns
    first_byte_ns = handshaken_ns + 20_000 + wait_ns
    failed = kind is OutcomeClass.SERVER_ERROR
    return Sample(
        device=device,
        cohort=_COHORTS[device % 2],
        operation=Operation.SIMPLEENROLL,
        cause=cause,
        enrolment=1,
        attempt=1,
        request_id=f"0badcafe-{device:x}-{at_ns % 100_000:x}",
        kind=kind,
        stamps=Stamps(
            at_ns, at_ns, started_ns, started_ns + handshake_ns // 4, handshaken_ns, handshaken_ns + 20_000,
            first_byte_ns, first_byte_ns + 50_000,
        ),
        status={OutcomeClass.OK: 200, OutcomeClass.DEFERRED: 202}.get(kind, 500),
        detail="the server is busy" if failed else "",
        tls_version="1.3",
        tls_group="X25519MLKEM768",
    )  # fmt: skip


def _life(rng: random.Random, recorder: Recorder, device: int) -> None:
    """Let a device seek its certificate: some fail once, most are deferred."""
    begun_ns = at_ns = rng.randrange(_STRETCH_S * _S)
    enrolment = Enrolment(device, _COHORTS[device % 2], 1, Goal.ENROLL, begun_ns)
    recorder.enrolment_began(enrolment)
    poll: PollPlan | None = None
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3))):
        deferred = rng.random() < 0.95
        kind = OutcomeClass.DEFERRED if deferred else OutcomeClass.SERVER_ERROR
        sample = _exchange(rng, device, Cause.POLL if poll else Cause.PLAN, kind, at_ns)
        sample.poll = poll
        sample.retry_after = RetryAfter(6.0, RetryAfterForm.SECONDS) if deferred else None
        recorder.exchange(sample)
        first_byte_ns = sample.stamps.first_byte_ns or 0
        spread_s = rng.random()
        poll = PollPlan(first_byte_ns, 6.0, spread_s, "seconds") if deferred else None
        at_ns = first_byte_ns + round((6 + spread_s) * _S)
    sample = _exchange(rng, device, Cause.POLL if poll else Cause.PLAN, OutcomeClass.OK, at_ns)
    sample.poll = poll
    recorder.exchange(sample)
    enrolment.ended_ns, enrolment.end = sample.stamps.ended_ns, EnrolmentEnd.ISSUED
    enrolment.told_ns, enrolment.service_ns = at_ns - begun_ns, sample.stamps.ended_ns - at_ns
    recorder.enrolment_ended(enrolment)


def _write_stretch(path: Path, copies: int, *, phases: bool) -> list[CountedSlice]:
    """Write the stretch without its counts, which are returned."""
    rng, recorder = random.Random(1), Recorder()
    record = RunRecord(dict.fromkeys(_COHORTS, _DEVICES * copies // 2), recorder)
    for device in range(_DEVICES):
        _life(rng, recorder, device)
    for second in range(_STRETCH_S):
        recorder.generator(GeneratorReading(second * _S, 0.4, 2**28, 40, 10**6, ports=900, descriptors=950))
        states = {cohort: {"operational": second, "off": 100 - second} for cohort in _COHORTS}
        record.fleet(FleetReading(second * _S, cohorts=states))
    end_s = copies * _STRETCH_S
    stretches = [["warmup", 0.0, end_s * 0.1], ["steady", end_s * 0.1, end_s * 2.0]] if phases else []
    facts = {
        "scenario": "report-cost", "seed": "1", "version": "0", "started": "2026-01-01T00:00:00+00:00",
        "ended": "2026-01-01T02:00:00+00:00", "ending": "finished", "duration_s": repr(float(end_s)),
        "cohorts": json.dumps(record.devices), "phases": json.dumps(stretches),
        "thresholds": '["failures < 1%", "time_to_certificate.p99 < 60s"]', "max_lag_s": "0.02", "max_cpu": "0.9",
        "scenario_text": "version: 1\n",
    }  # fmt: skip
    with RunStore(path) as store:
        store.put(**facts)
        batch = record.take_batch()
        counted, batch.counted = batch.counted, []
        store.write(batch)
    return counted


def _count(path: Path, copies: int, counted: list[CountedSlice], *, phases: bool) -> None:
    """Write what would have been counted of all stretches."""
    slices = _STRETCH_S // round(SLICE_S)
    stored = StoredSlices()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        for copy in range(copies):
            phase = ("warmup" if copy < copies * 0.1 else "steady") if phases else None
            stored.add(
                db,
                [
                    ((number + copy * slices, cohort, phase), _later(counts, copy * _STRETCH_S))
                    for (number, cohort, _), counts in counted
                ],
            )
        db.execute("COMMIT")


def _later(counts: SliceCounts, by_s: int) -> SliceCounts:
    """Return what the same would have counted some seconds later."""
    moved = slice_of_bytes(slice_bytes(counts))
    tally, report, bins = moved.tally, moved.report, by_s * _S // BIN_NS
    tally.polls.bins = Counter({key + bins: count for key, count in tally.polls.bins.items()})
    for ages in tally.enrolment_tally.ages.values():
        ages.open_bins = Counter({key + bins: count for key, count in ages.open_bins.items()})
    first = tally.enrolment_tally.first
    ended_ms = Histogram(LONG)
    for value, count in first.ended_ms.values():
        ended_ms.record(value + by_s * 1000, count)
    first.ended_ms = ended_ms
    report.ended_ns += by_s * _S
    report.lags = {second + by_s: lags for second, lags in report.lags.items()}
    return moved


def _copy(path: Path, copies: int) -> None:
    """Copy the stretch to all later times, devices apart."""
    exchanges = _shifted(EXCHANGE_COLUMNS, _TIMES)
    enrolments = _shifted(ENROLMENT_COLUMNS, ("intended_ns", "ended_ns"))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA journal_mode = OFF")
        (rows, devices, seconds, readings, fleet) = (
            db.execute(f"SELECT MAX(rowid) FROM {table}").fetchone()[0]  # noqa: S608 - ours
            for table in ("exchanges", "enrolments", "series", "generator", "fleet")
        )
        db.execute("BEGIN")
        for number in range(1, copies):
            shift_s = number * _STRETCH_S
            values = {"ns": shift_s * _S, "second": shift_s, "device": number * _DEVICES}
            for table, columns, selected, last in (
                ("exchanges", EXCHANGE_COLUMNS, exchanges, rows),
                ("enrolments", ENROLMENT_COLUMNS, enrolments, devices),
                ("series", SERIES_COLUMNS, _shifted(SERIES_COLUMNS, ()), seconds),
                ("generator", GENERATOR_COLUMNS, _shifted(GENERATOR_COLUMNS, ("at_ns",)), readings),
                ("fleet", FLEET_COLUMNS, _shifted(FLEET_COLUMNS, ()), fleet),
            ):  # fmt: skip
                named = f" ({', '.join(columns)})"
                db.execute(f"INSERT INTO {table}{named} SELECT {selected} FROM {table} WHERE rowid <= {last}", values)  # noqa: S608
        db.execute("COMMIT")


def _shifted(columns: tuple[str, ...], times: tuple[str, ...]) -> str:
    def of(column: str) -> str:
        if column in times:
            return f"{column} + :ns"
        return f"{column} + :{column}" if column in {"device", "second"} else column

    return ", ".join(map(of, columns))


def main() -> None:
    """Make the store, time its report, and take both away again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--phases", action="store_true")
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    store = asked.folder / "run.sqlite"
    copies = max(1, asked.rows // _STRETCH_ROWS)
    if not store.exists():
        asked.folder.mkdir(parents=True, exist_ok=True)
        counted = _write_stretch(store, copies, phases=asked.phases)
        _copy(store, copies)
        _count(store, copies, counted, phases=asked.phases)
    with closing(sqlite3.connect(store)) as db:
        (rows,) = db.execute("SELECT COUNT(*) FROM exchanges").fetchone()
    started_s = time.monotonic()
    subprocess.run([*_REPORT, asked.folder], check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{rows} exchanges, {store.stat().st_size / 2**20:.0f} MiB: {time.monotonic() - started_s:.1f} s, "
        f"CPU {used.ru_utime:.1f} s user + {used.ru_stime:.1f} s system, {used.ru_maxrss / 2**10:.0f} MiB at most"
    )
    if not asked.keep:
        shutil.rmtree(asked.folder)


if __name__ == "__main__":
    main()
