"""Tallies: every request in one of ten classes, and shards that merge in any order to the same figures."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builders import OneProcess, S, a_recorder, a_sample, enrolments, samples

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.figures.scopes import Scope, Scopes
from estsim.figures.summary import RunFacts
from estsim.figures.summary_blocks import error_summaries
from estsim.figures.summary_builder import build_summary
from estsim.record.error_kinds import UNTOLD, ranked, without_ids
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.sample import Enrolment, Sample
from estsim.record.tally import MAX_ERRORS, Tally, total_of

_FACTS = RunFacts("id", "name", 1, "", "", "0", 1, "", (), "")


def _figures(tallies: Sequence[Tally], saturation: OneProcess) -> object:
    scope = Scope(total_of(tallies), 80, 200 * S, {"operational": 80})
    return build_summary(
        _FACTS,
        Scopes(scope),
        generator=GeneratorTotals(1.0, 1),
        saturation=saturation.saturation.verdict(),
        of_thresholds=saturation.saturation.of_thresholds,
        thresholds=[],
    )


@settings(max_examples=30)  # a fleet, its shards and two summaries each
@given(st.lists(samples(), max_size=40), enrolments(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_merging_shards_in_any_order_gives_the_same_figures(
    exchanges: list[Sample], searches: Sequence[Enrolment], shards: int, random: Random
) -> None:
    """Devices are spread over shards, shards are shuffled and merged: the summary is that of one process."""
    whole = a_recorder(exchanges, searches)
    parts = [
        a_recorder(
            [sample for sample in exchanges if sample.device % shards == shard],
            [enrolment for enrolment in searches if enrolment.device % shards == shard],
        )
        for shard in range(shards)
    ]
    random.shuffle(parts)
    for other in parts[1:]:
        parts[0].saturation.merge(other.saturation)
    tallies = [tally for part in parts for tally in map(part.book.cohort, part.devices)]
    assert _figures(tallies, parts[0]) == _figures([whole.book.cohort(name) for name in whole.devices], whole)


@settings(max_examples=40)
@given(st.lists(samples(), max_size=40))
def test_requests_are_the_sum_of_the_ten_classes(exchanges: list[Sample]) -> None:
    """Each exchange falls into exactly one class."""
    total = a_recorder(exchanges).book.total()
    assert total.requests == len(exchanges)
    for operation, tally in total.operations.items():
        assert tally.requests == sum(tally.by_class[kind] for kind in OutcomeClass)
        assert tally.requests == sum(sample.operation is operation for sample in exchanges)


@settings(max_examples=40)
@given(enrolments())
def test_enrolments_begun_are_those_ended_and_those_open(searches: Sequence[Enrolment]) -> None:
    """No enrolment is lost."""
    enrolment_tally = a_recorder((), searches).book.total().enrolment_tally
    assert enrolment_tally.begun == enrolment_tally.ended.total() + enrolment_tally.open == len(searches)
    assert enrolment_tally.open == sum(enrolment.end is None for enrolment in searches)


def test_latencies_are_separate_by_outcome() -> None:
    """A deferral is neither success nor failure; an abandoned exchange is nobody's."""
    tally = a_recorder([a_sample(kind) for kind in OutcomeClass]).book.total().operations[Operation.SIMPLEENROLL]
    assert [h.count for h in (tally.service, tally.response, tally.deferred, tally.failed)] == [1, 1, 1, 6]


def test_a_lag_is_in_the_response_time_and_not_in_the_service_time() -> None:
    """The generator's lateness is what the device feels, but not the server's work."""
    total = a_recorder([a_sample(lag_ns=2 * S, service_ns=S)]).book.total()
    tally = total.operations[Operation.SIMPLEENROLL]
    assert (tally.service.max, tally.response.max, total.schedule_lag.max) == (1_000_000, 3_000_000, 2_000_000)


def test_exchanges_per_certificate_count_requests_for_a_certificate() -> None:
    """Fetching the CA certificates is no enrolment exchange; a deferral is."""
    recorder = a_recorder(
        [
            a_sample(operation=Operation.CACERTS),
            a_sample(OutcomeClass.DEFERRED),
            a_sample(OutcomeClass.DEFERRED),
            a_sample(),
        ]
    )
    assert recorder.scope(S).exchanges_per_certificate == 3
    assert recorder.book.total().certificates == 1


def test_a_server_with_ever_new_messages_does_not_fill_the_memory() -> None:
    """Beyond the bound errors are counted together."""
    total = a_recorder([a_sample(OutcomeClass.REJECTED, detail=f"at {n}") for n in range(MAX_ERRORS + 20)]).book.total()
    assert total.errors.total() == MAX_ERRORS + 20
    assert total.errors["simpleenroll", "rejected", "", UNTOLD] == 20


def test_errors_that_are_not_distinguished_are_in_the_last_entry_once() -> None:
    """With what has no entry of its own; how many kinds they are is not known, but how many at least."""
    total = a_recorder([a_sample(OutcomeClass.REJECTED, detail=f"at {n}") for n in range(MAX_ERRORS + 20)]).book.total()
    listed = error_summaries(ranked(total.errors))
    assert [entry.detail for entry in listed if "other" in entry.detail] == ["other errors (at least 480 kinds)"]
    assert (len(listed), listed[-1].count, sum(entry.count for entry in listed)) == (21, 500, MAX_ERRORS + 20)
    (only,) = error_summaries(ranked(Counter({("simpleenroll", "rejected", "", UNTOLD): 3})))
    assert (only.detail, only.count) == ("other errors (at least 1 kind)", 3)


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        ("500 request 123 failed", "500 request 123 failed"),
        ("500 request 1234 failed at 10.0.0.1:54321", "500 request … failed at 10.0.0.1:…"),
        ("id 6ba7b810-9dad-11d1-80b4-00c04fd430c8.", "id …."),
        ("failed-7f3a9c2e: trace x7F3A9C2E1b", "failed-…: trace x…"),
        ("feedface decade abc1234 12-34-56", "feedface decade abc… …"),
        ("expected base64: wrong padding (RFC 8951 §3)", "expected base64: wrong padding (RFC 8951 §3)"),
        ("", ""),
    ],
)
def test_an_error_that_differs_in_its_ids_is_one_kind(detail: str, kind: str) -> None:
    """Long numbers and hexadecimal ids are left out; short numbers, words and the rules of an RFC are not."""
    assert without_ids(detail) == kind


def test_ids_in_messages_are_in_the_rows_only() -> None:
    """They keep the message as it came."""
    samples = [a_sample(OutcomeClass.REJECTED, detail=f"400 request {n}") for n in range(1000, 1040)]
    recorder = a_recorder(samples)
    assert recorder.book.total().errors == {("simpleenroll", "rejected", "", "400 request …"): 40}
    assert [sample.detail for sample in recorder.take_batch().exchanges] == [sample.detail for sample in samples]


def test_tallies_of_different_limits_do_not_merge() -> None:
    """Shards must agree on the D of enrolled_within."""
    with pytest.raises(ValueError, match="different limits"):
        Tally([1.0]).merge(Tally([2.0]))
