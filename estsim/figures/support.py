"""Whether a sample is large enough for a threshold (docs/metrics.md, "Thresholds").

A threshold on a percentile or a share allows a share of the samples to lie beyond its limit: ``p99 < 1s`` allows 1 %.
A pass is supported if the upper bound of the share beyond the limit, one-sided with 95 % confidence, is allowed; a
failure if the lower bound is not. The bounds are those of Clopper and Pearson (Biometrika 26, 1934): exact for
independent samples, and defined for an effective number of samples that is not whole.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, lgamma, log
from typing import Final

from estsim.figures.summary_blocks import SupportSummary

CONFIDENCE: Final = 0.95  # one-sided
_MOST_SAMPLES: Final = 10**9  # a threshold that needs more is never supported
_TINY: Final = 1e-300
_EPSILON: Final = 1e-14
_MOST_TERMS: Final = 100_000
_BISECTIONS: Final = 60


@dataclass(frozen=True, slots=True)
class Evidence:
    """The sample behind a threshold: its size, its effective size, and the share of it beyond the limit.

    ``unsupported``: too few members of it determine the estimate.
    """

    samples: int
    effective: float
    beyond: float
    unsupported: bool = False


@dataclass(frozen=True, slots=True)
class Support:
    """Whether a judgement is supported; ``needed`` is None if no number of such samples would suffice.

    ``effective`` is the number of independent samples with the same information.
    """

    samples: int
    needed: int | None
    supported: bool
    effective: float

    def block(self) -> SupportSummary:
        """Return the block of summary.json."""
        return SupportSummary(self.samples, self.needed, self.supported)


def support_of(evidence: Evidence, allowed: float, *, passed: bool) -> Support:
    """Return whether samples support that the share beyond the limit is at most ``allowed``, or if failed, above it.

    ``needed`` is the number of samples, as dependent and with the same share beyond, that would support it.
    """
    per_sample = evidence.effective / evidence.samples if evidence.samples else 1.0
    needed = needed_for(evidence.beyond, allowed, passed=passed)
    if needed is not None and per_sample > 0:
        needed = ceil(round(needed / per_sample, 6))
    supported = not evidence.unsupported and evidence.samples > 0
    supported = supported and _holds(evidence.beyond, evidence.effective, allowed, passed=passed)
    return Support(evidence.samples, needed, supported, evidence.effective)


@lru_cache(maxsize=1024)
def needed_for(beyond: float, allowed: float, *, passed: bool = True) -> int | None:
    """Return the least number of independent samples that support a share, None if no number does.

    With nothing beyond the limit that is ``0.05 = (1 - allowed) ** n``: 299 for p99, 29 for p90, 5 for p50.
    """
    if not 0 < allowed < 1:
        return None
    if passed and beyond == 0:
        return ceil(log(1 - CONFIDENCE) / log(1 - allowed))
    high = 1
    while not _holds(beyond, high, allowed, passed=passed):
        high *= 2
        if high > _MOST_SAMPLES:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _holds(beyond, middle, allowed, passed=passed) else (middle, high)
    return high


def _holds(beyond: float, samples: float, allowed: float, *, passed: bool) -> bool:
    if passed:
        return beyond <= allowed and upper_bound(beyond * samples, samples) <= allowed
    return beyond >= allowed and lower_bound(beyond * samples, samples) > allowed


def upper_bound(count: float, samples: float) -> float:
    """Return the share that is exceeded with only 5 % confidence, if ``count`` of ``samples`` were counted."""
    if count >= samples:
        return 1.0
    if count <= 0:
        return float(1 - (1 - CONFIDENCE) ** (1 / samples))
    return _inverse(lambda share: incomplete_beta(count + 1, samples - count, share), CONFIDENCE)


def lower_bound(count: float, samples: float) -> float:
    """Return the share that is undercut with only 5 % confidence."""
    return 1 - upper_bound(samples - count, samples)


def _inverse(rising: Callable[[float], float], target: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # here the fraction converges slowly: DLMF 8.17.4
        return 1 - incomplete_beta(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    return front * _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction, evaluated from its front (Lentz's method, modified by Thompson and Barnett)."""
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = 1.0
        for term in (even, odd):
            d = 1 / _nonzero(1 + term * d)
            c = _nonzero(1 + term / c)
            step = c * d
            value *= step
        if abs(step - 1) < _EPSILON:
            break
    return value


def _nonzero(value: float) -> float:
    """Return the value, or a tiny one instead of zero."""
    return value if abs(value) > _TINY else _TINY
