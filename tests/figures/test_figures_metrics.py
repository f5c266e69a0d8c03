"""The table of metrics: it is complete, and agrees with thresholds and summary.json."""

from dataclasses import fields
from typing import Final

import pytest
from record_builders import OneProcess, S, a_recorder, a_sample, an_enrolment

from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.figures.catalogue import names
from estsim.figures.metric_kinds import RunMetric
from estsim.figures.metrics import METRICS, SPREADS, WITHIN
from estsim.figures.summary import RunFacts
from estsim.figures.summary_blocks import DeferralSummary
from estsim.figures.summary_builder import build_summary
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.sample import PollPlan

_ENDED_NS: Final = 60 * S
_FACTS: Final = RunFacts("", "", 0, "", "", "", 1, "", (), "")


def a_herd() -> OneProcess:
    """Return the recorder of a herd that polls in step; most polls are deferred again."""
    told = RetryAfter(3.0, RetryAfterForm.SECONDS)
    exchanges = [
        a_sample(
            OutcomeClass.DEFERRED if (device + at_s) % 4 else OutcomeClass.OK,
            device=device,
            at_ns=at_s * S,
            retry_after=told,
            poll=PollPlan((at_s - 3) * S, 3.0, 0.0, RetryAfterForm.SECONDS),
        )
        for at_s in range(3, 40, 3)
        for device in range(40)
    ]
    return a_recorder(exchanges, [an_enrolment(device=n, took_ns=(4 + n) * S) for n in range(40)], north=40)


def summarised(recorder: OneProcess) -> DeferralSummary:
    """Return the block of summary.json with the metrics."""
    return build_summary(
        _FACTS,
        recorder.scopes(_ENDED_NS),
        generator=GeneratorTotals(0.0, 0),
        saturation=None,
        of_thresholds=recorder.saturation.of_thresholds,
        thresholds=(),
    ).deferral


def test_every_figure_of_deferral_is_a_metric() -> None:
    """A figure without an entry in the table fails here."""
    keys = {metric.key for metric in METRICS if metric.in_summary}
    keys |= {within.name for within in WITHIN} | {f"{spread.name}_s" for spread in SPREADS} | {"non_conformance"}
    assert keys == {field.name for field in fields(DeferralSummary)}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_threshold_and_the_summary_have_the_same_value(metric: RunMetric) -> None:
    """And a threshold may use the name."""
    recorder = a_herd()
    assert metric.name in names()
    if metric.in_summary:
        counted, written = metric.of_scope(recorder.scopes(_ENDED_NS).run), metric.of_summary(summarised(recorder))
        assert written == pytest.approx(counted, abs=1e-6) if counted is not None else written is None
        assert not metric.whole or str(written).isdigit()


def test_a_herd_has_a_value_for_most_metrics() -> None:
    """Else the comparison above compares nothing."""
    summary = summarised(a_herd())
    absent = [each.name for each in METRICS if each.of_summary(summary) is None]
    assert absent == ["failures", "resync"]
