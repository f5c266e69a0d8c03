"""The tables after a run."""

import json
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from estsim.figures.metric_kinds import Place
from estsim.figures.metrics import shown_in
from estsim.figures.summary import read_summary
from estsim.terminal.tables import final_tables


def statistic(middle: float) -> dict[str, float]:
    """Return a statistic block as summary.json has it."""
    return {
        "count": 500,
        "mean": middle,
        "p50": middle,
        "p90": middle * 2,
        "p95": middle * 3,
        "p99": middle * 5,
        "p99_9": middle * 7,
        "max": middle * 9,
    }


Block = Mapping[str, object]

SUMMARY = {
    "schema_version": 1,
    "run": {"id": "x", "version": "0.1.0"},
    "fleet": {"devices": 500, "states": {"operational": 480, "gave_up": 2, "retired": 18, "off": 0}},
    "operations": {
        "cacerts": {"requests": 0},
        "simpleenroll": {
            "requests": 640,
            "ok": 500,
            "deferred": 134,
            "rejected": 4,
            "server_error": 2,
            "service_ms": statistic(5.1),
            "response_ms": statistic(5.3),
        },
    },
    "certificates": {"issued": 1001, "verified": 1000, "expected_refusals": 0, "findings": []},
    "deferral": {
        "exchanges_per_certificate": 1.28,
        "polls": 268,
        "wasted_share": 0.031,
        "hit_rate": 0.97,
        "early_polls": 0,
        "period_s": 3,
        "synchronisation": 0.12,
        "drain_s": None,
        "fairness": 0.42,
        "time_to_certificate_s": {
            **statistic(0.02),
            "p99": None,
            "max": None,
            "unfinished": 2,
            "longer_than_s": {"p99": 60.0, "max": 60.0},
            "parts_s": {"service": 4.0, "told": 96.0, "backoff": 0.0},
        },
        "enrolled_within": {"10s": 0.9999, "1m": 1.0},
        "retry_after_s": statistic(2.1),
        "punctuality_s": statistic(0.01),
        "non_conformance": {"retry_after_missing": {"count": 3, "rfc_section": "RFC 7030 4.2.3"}},
    },
    "generator": {
        "cpu_s": 12.2,
        "cpu_per_enrolment_ms": 4.3,
        "enrolments_per_s": 25.04,
        "cpu_per_handshake_ms": 2.2,
        "peak_rss_mib": 133.0,
        "schedule_lag_ms": statistic(0.4),
        "saturated": False,
        "why": None,
    },
    "thresholds": [
        {"expression": "failures < 1%", "value": 0.0, "passed": True, "why": "actual 0.9%"},
        {"expression": "simpleenroll.response.p99 < 20ms", "value": 26.5, "passed": False, "why": "actual 26.5ms"},
    ],
    "verdict": "failed",
}


def printed(summary: Block, width: int = 80, results: Path | None = None) -> str:
    """Return what a terminal or a pipe of the width gets to see."""
    stream = StringIO()
    console = Console(file=stream, width=width, _environ={})
    console.print(final_tables(read_summary(summary), results=results, width=console.width), soft_wrap=True)
    return stream.getvalue()


def words(summary: Block) -> str:
    """Return the printed words with a single space between them."""
    return " ".join(printed(summary).split())


def test_the_verdict_comes_first_and_names_the_broken_threshold() -> None:
    """In a sentence, before any table."""
    first = printed(SUMMARY).lstrip().split("\n\n")[0]
    assert first.startswith("FAILED")
    assert "1 of 2 thresholds failed: simpleenroll.response.p99 < 20ms (actual" in " ".join(first.split())


def an_error(number: int, detail: str, of_class: str | None = "rejected", phase: str | None = None) -> Block:
    """Return an entry of summary.json's errors."""
    operation = None if of_class is None else "simpleenroll"
    return {"operation": operation, "class": of_class, "phase": phase, "detail": detail, "count": number}


