"""The tables after a run."""

import json
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from estsim.present.reading import Block
from estsim.present.tables import final_tables, print_final_tables


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
        "cpu_per_handshake_ms": 2.2,
        "peak_rss_mib": 133.0,
        "schedule_lag_ms": statistic(0.4),
        "saturated": False,
        "why": None,
    },
    "thresholds": [
        {"expression": "failures < 1%", "value": 0.0, "passed": True, "why": "was 0.9%"},
        {"expression": "simpleenroll.response.p99 < 20ms", "value": 26.5, "passed": False, "why": "was 26.5ms"},
    ],
    "verdict": "failed",
}


def printed(summary: Block, width: int = 80, results: Path | None = None) -> str:
    """Return what a terminal or a pipe of the width gets to see."""
    stream = StringIO()
    print_final_tables(Console(file=stream, width=width, _environ={}), summary, results=results)
    return stream.getvalue()


def words(summary: Block) -> str:
    """Return the printed words with a single space between them."""
    return " ".join(printed(summary).split())


def test_the_verdict_comes_first_and_names_the_broken_threshold() -> None:
    """In a sentence, before any table."""
    first = printed(SUMMARY).lstrip().split("\n\n")[0]
    assert first.startswith("FAILED")
    assert "1 of 2 thresholds does not hold: simpleenroll.response.p99 < 20ms (was" in " ".join(first.split())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"verdict": "passed", "thresholds": SUMMARY["thresholds"][:1]}, "PASSED The threshold holds."),  # type: ignore[index]  # a list
        ({"verdict": "aborted"}, "ABORTED The run was interrupted;"),
        ({"verdict": "unreachable"}, "UNREACHABLE The server could not be reached"),
        (
            {"verdict": "saturated", "generator": {"saturated": True, "why": "CPU 97% in 0:10-0:20."}},
            "SATURATED The generator could not keep up, so these numbers are not the server's. CPU 97% in 0:10-0:20.",
        ),
        (
            {"certificates": {"findings": ["device 7: an expired certificate was accepted"]}},
            "The server accepted what it must refuse: 1 findings.",
        ),
    ],
)
def test_each_verdict_is_said_in_plain_words(changes: dict[str, object], sentence: str) -> None:
    """With the reason where there is one."""
    assert sentence in words({**SUMMARY, **changes})


def test_every_block_shows_its_figures() -> None:
    """Thresholds, latency, requests by class, certificates, deferral, generator, fleet and the way to the rest."""
    text = " ".join(printed(SUMMARY, results=Path("results/quickstart-1")).split())
    for expected in (
        "passed failures < 1% was 0.9%",
        "FAILED simpleenroll.response.p99 < 20ms was 26.5ms",
        "simpleenroll 5.1ms 10ms 25ms 46ms 5.3ms 11ms 26ms 48ms",
        "simpleenroll 500 ok, 134 deferred, 4 rejected, 2 server error",
        "1 001 issued · 1 000 verified",
        "time to certificate p50 20ms p90 40ms p99 > 60.0s max > 60.0s",
        "2 had none when the run ended",
        "service 4%, told 96%",
        "enrolled within 10s: >99.9%, 1m: 100%",
        "1.28 exchanges per certificate",
        "polls 268 wasted share 3.1%",
        "Retry-After p50 2.10s",
        "drain – fairness 0.42",  # noqa: RUF001 - the dash of an absent figure
        "3 x retry_after_missing (RFC 7030 4.2.3)",
        "GENERATOR kept up",
        "schedule lag p50 400µs schedule lag p99 2.0ms",
        "CPU per enrolment 4.3ms",
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
    assert "nobody was deferred" not in text


def test_a_run_without_deferrals_says_so() -> None:
    """Instead of a table of dashes."""
    text = words({"deferral": {"polls": 0, "retry_after_s": {"count": 0}}})
    assert "nobody was deferred" in text
    assert "wasted share" not in text


def test_findings_are_printed_loudly() -> None:
    """Each on its own, whole."""
    finding = "device 7: " + "an expired certificate was accepted " * 5
    text = words({"verdict": "failed", "certificates": {"findings": [finding]}})
    assert f"FINDINGS the server accepted what it must refuse ─── {finding.strip()}" in text.replace("─" * 27, "")


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
    assert final_tables(summary, results=None, width=80).lines
