"""The value of a metric as text: shares in per cent, times in the unit that fits, what is always whole as such."""

from estsim.figures.metric_kinds import RunMetric, Unit
from estsim.figures.summary_deferral import DeferralSummary
from estsim.figures.text import count, duration, percent, ratio


def metric_text(metric: RunMetric, figures: DeferralSummary) -> str:
    """Return what a run, cohort or phase has of a metric, a dash where there is nothing to say."""
    value = metric.in_summary(figures) if metric.in_summary else None
    match metric.unit:
        case Unit.SHARE:
            return percent(value, 1)
        case Unit.SECONDS:
            return f"{value:.0f} s" if metric.whole and value is not None else duration(value)
        case _:
            return count(value) if metric.whole else ratio(value)
