"""Slices as bytes, for the store and for worker reports, and untrusted bytes as slices.

The order of the members is the format: change it and the versions of the store and of worker reports together.
"""

from collections import Counter
from typing import Final

import msgpack

from estsim.est.enrolment import Goal
from estsim.est.outcome import OutcomeClass
from estsim.record.enrolment_tally import PARTS
from estsim.record.packing import (
    Packed,
    number_of,
    pack_histograms,
    pack_tally,
    unpack_counter,
    unpack_histograms,
    unpack_tally,
)
from estsim.record.slice_counts import ReportCounts, SliceCounts, SpentTime
from estsim.units import harmless

_PARTS: Final = len(PARTS)


def pack_slice(counts: SliceCounts) -> Packed:
    """Return the counts of a slice as plain lists."""
    return [pack_tally(counts.tally), _pack_report(counts.report)]


def unpack_slice(packed: Packed) -> SliceCounts:
    """Return the counts in a list; a wrong list may raise any exception."""
    tally, report = packed
    return SliceCounts(unpack_tally(tally), _report(report))


def slice_bytes(counts: SliceCounts) -> bytes:
    """Return a slice as bytes. It takes about a millisecond: call it in the writer's thread."""
    packed: bytes = msgpack.packb(pack_slice(counts))
    return packed


def slice_of_bytes(packed: bytes) -> SliceCounts:
    """Return the slice in bytes. Raises ValueError for any other bytes."""
    try:
        return unpack_slice(msgpack.unpackb(packed, strict_map_key=False))
    except Exception as error:  # hostile bytes may raise anything
        raise ValueError(type(error).__name__) from error


def _pack_report(report: ReportCounts) -> Packed:
    return [
        report.ended_ns,
        pack_histograms(report.lags),
        [[*key, count] for key, count in report.expected.items()],
        [[*key, count] for key, count in report.handshakes.items()],
        dict(report.told),
        dict(report.kept),
        [[goal.value, *_pack_spent(each)] for (goal, _), each in report.spent.items()],
        report.ran_out,
    ]


def _pack_spent(spent: SpentTime) -> Packed:
    return [spent.bucket, spent.count, spent.took_ns, *spent.parts_ns]


def _report(packed: Packed) -> ReportCounts:
    ended_ns, lags, expected, handshakes, told, kept, spent, ran_out = packed
    report = ReportCounts()
    report.ended_ns = number_of(ended_ns)
    report.lags = unpack_histograms(lags)
    report.expected = Counter({(OutcomeClass(kind).value, number_of(at_s)): number_of(n) for kind, at_s, n in expected})
    for version, group, resumed, count in handshakes:
        report.handshakes[_word(version), _word(group), bool(resumed)] += number_of(count)
    report.told, report.kept = unpack_counter(told), unpack_counter(kept)
    for goal, *numbers in spent:
        bucket, count, took_ns, *parts_ns = map(number_of, numbers)
        if len(parts_ns) != _PARTS:
            raise ValueError(f"{len(parts_ns)} parts of a time (expected {_PARTS})")
        report.spent[Goal(goal), bucket] = SpentTime(bucket, count, took_ns, tuple(parts_ns))
    if ran_out is not None:
        at_ns, detail = ran_out
        report.ran_out = (number_of(at_ns), harmless(str(detail)))
    return report


def _word(word: str | None) -> str | None:
    return harmless(str(word)) if word else None
