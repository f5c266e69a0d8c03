"""Tallies and histograms as plain lists, for a worker report between processes, and back.

The order of a list's members is the wire format: change it and `estsim.record.worker_report.VERSION` together.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from estsim.est.enrolment import EnrolmentEnd
from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass, RetryAfterForm
from estsim.record.ages import Ages, Within
from estsim.record.enrolment_tally import AGES, PARTS, EnrolmentTally, FirstCertificates
from estsim.record.error_kinds import ErrorKey, without_ids
from estsim.record.histograms import LATENCY, LONG, SIGNED, Histogram, Layout, bucket_index
from estsim.record.own_delay import LAYOUTS, OwnDelays, Shift
from estsim.record.tally import OperationTally, Tally
from estsim.record.waits import Polls, ToldWaits

Packed = list[Any]  # numbers, texts, lists and maps

_LARGEST: Final = 1 << 63  # of a number: sums of times in nanoseconds have room
_TOP: Final = {layout: bucket_index(layout.highest) for layout in (LATENCY, LONG, SIGNED)}


def number_of(value: Any) -> int:  # noqa: ANN401 - untrusted
    """Return a whole number of 64 bits. Raises ValueError for anything else."""
    if type(value) is not int or not -_LARGEST <= value < _LARGEST:
        raise ValueError("no whole number of 64 bits")
    return value


def _text(value: Any) -> str:  # noqa: ANN401 - untrusted
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _error(operation: str, kind: str, phase: str, detail: str) -> ErrorKey:
    return Operation(operation).value, OutcomeClass(kind).value, _text(phase), without_ids(_text(detail))


def unpack_counter(packed: Mapping[Any, Any]) -> Counter[int]:
    """Return counts by a number."""
    return Counter({number_of(key): number_of(count) for key, count in packed.items()})


def pack_histogram(histogram: Histogram) -> Packed:
    """Return counts, sum and extremes."""
    counts = histogram.counts
    return [[*counts], [*counts.values()], histogram.total, histogram.clamped, histogram.min, histogram.max]


def unpack_histogram(packed: Packed, layout: Layout = LATENCY) -> Histogram:
    """Return the histogram of a list; its place determines the layout."""
    indexes, counts, total, clamped, lowest, highest = packed
    histogram = Histogram(layout)
    if not indexes:
        return histogram
    top = _TOP[layout]
    bottom = ~top if layout.lowest < 0 else 0
    if not (bottom <= min(indexes) and max(indexes) <= top and min(counts) > 0):
        raise ValueError("a histogram with buckets that it has not, or counts below one")
    histogram.counts = dict(zip(map(number_of, indexes), map(number_of, counts), strict=True))
    histogram.count = sum(histogram.counts.values())
    histogram.total, histogram.clamped = number_of(total), number_of(clamped)
    histogram.min, histogram.max = number_of(lowest), number_of(highest)
    if not layout.lowest <= histogram.min <= histogram.max <= layout.highest:
        raise ValueError("a histogram with extremes outside its range")
    return histogram


def pack_histograms(histograms: Mapping[int, Histogram]) -> dict[int, Packed]:
    """Return histograms by a number, such as a second of the run."""
    return {key: pack_histogram(histogram) for key, histogram in histograms.items()}


def unpack_histograms(packed: Mapping[int, Packed]) -> dict[int, Histogram]:
    """Return the latency histograms of a map."""
    return {number_of(key): unpack_histogram(each) for key, each in packed.items()}


def pack_tally(tally: Tally) -> Packed:
    """Return everything that a tally counts."""
    connections = tally.connections
    return [
        {operation.value: _pack_operation(counts) for operation, counts in tally.operations.items()},
        [connections.full, connections.resumed, connections.reused],
        pack_histogram(tally.schedule_lag),
        tally.issued,
        [[*key, count] for key, count in tally.errors.items()],
        [[broken.rule, broken.rfc_section, count] for broken, count in tally.non_conformances.items()],
        _pack_told(tally.told),
        _pack_polls(tally.polls),
        _pack_enrolment_tally(tally.enrolment_tally),
        _pack_own(tally.own),
    ]


def unpack_tally(packed: Packed) -> Tally:
    """Return the tally of a list."""
    operations, connections, schedule_lag, issued, errors, broken, told, polls, enrolment_tally, own = packed
    tally = Tally(())
    tally.operations = {Operation(name): _operation(counts) for name, counts in operations.items()}
    tally.connections.full, tally.connections.resumed, tally.connections.reused = map(number_of, connections)
    tally.schedule_lag = unpack_histogram(schedule_lag)
    tally.issued = number_of(issued)
    for *words, count in errors:
        tally.errors[_error(*words)] += number_of(count)
    tally.non_conformances.update(
        {NonConformance(_text(rule), _text(section)): number_of(count) for rule, section, count in broken}
    )
    tally.told = _told(told)
    tally.polls = _polls(polls)
    tally.enrolment_tally = _enrolment_tally(enrolment_tally)
    tally.own = _own(own)
    return tally


def _pack_operation(counts: OperationTally) -> Packed:
    by_class = {kind.value: count for kind, count in counts.by_class.items()}
    spreads = (counts.service, counts.response, counts.deferred, counts.failed)
    return [by_class, *map(pack_histogram, spreads)]


def _operation(packed: Packed) -> OperationTally:
    by_class, *spreads = packed
    counts = OperationTally()
    counts.by_class.update({OutcomeClass(kind): number_of(count) for kind, count in by_class.items()})
    counts.service, counts.response, counts.deferred, counts.failed = map(unpack_histogram, spreads)
    return counts


def _pack_told(told: ToldWaits) -> Packed:
    whole = dict(told.whole_seconds)
    return [pack_histogram(told.histogram), dict(told.forms), whole, told.zero, told.past, told.absurd]


def _told(packed: Packed) -> ToldWaits:
    histogram, forms, whole, zero, past, absurd = packed
    told = ToldWaits()
    told.histogram = unpack_histogram(histogram, LONG)
    told.forms.update({RetryAfterForm(form).value: number_of(count) for form, count in forms.items()})
    told.whole_seconds = unpack_counter(whole)
    told.zero, told.past, told.absurd = map(number_of, (zero, past, absurd))
    return told


def _pack_polls(polls: Polls) -> Packed:
    counts = [polls.count, polls.wasted, polls.early, polls.due, polls.hits]
    return [counts, pack_histogram(polls.punctuality), dict(polls.gaps), dict(polls.bins)]


def _polls(packed: Packed) -> Polls:
    counts, punctuality, gaps, bins = packed
    polls = Polls()
    polls.count, polls.wasted, polls.early, polls.due, polls.hits = map(number_of, counts)
    polls.punctuality = unpack_histogram(punctuality, SIGNED)
    polls.gaps, polls.bins = unpack_counter(gaps), unpack_counter(bins)
    return polls


def _pack_enrolment_tally(enrolment_tally: EnrolmentTally) -> Packed:
    first = enrolment_tally.first
    return [
        [enrolment_tally.begun, enrolment_tally.expected, enrolment_tally.expected_devices, enrolment_tally.unrefused],
        {end.value: count for end, count in enrolment_tally.ended.items()},
        list(enrolment_tally.limits_ms),
        {key.value: _pack_ages(ages) for key, ages in enrolment_tally.ages.items() if ages},
        dict(enrolment_tally.parts_ns),
        [first.booted_ns, pack_histogram(first.ended_ms), first.total, first.squares],
    ]


def _enrolment_tally(packed: Packed) -> EnrolmentTally:
    counts, ended, limits_ms, ages, parts_ns, first = packed
    enrolment_tally = EnrolmentTally(())
    enrolment_tally.begun, enrolment_tally.expected, enrolment_tally.expected_devices, enrolment_tally.unrefused = map(
        number_of, counts
    )
    enrolment_tally.ended.update({EnrolmentEnd(end): number_of(count) for end, count in ended.items()})
    enrolment_tally.ages = {
        key: _ages(ages[key.value]) if key.value in ages else Ages(map(number_of, limits_ms)) for key in AGES
    }
    enrolment_tally.parts_ns.update({part: number_of(parts_ns[part]) for part in PARTS if part in parts_ns})
    enrolment_tally.first = _first(*first)
    return enrolment_tally


def _pack_ages(ages: Ages) -> Packed:
    within = {limit_ms: [each.issued, each.failed, each.cut] for limit_ms, each in ages.within.items()}
    return [*map(pack_histogram, (ages.issued, ages.failed, ages.cut)), dict(ages.open_bins), within]


def _ages(packed: Packed) -> Ages:
    issued, failed, cut, open_bins, within = packed
    ages = Ages()
    ages.issued, ages.failed, ages.cut = (unpack_histogram(each, LONG) for each in (issued, failed, cut))
    ages.open_bins = unpack_counter(open_bins)
    ages.within = {number_of(limit_ms): Within(*map(number_of, counts)) for limit_ms, counts in within.items()}
    return ages


def _first(booted_ns: int | None, ended_ms: Packed, total: int, squares: int) -> FirstCertificates:
    first = FirstCertificates()
    first.booted_ns = None if booted_ns is None else number_of(booted_ns)
    first.total, first.squares = number_of(total), number_of(squares)
    first.ended_ms = unpack_histogram(ended_ms, LONG)
    return first


def _pack_own(own: OwnDelays) -> Packed:
    if not own:
        return []
    return [
        [[*key, pack_histogram(each.measured), pack_histogram(each.without)] for key, each in own.spreads.items()],
        {operation.value: count for operation, count in own.failed.items()},
        {end.value: count for end, count in own.ends.items()},
        {key.value: [*map(_pack_ages, both)] for key, both in own.ages.items()},
    ]


def _own(packed: Packed) -> OwnDelays:
    own = OwnDelays()
    if not packed:
        return own
    spreads, failed, ends, ages = packed
    for whose, name, measured, without in spreads:
        layout = LAYOUTS.get(str(name), LATENCY)
        shift = own.spreads[str(whose), str(name)] = Shift(layout)
        shift.measured, shift.without = unpack_histogram(measured, layout), unpack_histogram(without, layout)
    own.failed.update({Operation(operation): number_of(count) for operation, count in failed.items()})
    own.ends.update({EnrolmentEnd(end): number_of(count) for end, count in ends.items()})
    keys = {key.value: key for key in AGES}
    own.ages = {keys[key]: (_ages(measured), _ages(without)) for key, (measured, without) in ages.items()}
    return own