def test_failures_are_shown_with_their_reasons() -> None:
    """Below the counts, the most frequent first, folded under itself to the width."""
    long = "subject alternative name does not match, and much more was said of it"
    errors = [
        an_error(1109, "connection refused", "server_error", "connect"),
        an_error(3, f"400 {long}"),
    ]
    text = printed({**SUMMARY, "errors": errors})
    lines = text[text.index("ERRORS") :].splitlines()[:4]
    assert [line.rstrip(" ─") for line in lines] == [
        "ERRORS  1 112 in 640 requests",
        "    1 109  simpleenroll server error in connect: connection refused",
        "        3  simpleenroll rejected: 400 subject alternative name does not match,",
        "           and much more was said of it",
    ]
    assert text.index("REQUESTS") < text.index("ERRORS") < text.index("CERTIFICATES")
    assert "ERRORS" not in printed({**SUMMARY, "errors": []})


def test_of_many_failures_ten_kinds_are_shown_and_the_rest_is_counted() -> None:
    """An error of a page does not hide the rest of the tables; the counts add up to the title's."""
    errors = [*(an_error(50 - n, "e" * 2000) for n in range(20)), an_error(7, "other errors (4 kinds)", None)]
    lines = [line.strip() for line in printed({**SUMMARY, "errors": errors}).splitlines()]
    start = lines.index(next(line for line in lines if line.startswith("ERRORS  817 in 640 requests")))
    assert sum(line.startswith(f"{50 - n}  simpleenroll rejected") for n in range(20) for line in lines) == 10
    assert lines[start + 41] == "362  other errors"


@pytest.mark.parametrize(
    ("lag", "saturation", "shown"),
    [
        ({"p99": 3.0, "max": 9.0}, None, "schedule lag p99 3.0ms"),
        ({"p99": None, "max": 9.0}, None, "schedule lag max 9.0ms"),
        ({"p99": None, "max": 99.0}, {"lag_ms": 36, "from_s": 2, "to_s": 11}, "highest schedule lag 36ms at 2-11 s"),
        ({"p99": 3.0, "max": 9.0}, {"lag_ms": None, "from_s": 2, "to_s": 11}, "schedule lag p99 3.0ms"),
    ],
)
def test_the_schedule_lag_is_the_one_that_the_verdict_quotes(lag: Block, saturation: Block | None, shown: str) -> None:
    """Where it quotes one; of a run with few exchanges there is a maximum, if no percentile."""
    generator = {"saturated": saturation is not None, "schedule_lag_ms": lag, "saturation": saturation}
    assert f" {shown} " in words({**SUMMARY, "generator": generator})


NO = "not judged"
UNREACHABLE = {
    **SUMMARY,
    "verdict": "unreachable",
    "unreachable": "preflight to https://est.example failed in phase connect: refused\n  check that it is running",
    "thresholds": [
        {"expression": name, "value": None, "passed": False, "why": "not judged: the preflight failed"}
        for name in ("failures < 1%", "simpleenroll.response.p99 < 20ms")
    ],
}


def test_a_failed_preflight_shows_its_cause_what_would_help_and_no_empty_tables() -> None:
    """Directly under the title; thresholds are not judged, and nothing else is there but the folder."""
    text = printed(UNREACHABLE, results=Path("results/run"))
    assert [line.rstrip(" ─") for line in text.splitlines() if line.strip()] == [
        " PREFLIGHT FAILED  Preflight to https://est.example failed in phase connect:",
        "                   refused",
        "                   check that it is running.",
        "                   No device was started.",
        "THRESHOLDS  0 of 2 passed, 2 not judged",
        " not judged  failures < 1%                      the preflight failed",
        " not judged  simpleenroll.response.p99 < 20ms   the preflight failed",
        "RESULTS  estsim 0.1.0",
        " results/run",
    ]


