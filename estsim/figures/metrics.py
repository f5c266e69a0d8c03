"""The metrics of a run, a cohort or a phase: name, unit, label and meaning, and the places where each is shown.

Thresholds, tables, report and the list in docs/metrics.md (docs/make_metrics.py) are made from this table.
"""

from typing import Final

from estsim.figures.metric_kinds import Place, RunMetric, SpreadMetric, Unit, WithinMetric

_BOTH: Final = (Place.TABLES, Place.REPORT)
_ALL: Final = (Place.TABLES, Place.REPORT, Place.COHORTS)

FAILURES: Final = RunMetric(
    "failures",
    Unit.SHARE,
    "failures",
    "enrolments that ended without a certificate / enrolments that ended, without expected refusals",
    lambda scope: scope.failures,
    (Place.TILES,),
    in_summary=False,
)
UNFINISHED: Final = RunMetric(
    "unfinished",
    Unit.SHARE,
    "unfinished",
    "share of enrolments still open at the end and older than 10 s and twice the longest Retry-After",
    lambda scope: scope.unfinished,
    (Place.TILES,),
)
EXCHANGES: Final = RunMetric(
    "exchanges_per_certificate",
    Unit.NUMBER,
    "exchanges per certificate",
    "enrolment exchanges / certificates",
    lambda scope: scope.exchanges_per_certificate,
    (Place.TILES, Place.REPORT),
)
POLLS: Final = RunMetric(
    "polls",
    Unit.NUMBER,
    "polls",
    "exchanges after a Retry-After wait",
    lambda scope: scope.tally.polls.count,
    _ALL,
    whole=True,
)
WASTED_SHARE: Final = RunMetric(
    "wasted_share",
    Unit.SHARE,
    "wasted share",
    "share of polls answered by another deferral",
    lambda scope: scope.wasted_share,
    _ALL,
    gloss="polls deferred again",
)
HIT_RATE: Final = RunMetric(
    "hit_rate",
    Unit.SHARE,
    "hit rate",
    "of the waits followed by a poll that was not early: the share whose poll got the certificate",
    lambda scope: scope.hit_rate,
    _ALL,
    gloss="polls, early ones excluded, that received the certificate",
)
EARLY_POLLS: Final = RunMetric(
    "early_polls",
    Unit.NUMBER,
    "early polls",
    "polls that started before the wait was over",
    lambda scope: scope.tally.polls.early,
    _ALL,
    whole=True,
)
PERIOD: Final = RunMetric(
    "period",
    Unit.SECONDS,
    "period T",
    "the most frequent Retry-After in whole seconds, if at least half lie within 0.5 s of it and T ≥ 2 s",
    lambda scope: scope.period_s,
    _ALL,
    whole=True,
)
PEAK_TO_MEAN: Final = RunMetric(
    "peak_to_mean",
    Unit.NUMBER,
    "peak to mean",
    "busiest second of polls / mean, from first to last poll",
    lambda scope: scope.peak_to_mean,
    _BOTH,
)
SYNCHRONISATION: Final = RunMetric(
    "synchronisation",
    Unit.NUMBER,
    "synchronisation R",
    "how far polls are in step: length of the mean vector of poll starts folded on T, over windows of 3 T; "
    "0 = even, 1 = all at once; needs 50 polls",
    lambda scope: scope.synchrony.synchronisation,
    _ALL,
)
LAG_CORRELATION: Final = RunMetric(
    "lag_correlation",
    Unit.NUMBER,
    "lag correlation",
    "autocorrelation of poll starts (100 ms bins) at lag T; also detects a herd that has split in two",
    lambda scope: scope.synchrony.lag_correlation,
    _BOTH,
)
BURSTINESS: Final = RunMetric(
    "burstiness",
    Unit.NUMBER,
    "burstiness",
    "(variance − mean) / mean² of the polls in bins of 1 s; 0 for Poisson arrivals",  # noqa: RUF001 - a minus
    lambda scope: scope.synchrony.burstiness,
    _BOTH,
)
FANO: Final = RunMetric(
    "fano",
    Unit.NUMBER,
    "Fano factor",
    "variance / mean of the polls in bins of 1 s; 1 for Poisson arrivals",
    lambda scope: scope.synchrony.fano,
    _BOTH,
)
DRAIN: Final = RunMetric(
    "drain",
    Unit.SECONDS,
    "drain",
    "first boot to the last first certificate; null while a device has none",
    lambda scope: scope.drain_s(),
    _BOTH,
)
DRAIN_P90: Final = RunMetric(
    "drain_p90",
    Unit.SECONDS,
    "drain p90",
    "first boot until 90 % of the devices had a first certificate",
    lambda scope: scope.drain_s(0.9),
    (Place.REPORT,),
)
DRAIN_P99: Final = RunMetric(
    "drain_p99",
    Unit.SECONDS,
    "drain p99",
    "first boot until 99 % of the devices had a first certificate",
    lambda scope: scope.drain_s(0.99),
    (Place.REPORT,),
)
FAIRNESS: Final = RunMetric(
    "fairness",
    Unit.NUMBER,
    "fairness",
    "Jain's index of time to certificate over devices",
    lambda scope: scope.fairness,
    _ALL,
    gloss="Jain's index",
)
EXPIRED: Final = RunMetric(
    "expired_while_waiting",
    Unit.NUMBER,
    "expired while waiting",
    "enrolments in which the device's certificate expired",
    lambda scope: scope.expired_while_waiting,
    _BOTH,
    whole=True,
)
RESYNC: Final = RunMetric(
    "resync",
    Unit.SECONDS,
    "resync",
    "the longest time after an event until a whole window had R < 0.2",
    lambda scope: scope.resync_s,
    _BOTH,
    gloss="time from an event until R < 0.2",
)

