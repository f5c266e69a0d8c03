"""Tallies: every request in one of ten classes, and shards that merge in any order to the same figures."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measure_builders import S, a_recorder, a_sample, enrolments, samples

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.measure.deferral import Scope, Scopes
from estsim.measure.recorder import Recorder
from estsim.measure.sample import Enrolment, Sample
from estsim.measure.summary import GeneratorTotals, RunFacts, build_summary
from estsim.measure.tally import MAX_ERRORS, OTHER_ERRORS, Tally, total_of

_FACTS = RunFacts("id", "name", 1, "", "", "0", 1, "", (), "")


def _figures(tallies: Sequence[Tally], saturation: Recorder) -> object:
    scope = Scope(total_of(tallies), 80, 200 * S, {"operational": 80})
    return build_summary(
        _FACTS,
        Scopes(scope),
        generator=GeneratorTotals(1.0, 1),
        saturation=saturation.saturation.verdict(),
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
    lives = a_recorder((), searches).book.total().lives
    assert lives.begun == lives.ended.total() + lives.open == len(searches)
    assert lives.open == sum(enrolment.end is None for enrolment in searches)


def test_latencies_stand_apart_by_what_an_exchange_came_to() -> None:
    """A deferral is neither success nor failure; an abandoned exchange is nobody's."""
    tally = a_recorder([a_sample(kind) for kind in OutcomeClass]).book.total().operations[Operation.SIMPLEENROLL]
    assert [h.count for h in (tally.service, tally.response, tally.deferred, tally.failed)] == [1, 1, 1, 6]


def test_a_lag_is_in_the_response_time_and_not_in_the_service_time() -> None:
    """The generator's lateness is what the device feels, but not the server's work."""
    total = a_recorder([a_sample(lag_ns=2 * S, service_ns=S)]).book.total()
    tally = total.operations[Operation.SIMPLEENROLL]
    assert (tally.service.max, tally.response.max, total.schedule_lag.max) == (1_000_000, 3_000_000, 2_000_000)


def test_exchanges_per_certificate_count_what_asks_for_one() -> None:
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
    assert total.errors["rejected", "", OTHER_ERRORS] == 20


def test_tallies_of_different_limits_do_not_merge() -> None:
    """Shards must agree on the D of enrolled_within."""
    with pytest.raises(ValueError, match="different limits"):
        Tally([1.0]).merge(Tally([2.0]))
