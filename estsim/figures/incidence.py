"""The cumulative incidence of *issued*: the share of enrolments with a certificate by an age (docs/metrics.md).

It is the Aalen-Johansen estimate. Issued is the event; an end without a certificate is a competing event; enrolments
open at the end, or cut by the generator, are censored at their age. (The Kaplan-Meier estimate, with failures kept at
risk, is biased: of 1000 starts over 100 s, half failing at 1 s and half issued at 60 s, it gives 28.9 % at 60 s instead
of 50 %.)

It is computed by weights: each certificate counts 1 / G, where G is the share not censored before its age. That is the
same estimate; without censoring it is the plain share. Its inverse gives the quantiles. Without it, a ten-minute run of
a twenty-minute herd would show only the times of the first half.

The weight of a censored enrolment passes to those observed for longer. If there are none, its outcome is unknown. So it
is if it was open at the end and fewer than ten were observed for longer: else those few would stand for all that still
wait, and a run stopped early would look as if every device had been served. The bounds differ by the unknown share.
(Enrolments that the generator cut need no such minimum: a power cut does not depend on their age.)
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from estsim.est.enrolment import Goal, ImpactKind
from estsim.figures.support import Evidence, upper_bound
from estsim.record.ages import Ages, Within
from estsim.record.enrolment_tally import EnrolmentTally
from estsim.record.histograms import LONG, bucket_index, needed_samples

_ROUNDING: Final = 1e-9
_FEWEST_AT_RISK: Final = 10  # an estimate after censoring needs as many


@dataclass(frozen=True, slots=True)
class Share:
    """The incidence at an age: in ``low`` no enrolment of unknown outcome has succeeded, in ``high`` all have.

    ``effective`` is the number of uncensored samples with the same information.
    """

    low: float
    high: float
    samples: int
    issued: int  # by that age
    censored: int  # before that age
    at_risk: int  # of that age, without a certificate
    effective: float
    still_open: int = 0  # of those censored: open at the end

    @property
    def is_known(self) -> bool:
        """Whether both bounds are equal."""
        return self.high - self.low <= _ROUNDING

    def evidence(self, allowed: float) -> Evidence:
        """Return the evidence that at most ``allowed`` had no certificate by then.

        If that holds even with all censored enrolments counted as failures, the estimate is not needed.
        """
        worst = self.samples - self.issued
        if self.censored and upper_bound(worst, self.samples) <= allowed:
            return Evidence(self.samples, self.samples, worst / self.samples)
        all_ended = not self.at_risk and not self.still_open and self.is_known
        rests_on_few = self.censored > 0 and self.at_risk < _FEWEST_AT_RISK and not all_ended
        return Evidence(self.samples, self.effective, 1 - self.low, unsupported=rests_on_few)


@dataclass(frozen=True, slots=True)
class _Step:
    """The events at one age; each has a weight, by 1 / G more (``unknown``) if too few were observed for longer."""

    index: int  # bucket of the age
    at_risk: int
    issued: int
    failed: int
    cut: int
    open: int
    weight: float
    unknown: float = 0.0

    @property
    def censored(self) -> int:
        """The number of censored enrolments."""
        return self.cut + self.open

    @property
    def ended(self) -> int:
        """The number of enrolments that ended."""
        return self.issued + self.failed


class Incidence:
    """The incidence of certificates by time since the intended start, in milliseconds."""

    def __init__(self, ages: Ages, open_ages_ms: Counter[int] | None = None) -> None:
        self.events = ages.issued
        self._within = ages.within
        self._open_ages_ms = open_ages_ms or Counter()
        self.never = ages.failed.count
        self.censored = ages.cut.count + self._open_ages_ms.total()
        self.horizon = max([ages.issued.max or 0, ages.failed.max or 0, ages.cut.max or 0, *self._open_ages_ms])
        self.size = self.events.count + self.never + self.censored
        still_open: Counter[int] = Counter()
        for age_ms, count in self._open_ages_ms.items():
            still_open[bucket_index(min(age_ms, LONG.highest))] += count
        self._steps = list(_steps(ages, still_open, self.size))

    @property
    def unfinished(self) -> int:
        """Enrolments without a certificate: open, cut or failed."""
        return self.censored + self.never

    def supports(self, share: float) -> bool:
        """Return whether enough enrolments lie beyond the percentile to show it."""
        return self.size >= needed_samples(share)

    def quantile(self, share: float) -> int | None:
        """Return the time by which ``share`` had a certificate; None if that is later than ``horizon``."""
        return self.quantiles(share)[0]

    def quantiles(self, *shares: float) -> tuple[int | None, ...]:
        """Return several quantiles."""
        return tuple(self._quantile(share) for share in shares)

    def _quantile(self, share: float) -> int | None:
        reached, wanted = 0.0, (share - _ROUNDING) * self.size
        for step in self._steps:
            reached += step.issued * step.weight
            if step.issued and reached >= wanted:
                return min(LONG.highest_in(step.index), self.events.max or 0)
        return None

    def at(self, limit_ms: int) -> Share | None:
        """Return the incidence at an age; None without any enrolment.

        It is exact at the limits that were counted; at any other age it includes the whole bucket of that age.
        """
        if not self.size:
            return None
        steps = [*self._before(limit_ms)]
        issued = sum(step.issued * step.weight for step in steps)
        failed = sum(step.failed * step.weight for step in steps)
        at_risk = self.size - sum(step.ended + step.censored for step in steps)
        censored = sum(step.censored for step in steps)
        low = issued / self.size
        unknown = sum(step.ended * step.unknown for step in steps) / self.size
        if not at_risk and steps[-1].censored:  # the oldest did not end
            unknown = 1.0 - (issued + failed) / self.size
        high = max(low, min(1.0, low + unknown))
        effective = self._effective(steps, low, censored)
        still_open = sum(step.open for step in steps)
        had = sum(step.issued for step in steps)
        return Share(low, high, self.size, had, censored, at_risk, effective, still_open)

    def _before(self, limit_ms: int) -> Iterator[_Step]:
        """Yield the steps up to an age; of its own bucket, what is known to come before it."""
        limit = bucket_index(min(limit_ms, LONG.highest))
        below, open_below = Within(), 0
        for step in self._steps:
            if step.index > limit:
                return
            within = self._within.get(limit_ms)
            if step.index < limit or within is None:
                yield step
                below.add(Within(step.issued, step.failed, step.cut))
                open_below += step.open
                continue
            open_before = sum(count for age_ms, count in self._open_ages_ms.items() if age_ms < limit_ms)
            yield replace(
                step,
                issued=within.issued - below.issued,
                failed=within.failed - below.failed,
                cut=within.cut - below.cut,
                open=open_before - open_below,
            )

    def _effective(self, steps: list[_Step], share: float, censored: int) -> float:
        """Return the number of uncensored samples with the estimate's variance, by the delta method.

        Marubini and Valsecchi, Analysing Survival Data from Clinical Trials (1995), section 10.4. Without censoring it
        is the number of samples.
        """
        if not censored:
            return float(self.size)
        variance, had = 0.0, 0.0
        for step in steps:
            n, ended = step.at_risk, step.ended
            had += step.issued * step.weight / self.size
            without = n * step.weight / self.size  # S just before it
            ahead = share - had
            if n > ended:
                variance += ahead * ahead * ended / (n * (n - ended))
            variance += without * without * step.issued * (n - step.issued) / n**3
            variance -= 2 * ahead * without * step.issued / n**2
        known = float(self.size - censored)
        if variance <= 0 or not 0 < share < 1:
            return known
        return min(float(self.size), share * (1 - share) / variance)


def incidence_of(ages: Ages, ended_ns: int, *, grain_ms: int = 1) -> Incidence:
    """Return the incidence, with open enrolments censored at their age, rounded up to ``grain_ms``."""
    return Incidence(ages, ages.open_ages_ms(ended_ns, grain_ms))


def incidence_in(
    tally: EnrolmentTally, ended_ns: int, of: Goal | ImpactKind | None = None, *, grain_ms: int = 1
) -> Incidence:
    """Return the incidence among all enrolments, those of one goal, or devices under an impact.

    Ages of open enrolments are rounded up to ``grain_ms``: a coarse grain makes a display cheap.
    """
    ages = together([tally.ages[goal] for goal in Goal]) if of is None else tally.ages[of]
    return incidence_of(ages, ended_ns, grain_ms=grain_ms)


def _steps(ages: Ages, still_open: Counter[int], size: int) -> Iterator[_Step]:
    """Yield the steps by rising age; at a tie, certificates and failures come before censoring."""
    at_risk, uncensored, sure = size, 1.0, 1.0
    issued, failed, cut = ages.issued.counts, ages.failed.counts, ages.cut.counts
    for index in sorted({*issued, *failed, *cut, *still_open}):
        counts = (issued.get(index, 0), failed.get(index, 0), cut.get(index, 0), still_open[index])
        step = _Step(index, at_risk, *counts, weight=1 / sure, unknown=1 / uncensored - 1 / sure)
        yield step
        at_risk -= step.ended
        for censored, fewest in ((step.cut, 1), (step.open, _FEWEST_AT_RISK)):
            left = at_risk - censored
            if censored and left:  # else nothing comes after it
                uncensored *= left / at_risk
                sure *= left / at_risk if left >= fewest else 1
            at_risk = left


def together(parts: list[Ages]) -> Ages:
    """Return the sum of the ages of several kinds of enrolments."""
    whole = Ages(parts[0].within if parts else ())
    for part in parts:
        whole.merge(part)
    return whole
