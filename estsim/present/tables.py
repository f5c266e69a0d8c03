"""The tables printed once a run is over, made of summary.json's figures (DESIGN §8).

The verdict comes first, in words; then what it rests on; last where everything else is. Figures that a run could not
give show as a dash. Tables fit the width, reasons and lists are folded, and paths are left whole for copying.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from estsim.measure.snapshot import OperationFigures, Quantiles
from estsim.present.figures import count, duration, mebibytes, milliseconds, percent, ratio
from estsim.present.ink import ALARM, QUIET, STRONG, Line, Page, clean, ink, left, title, trimmed, wrap
from estsim.present.labelled import LABEL, folded, pairs, words
from estsim.present.latency import latency
from estsim.present.reading import Block, block, counts, number, text, whole
from estsim.present.verdict import summary_findings, thresholds, verdict

_WIDEST: Final = 110
_NARROWEST: Final = 80
_CLASSES: Final = (
    "ok",
    "deferred",
    "overloaded",
    "challenged",
    "unauthorized",
    "rejected",
    "server_error",
    "malformed",
    "failed",
    "abandoned",
)
_QUANTILES: Final = ("p50", "p90", "p99", "max")


def print_final_tables(console: Console, summary: Block, *, results: Path | None, report: Path | None = None) -> None:
    """Print the tables to the console, its width respected; lines that cannot be folded run over, uncut."""
    console.print(final_tables(summary, results=results, report=report, width=console.width), soft_wrap=True)


def final_tables(summary: Block, *, results: Path | None, width: int, report: Path | None = None) -> Page:
    """Return the tables of a run for a terminal of the width; ``results`` is its folder, ``report`` the page in it."""
    width = min(max(width, _NARROWEST), _WIDEST)
    operations = _operations(summary)
    panes = [
        verdict(summary, width),
        thresholds(summary, width),
        latency(operations, width) if operations else [],
        _outcomes(operations, width),
        _certificates(summary, width),
        _deferral(block(summary, "deferral"), width),
        _findings(summary, width),
        _notices(block(summary, "run"), width),
        _generator(block(summary, "generator"), number(block(summary, "run"), "workers"), width),
        _fleet(block(summary, "fleet"), width),
        _results(summary, results, report, width),
    ]
    lines: list[Line] = []
    for pane in filter(None, panes):
        lines += [[], *map(trimmed, pane)]
    return Page([*lines, []])


def _operations(summary: Block) -> tuple[OperationFigures, ...]:
    """Return those operations that were asked for at all."""
    found = block(summary, "operations")
    figures = [(name, block(found, name)) for name in found]
    return tuple(
        OperationFigures(
            operation=name,
            requests=whole(entry, "requests"),
            by_class={kind: whole(entry, kind) for kind in _CLASSES},
            service_ms=_quantiles(block(entry, "service_ms")),
            response_ms=_quantiles(block(entry, "response_ms")),
        )
        for name, entry in figures
        if whole(entry, "requests")
    )


def _quantiles(source: Block) -> Quantiles:
    p50, p90, p99, most = (number(source, name) for name in _QUANTILES)
    return Quantiles(whole(source, "count"), p50, p90, p99, most)


def _outcomes(operations: Sequence[OperationFigures], width: int) -> list[Line]:
    """Return what the requests came to, in words; classes that did not occur are left out."""
    if not operations:
        return []
    lines = [title("REQUESTS", [count(sum(figures.requests for figures in operations))], width)]
    for figures in operations:
        parts = [f"{count(figures.by_class[kind])} {words(kind)}" for kind in _CLASSES if figures.by_class[kind]]
        lines += folded(figures.operation, ", ".join(parts), width)
    return lines


def _certificates(summary: Block, width: int) -> list[Line]:
    source = block(summary, "certificates")
    times = block(summary, "deferral", "time_to_certificate_s")
    notes = [f"{_count(source, 'issued')} issued", f"{_count(source, 'verified')} verified"]
    if refused := whole(source, "expected_refusals"):
        notes.append(f"{count(refused)} refused as expected")
    lines = [title("CERTIFICATES", notes, width), _times("time to certificate", times)]
    if unfinished := whole(times, "unfinished"):
        lines.append([ink(f" {left('', LABEL)}"), ink(f"{count(unfinished)} had none when the run ended", QUIET)])
    found = block(times, "parts_s")
    parts = {name: seconds for name in found if (seconds := number(found, name))}
    if total := sum(parts.values()):
        spent = ", ".join(f"{words(name)} {percent(seconds / total)}" for name, seconds in parts.items())
        lines += folded("spent on", spent, width)
    within = block(summary, "deferral", "enrolled_within")
    shares = [f"{limit}: {percent(number(within, limit), 1)}" for limit in within]
    return [*lines, *folded("enrolled within", ", ".join(shares), width)] if shares else lines


def _times(label: str, source: Block) -> Line:
    """Return the quantiles of a block in seconds; one that was not reached says how long it is at least."""
    longer = block(source, "longer_than_s")
    line = [ink(f" {left(label, LABEL)}")]
    for name in _QUANTILES:
        open_end = number(longer, name)
        value = duration(number(source, name)) if open_end is None else f"> {duration(open_end)}"
        line += [ink(f"{name} ", QUIET), ink(left(value, 10), STRONG)]
    return line


def _deferral(source: Block, width: int) -> list[Line]:
    """Return the figures of the deferrals; where nobody was deferred, that is all there is to say."""
    costs = f"{ratio(number(source, 'exchanges_per_certificate'))} exchanges per certificate"
    broken = _non_conformance(block(source, "non_conformance"), width)
    told = block(source, "retry_after_s")
    if not whole(told, "count") and not whole(source, "polls"):
        nobody = ["nobody was deferred"] if number(told, "count") == 0 else []
        return [title("DEFERRAL", [costs, *nobody], width), *broken]
    figures = (
        ("polls", _count(source, "polls")),
        ("wasted share", percent(number(source, "wasted_share"), 1)),
        ("early polls", _count(source, "early_polls")),
        ("hit rate", percent(number(source, "hit_rate"), 1)),
        ("period T", duration(number(source, "period_s"))),
        ("synchronisation R", ratio(number(source, "synchronisation"))),
        ("peak to mean", ratio(number(source, "peak_to_mean"))),
        ("lag correlation", ratio(number(source, "lag_correlation"))),
        ("burstiness", ratio(number(source, "burstiness"))),
        ("Fano factor", ratio(number(source, "fano"))),
        ("drain", duration(number(source, "drain_s"))),
        ("fairness", ratio(number(source, "fairness"))),
        ("expired while waiting", _count(source, "expired_while_waiting")),
        ("resync", duration(number(source, "resync_s"))),
    )
    return [
        title("DEFERRAL", [costs], width),
        _times("Retry-After", told),
        _times("punctuality", block(source, "punctuality_s")),
        *pairs(figures, width),
        *broken,
    ]


def _non_conformance(source: Block, width: int) -> list[Line]:
    lines: list[Line] = []
    for rule in source:
        entry = block(source, rule)
        times = whole(entry, "count") if entry else whole(source, rule)
        section = text(entry, "rfc_section")
        lines += folded("not conforming", f"{count(times)} x {rule}{f' ({section})' if section else ''}", width)
    return lines


def _findings(summary: Block, width: int) -> list[Line]:
    findings = summary_findings(summary)
    if not findings:
        return []
    lines = [title("FINDINGS", ["the server accepted what it must refuse"], width)]
    for finding in findings:
        lines += [[ink(f"  {line}", ALARM)] for line in wrap(clean(finding), width - 3)]
    return lines


def _notices(run: Block, width: int) -> list[Line]:
    """Return what a reader of the figures has to know of the plan."""
    found = run.get("notices")
    notices = [str(notice) for notice in found] if isinstance(found, list | tuple) else []
    if not notices:
        return []
    lines = [title("NOTICES", [], width)]
    for notice in notices:
        lines += [[ink(f" {line}")] for line in wrap(clean(notice), width - 2)]
    return lines


def _generator(source: Block, workers: float | None, width: int) -> list[Line]:
    saturated = source.get("saturated")
    note = "SATURATED" if saturated is True else "kept up" if saturated is False else "not judged"
    lag = block(source, "schedule_lag_ms")
    figures = (
        ("schedule lag p50", milliseconds(number(lag, "p50"))),
        ("schedule lag p99", milliseconds(number(lag, "p99"))),
        ("CPU per enrolment", milliseconds(number(source, "cpu_per_enrolment_ms"))),
        ("CPU per handshake", milliseconds(number(source, "cpu_per_handshake_ms"))),
        ("CPU in all", duration(number(source, "cpu_s"))),
        ("memory at its peak", mebibytes(number(source, "peak_rss_mib"))),
        ("worker processes", count(workers)),
    )
    return [title("GENERATOR", [note], width), *pairs(figures, width)]


def _fleet(source: Block, width: int) -> list[Line]:
    states = [f"{count(number)} {words(name)}" for name, number in counts(block(source, "states")).items()]
    lines = [title("FLEET", [f"{_count(source, 'devices')} devices"], width)]
    return [*lines, *folded("at the end", ", ".join(states), width)] if states else lines


def _results(summary: Block, results: Path | None, report: Path | None, width: int) -> list[Line]:
    if results is None:
        return []
    version = text(block(summary, "run"), "version")
    return [
        title("RESULTS", [f"estsim {version}"] if version else [], width),
        [ink(f" {clean(str(results))}", STRONG)],
        *([[ink(f" {clean(str(report))}", STRONG), ink("  charts, in one offline page", QUIET)]] if report else []),
    ]


def _count(source: Block, key: str) -> str:
    return count(number(source, key))