METRICS: Final = (
    FAILURES,
    UNFINISHED,
    EXCHANGES,
    POLLS,
    WASTED_SHARE,
    EARLY_POLLS,
    HIT_RATE,
    PERIOD,
    SYNCHRONISATION,
    PEAK_TO_MEAN,
    LAG_CORRELATION,
    BURSTINESS,
    FANO,
    DRAIN,
    DRAIN_P90,
    DRAIN_P99,
    FAIRNESS,
    EXPIRED,
    RESYNC,
)  # in the order in which they are shown

ENROLLED_WITHIN: Final = WithinMetric(
    "enrolled_within",
    "enrolled within",
    "share of first enrolments (and of those after an expired certificate) with a certificate within D",
)
RENEWED_WITHIN: Final = WithinMetric("renewed_within", "renewed within", "the same for renewals")
RECOVERED_WITHIN: Final = WithinMetric(
    "recovered_within",
    "recovered within",
    "share of devices with a usable certificate within D of the return of power",
)
REPLACED_WITHIN: Final = WithinMetric(
    "replaced_within",
    "replaced within",
    "share of devices told to renew that had a new certificate within D",
)
WITHIN: Final = (ENROLLED_WITHIN, RENEWED_WITHIN, RECOVERED_WITHIN, REPLACED_WITHIN)


TIME_TO_CERTIFICATE: Final = SpreadMetric(
    "time_to_certificate",
    Unit.SECONDS,
    "time to certificate",
    "from the first intended start to the verified certificate; what is open at the end is censored",
    lambda scope: scope.time_to_certificate,
)
RETRY_AFTER: Final = SpreadMetric(
    "retry_after",
    Unit.SECONDS,
    "Retry-After",
    "the Retry-After values received",
    lambda scope: scope.tally.told.histogram,
)
PUNCTUALITY: Final = SpreadMetric(
    "punctuality",
    Unit.SECONDS,
    "punctuality",
    "(poll started − first byte of the deferral) − Retry-After − planned spread: negative is early; HTTP-dates have a "  # noqa: RUF001 - a minus
    "tolerance of 1 s",
    lambda scope: scope.tally.polls.punctuality,
)
SPREADS: Final = (TIME_TO_CERTIFICATE, RETRY_AFTER, PUNCTUALITY)


def shown_in(place: Place) -> tuple[RunMetric, ...]:
    """Return the metrics that have a line in a place."""
    return tuple(metric for metric in METRICS if place in metric.shown_in)