@pytest.mark.parametrize(("verdict", "mark"), [("aborted", NO), ("error", NO), ("failed", "FAILED")])
def test_a_threshold_that_was_not_judged_fails_only_in_a_finished_run(verdict: str, mark: str) -> None:
    """A run that was interrupted has not had the time."""
    entry = {"expression": "failures < 1%", "value": None, "passed": False, "why": "not judged: no sample"}
    assert f"{mark} failures < 1% " in words({**SUMMARY, "verdict": verdict, "thresholds": [entry]})


def thin(number: int, of: int) -> list[dict[str, object]]:
    """Return thresholds that passed, some of them thin."""
    return [
        {
            "expression": f"failures < {n + 1}%",
            "passed": True,
            "why": "actual 0%",
            "support": {"supported": n >= number},
        }
        for n in range(of)
    ]


@pytest.mark.parametrize(
    ("number", "of", "sentence"),
    [
        (0, 2, "2 of 2 thresholds passed. THRESHOLDS 2 of 2 passed ─"),
        (2, 2, "2 of 2 thresholds passed, 2 on too few samples (thin). THRESHOLDS 2 of 2 passed, 2 thin ─"),
        (1, 1, "The threshold passed, on too few samples (thin). THRESHOLDS 1 of 1 passed, 1 thin ─"),
    ],
)
def test_thin_passes_are_named_in_the_verdict(number: int, of: int, sentence: str) -> None:
    """How many, in the same sentence."""
    assert f"PASSED {sentence}" in words({**SUMMARY, "verdict": "passed", "thresholds": thin(number, of)})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"verdict": "passed", "thresholds": SUMMARY["thresholds"][:1]}, "PASSED The threshold passed."),  # type: ignore[index]  # a list
        ({"verdict": "aborted"}, "ABORTED The run was interrupted;"),
        ({"verdict": "unreachable"}, "PREFLIGHT FAILED The server could not be reached"),
        (
            {"verdict": "saturated", "generator": {"saturated": True, "why": "CPU 97% in 0:10-0:20."}},
            (
                "SATURATED The generator could not keep up, so these figures do not reflect the server. "
                "CPU 97% in 0:10-0:20."
            ),
        ),
        (
            {"certificates": {"findings": ["device 7: an expired certificate was accepted"]}},
            "The server issued certificates to devices it should have refused: 1 finding.",
        ),
    ],
)
def test_each_verdict_is_a_plain_sentence(changes: dict[str, object], sentence: str) -> None:
    """With the reason where there is one."""
    assert sentence in words({**SUMMARY, **changes})


def test_each_phase_has_a_row_with_its_rates() -> None:
    """And the run below them, its warm-up left out; within 80 columns."""
    calm = {
        "lasted_s": 300.0,
        "requests_per_s": 0.67,
        "certificates_per_s": 123.6,
        "operations": {"simpleenroll": {"requests": 200}, "cacerts": {"requests": 1}},
        "certificates": {"verified": 37_080},
    }
    summary = {**SUMMARY, "run": {"lasted_s": 70.0}, "phases": {"calm": calm, "warmup": {**calm, "lasted_s": 20.0}}}
    lines = printed(summary).splitlines()
    at = next(n for n, row in enumerate(lines) if row.startswith("PHASES"))
    assert lines[at].split() == ["PHASES", "length", "requests", "requests/s", "certificates", "certificates/s"]
    rows = [" ".join(row.split()) for row in lines[at + 1 : at + 4]]
    assert rows[0] == "calm 5m00s 201 0.7 37 080 124"
    assert rows[1] == "warmup 20.0s 201 0.7 37 080 124"
    asked = sum(entry["requests"] for entry in SUMMARY["operations"].values())  # type: ignore[attr-defined]  # a dict
    assert rows[2] == f"whole run 50.0s {asked:,} {asked / 50:.1f} 1 000 20.0".replace(",", " ")
    assert max(map(len, lines)) <= 80
    assert "PHASES" not in printed(SUMMARY)


