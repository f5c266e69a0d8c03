"""Tallies and histograms as plain lists, for a parcel between processes, and back.

The order of a list's members is the wire format: change it and `estsim.measure.parcel.VERSION` together.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from estsim.est.enrolment import EnrolmentEnd
from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass
from estsim.measure.histograms import LATENCY, LONG, SIGNED, Histogram, Layout
from estsim.measure.lives import FirstCertificates, Lives, Within
from estsim.measure.tally import OperationTally, Tally
from estsim.measure.waits import Polls, ToldWaits

Packed = list[Any]  # numbers, texts, lists and maps


def pack_histogram(histogram: Histogram) -> Packed:
    """Return counts, sum and extremes."""
    counts = histogram.counts
    return [[*counts], [*counts.values()], histogram.total, histogram.clamped, histogram.min, histogram.max]


def unpack_histogram(packed: Packed, layout: Layout = LATENCY) -> Histogram:
    """Return the histogram of a list, of the layout that its place tells."""
    indexes, counts, total, clamped, lowest, highest = packed
    histogram = Histogram(layout)
    histogram.counts = dict(zip(map(int, indexes), map(int, counts), strict=True))
    histogram.count = sum(histogram.counts.values())
    histogram.total, histogram.clamped, histogram.min, histogram.max = total, clamped, lowest, highest
    return histogram


def pack_histograms(histograms: Mapping[int, Histogram]) -> dict[int, Packed]:
    """Return histograms by a number, such as a second of the run."""
    return {key: pack_histogram(histogram) for key, histogram in histograms.items()}


def unpack_histograms(packed: Mapping[int, Packed]) -> dict[int, Histogram]:
    """Return the latency histograms of a map."""
    return {int(key): unpack_histogram(each) for key, each in packed.items()}


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
        _pack_lives(tally.lives),
    ]


def unpack_tally(packed: Packed) -> Tally:
    """Return the tally of a list."""
    operations, connections, schedule_lag, issued, errors, broken, told, polls, lives = packed
    tally = Tally()
    tally.operations = {Operation(name): _operation(counts) for name, counts in operations.items()}
    tally.connections.full, tally.connections.resumed, tally.connections.reused = connections
    tally.schedule_lag = unpack_histogram(schedule_lag)
    tally.issued = issued
    tally.errors.update({(kind, phase, detail): count for kind, phase, detail, count in errors})
    tally.non_conformances.update({NonConformance(rule, section): count for rule, section, count in broken})
    tally.told = _told(told)
    tally.polls = _polls(polls)
    tally.lives = _lives(lives)
    return tally


def _pack_operation(counts: OperationTally) -> Packed:
    by_class = {kind.value: count for kind, count in counts.by_class.items()}
    spreads = (counts.service, counts.response, counts.deferred, counts.failed)
    return [by_class, *map(pack_histogram, spreads)]


def _operation(packed: Packed) -> OperationTally:
    by_class, *spreads = packed
    counts = OperationTally()
    counts.by_class.update({OutcomeClass(kind): count for kind, count in by_class.items()})
    counts.service, counts.response, counts.deferred, counts.failed = map(unpack_histogram, spreads)
    return counts


def _pack_told(told: ToldWaits) -> Packed:
    whole = dict(told.whole_seconds)
    return [pack_histogram(told.histogram), dict(told.forms), whole, told.zero, told.past, told.absurd]


def _told(packed: Packed) -> ToldWaits:
    histogram, forms, whole, zero, past, absurd = packed
    told = ToldWaits()
    told.histogram = unpack_histogram(histogram, LONG)
    told.forms.update(forms)
    told.whole_seconds.update(whole)
    told.zero, told.past, told.absurd = zero, past, absurd
    return told


def _pack_polls(polls: Polls) -> Packed:
    counts = [polls.count, polls.wasted, polls.early, polls.due, polls.hits]
    return [counts, pack_histogram(polls.punctuality), dict(polls.gaps), dict(polls.bins)]


def _polls(packed: Packed) -> Polls:
    counts, punctuality, gaps, bins = packed
    polls = Polls()
    polls.count, polls.wasted, polls.early, polls.due, polls.hits = counts
    polls.punctuality = unpack_histogram(punctuality, SIGNED)
    polls.gaps.update(gaps)
    polls.bins.update(bins)
    return polls


def _pack_lives(lives: Lives) -> Packed:
    first = lives.first
    return [
        [lives.begun, lives.expected, lives.expected_devices],
        {end.value: count for end, count in lives.ended.items()},
        [dict(bins) for bins in (lives.begun_bins, lives.open_bins, lives.open_first_bins)],
        pack_histogram(lives.time_to_certificate),
        pack_histogram(lives.cut_ages),
        dict(lives.parts_ns),
        [first.booted_ns, pack_histogram(first.ended_ms), first.total, first.squares],
        {limit_ms: [dict(within.had), dict(within.spared)] for limit_ms, within in lives.within.items()},
    ]


def _lives(packed: Packed) -> Lives:
    counts, ended, bins, took, cut_ages, parts_ns, first, within = packed
    lives = Lives(())
    lives.begun, lives.expected, lives.expected_devices = counts
    lives.ended.update({EnrolmentEnd(end): count for end, count in ended.items()})
    lives.begun_bins, lives.open_bins, lives.open_first_bins = map(Counter, bins)
    lives.time_to_certificate = unpack_histogram(took, LONG)
    lives.cut_ages = unpack_histogram(cut_ages, LONG)
    lives.parts_ns.update(parts_ns)
    lives.first = _first(*first)
    lives.within = {int(limit_ms): _within(*counters) for limit_ms, counters in within.items()}
    return lives


def _first(booted_ns: int | None, ended_ms: Packed, total: int, squares: int) -> FirstCertificates:
    first = FirstCertificates()
    first.booted_ns, first.total, first.squares = booted_ns, total, squares
    first.ended_ms = unpack_histogram(ended_ms, LONG)
    return first


def _within(had: dict[int, int], spared: dict[int, int]) -> Within:
    within = Within()
    within.had.update(had)
    within.spared.update(spared)
    return within
