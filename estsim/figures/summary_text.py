"""A summary as text: the verdict in sentences, internal errors, results of thresholds, phases, values of metrics."""

from collections.abc import Sequence
from typing import Final

from estsim.figures.metric_kinds import RunMetric, Unit
from estsim.figures.summary import PhaseSummary, Summary, requests_of
from estsim.figures.summary_blocks import DeferralSummary, InternalErrorsSummary, InternalErrorSummary, ThresholdSummary
from estsim.figures.text import ABSENT, clean, count, duration, percent, quantity, ratio
from estsim.figures.thresholds import NOT_JUDGED
from estsim.record.internal_errors import is_of_behaviour

WRONGLY_ISSUED: Final = "issued certificates to devices it should have refused"
HELD: Final = "passed"
BROKEN: Final = "FAILED"
_TITLES: Final = {"unreachable": "PREFLIGHT FAILED"}
_DECIMAL_BELOW: Final = 99.95  # per second; smaller rates have a decimal
_ENDED_BEFORE: Final = frozenset({"aborted", "unreachable", "error"})  # then, what is not judged has not failed


def headline(word: str) -> str:
    """Return the verdict as a headline, in capitals."""
    return _TITLES.get(word) or clean(word).upper() or "NO VERDICT"


def verdict_sentence(summary: Summary) -> str:
    """Return the verdict in sentences, one or more lines."""
    match summary.verdict:
        case "passed" | "failed":
            return _judged(summary)
        case "saturated":
            return saturation_sentence(summary.generator.why or "")
        case "unreachable":
            why = summary.unreachable or "The server could not be reached or started."
            return f"{_as_sentence(why)}\nNo device was started."
        case "error":
            return _with_internal_errors(summary.internal_errors)
        case "aborted":
            return "The run was interrupted; the figures cover the time until then."
        case _:
            return "The summary contains no verdict."


def _with_internal_errors(errors: InternalErrorsSummary | None) -> str:
    """Return what an internal error means for the figures."""
    stopped = errors.devices if errors else 0
    effect = (
        f"it stopped {quantity(stopped, 'device')}, missing from the figures" if stopped else "no device was affected"
    )
    of = "Error in a behaviour class, not in estsim" if is_of_behaviours(errors) else "Internal error of estsim"
    return f"{of}: {effect}. The run is not judged; see errors.log for the traceback."


def is_of_behaviours(errors: InternalErrorsSummary | None) -> bool:
    """Say whether all errors are those of a user's behaviour classes, and none is a bug of estsim."""
    kinds = errors.kinds if errors else ()
    return bool(kinds) and all(is_of_behaviour(kind.error) for kind in kinds)


def internal_errors(summary: Summary) -> tuple[str, ...]:
    """Return the kinds of internal errors, each as a line."""
    found = summary.internal_errors
    return tuple(_internal_error(kind) for kind in found.kinds) if found else ()


def _internal_error(kind: InternalErrorSummary) -> str:
    who = f", {quantity(kind.devices, 'device')} stopped" if kind.devices else ""
    return f"{count(kind.count)} x {kind.error} at {kind.place}{who}"


def saturation_sentence(why: str) -> str:
    """Return what saturation means for the figures, and its reason."""
    return f"The generator could not keep up, so these figures do not reflect the server. {_as_sentence(why)}".strip()


def _as_sentence(text: str) -> str:
    """Return a text with a capital letter at its beginning and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) or not text else ".")


def _judged(summary: Summary) -> str:
    judged = summary.thresholds
    broken = [entry for entry in judged if not entry.passed]
    findings = summary.certificates.findings
    found = f" The server {WRONGLY_ISSUED}: {quantity(len(findings), 'finding')}." if findings else ""
    if not broken:
        return (_all_hold(judged) if judged else "There are no thresholds.") + found
    if len(broken) == 1:
        reason = f"{broken[0].expression} ({broken[0].why or 'no reason given'})"
        which = "The threshold" if len(judged) == 1 else f"1 of {len(judged)} thresholds"
        return f"{which} failed: {reason}.{found}"
    return f"{len(broken)} of {len(judged)} thresholds failed.{found}"


def _all_hold(judged: Sequence[ThresholdSummary]) -> str:
    """Return a sentence about thresholds that all passed, and the number of thin ones."""
    thin = sum(entry.is_thin for entry in judged)
    if len(judged) == 1:
        return f"The threshold passed{', on too few samples (thin)' if thin else ''}."
    passed = f"{len(judged)} of {len(judged)} thresholds passed"
    return f"{passed}, {thin} on too few samples (thin)." if thin else f"{passed}."


def standing(entry: ThresholdSummary, ending: str) -> str:
    """Return the result of a threshold in a word; one that was not judged has failed, unless the run ended early.

    ``ending`` is the verdict of the run.
    """
    if entry.passed:
        return HELD
    return NOT_JUDGED if ending in _ENDED_BEFORE and entry.why.startswith(NOT_JUDGED) else BROKEN


def whole_run(summary: Summary) -> PhaseSummary:
    """Return the figures of the whole run, without its warm-up, as those of a phase."""
    lasted_s, warmup = summary.run.lasted_s, summary.phases.get("warmup")
    judged_s = None if lasted_s is None else lasted_s - ((warmup.lasted_s if warmup else None) or 0.0)
    return PhaseSummary(
        lasted_s=judged_s,
        requests_per_s=requests_of(summary) / judged_s if judged_s else None,
        certificates_per_s=(summary.certificates.verified or 0) / judged_s if judged_s else None,
        operations=summary.operations,
        certificates=summary.certificates,
        deferral=summary.deferral,
        cohorts={},
    )


def rate(value: float | None) -> str:
    """Return a rate per second."""
    if value is None:
        return ABSENT
    return f"{value:.1f}" if value < _DECIMAL_BELOW else count(round(value))


def cells(phase: PhaseSummary) -> tuple[str, ...]:
    """Return length, requests, their rate, certificates, their rate."""
    return (
        duration(phase.lasted_s),
        count(requests_of(phase)),
        rate(phase.requests_per_s),
        count(phase.certificates.verified),
        rate(phase.certificates_per_s),
    )


def metric_text(metric: RunMetric, figures: DeferralSummary) -> str:
    """Return the value of a metric: shares in per cent, times in a fitting unit, a dash for none."""
    value = metric.of_summary(figures)
    match metric.unit:
        case Unit.SHARE:
            return percent(value, 1)
        case Unit.SECONDS:
            return f"{value:.0f} s" if metric.whole and value is not None else duration(value)
        case _:
            return count(value) if metric.whole else ratio(value)