def test_every_block_shows_its_figures() -> None:
    """Thresholds, latency, requests by class, certificates, deferral, generator, fleet and the way to the rest."""
    text = " ".join(printed(SUMMARY, results=Path("results/quickstart-1")).split())
    for expected in (
        "passed failures < 1% actual 0.9%",
        "FAILED simpleenroll.response.p99 < 20ms actual 26.5ms",
        "simpleenroll 5.1ms 10ms 25ms 46ms 5.3ms 11ms 26ms 48ms",
        "simpleenroll 500 ok, 134 deferred, 4 rejected, 2 server error",
        "1 001 issued · 1 000 verified",
        "time to certificate p50 20ms p90 40ms p99 > 60.0s max > 60.0s",
        "2 without a certificate at the end of the run",
        "service 4%, Retry-After 96%",
        "enrolled within 10s: >99.9%, 1m: 100%",
        "1.28 exchanges per certificate",
        "polls 268 wasted share 3.1%",
        "Retry-After p50 2.10s",
        "drain – fairness 0.42",  # noqa: RUF001 - the dash of an absent figure
        "3 x retry_after_missing (RFC 7030 4.2.3)",
        "GENERATOR kept up",
        "schedule lag p50 400µs schedule lag p99 2.0ms",
        "CPU per enrolment 4.3ms at 25.0/s",
        "CPU per enrolment is higher at low rates",
        "FLEET 500 devices",
        "480 operational, 2 gave up, 18 retired",
        "results/quickstart-1",
    ):
        assert expected in text
    assert "cacerts" not in text


def test_an_empty_summary_claims_nothing() -> None:
    """Dashes where there are no figures; nobody is said not to have been deferred."""
    text = words({})
    assert "NO VERDICT" in text
    assert "– issued" in text  # noqa: RUF001 - the dash of an absent figure
    assert "no deferrals" not in text


def test_a_run_without_deferrals_says_so() -> None:
    """Instead of a table of dashes."""
    text = words({"deferral": {"polls": 0, "retry_after_s": {"count": 0}}})
    assert "no deferrals" in text
    assert "wasted share" not in text


def test_findings_are_printed_loudly() -> None:
    """Each on its own, whole."""
    finding = "device 7: " + "an expired certificate was accepted " * 5
    text = words({"verdict": "failed", "certificates": {"findings": [finding]}})
    said = "FINDINGS the server issued certificates to devices it should have refused"
    assert re.search(rf"{said} ─+ {re.escape(finding.strip())}", text)


def test_every_metric_is_shown_where_its_table_says() -> None:
    """With its label; shares within a time too, of which some are known."""
    within = {f"{family}_within": {"10s": 0.5} for family in ("recovered", "replaced")}
    text = words({**SUMMARY, "deferral": {**SUMMARY["deferral"], "fano": 7.25, **within}})  # type: ignore[dict-item]  # a dict
    assert all(f" {metric.label} " in text for metric in shown_in(Place.TABLES))
    assert "Fano factor 7.25" in text
    assert "recovered within 10s: 50.0%" in text
    assert "replaced within 10s: 50.0%" in text
    assert "renewed within" not in text


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Long expressions and reasons are folded, and no line ends in blanks."""
    judged = [
        {"expression": "cohorts." + "n" * 90 + ".p99 < 1s", "passed": False, "why": "not judged: " + "needs more " * 20}
    ]
    for summary in (SUMMARY, {**SUMMARY, "thresholds": judged}, {}):
        lines = printed(summary, width).split("\n")
        assert all(cell_len(line) <= width for line in lines)
        assert all(line == line.rstrip() for line in lines)


def test_a_path_is_left_whole_for_copying() -> None:
    """Even where it is longer than the line."""
    path = Path("results") / ("long-name-" * 20)
    assert str(path) in printed(SUMMARY, results=path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([*SUMMARY, "deferral.time_to_certificate_s", "deferral.non_conformance"]), JSON)
def test_a_summary_with_a_block_of_another_kind_still_prints(path: str, value: object) -> None:
    """Reports come out of the files of other versions, too."""
    summary = json.loads(json.dumps(SUMMARY))
    *parents, last = path.split(".")
    inner = summary
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    assert final_tables(read_summary(summary), results=None, width=80).lines
