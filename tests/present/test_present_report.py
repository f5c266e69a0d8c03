"""The page of a report: what it says in its tables, what it escapes, and that it asks nobody for anything."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from estsim.measure.histograms import LONG, Histogram
from estsim.measure.report_deferral import DeferralFigures, PartsFigures, Raster, Waits
from estsim.measure.report_figures import GeneratorReport, OperationReport, Rates, RunReport
from estsim.measure.report_windows import Course, course_of
from estsim.measure.survival import Survival
from estsim.measure.synchrony import Synchrony
from estsim.present.figures import ABSENT
from estsim.present.report import page

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e&amp;"
KINDS = (
    "ok", "deferred", "overloaded", "challenged", "unauthorized", "rejected", "server_error", "malformed", "failed",
    "abandoned",
)  # fmt: skip


class Reader(HTMLParser):
    """Reads a page as a browser does: tables by id, texts by id, tags, and what they would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: dict[str, str] = {}
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self._open: list[tuple[str, str]] = []
        self._rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and what it refers to."""
        given = dict(attrs)
        self.tags.add(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href", "data", "action", "srcset"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag == "table":
            self._rows = self.tables[given["id"] or ""] = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._rows[-1].append("")
        if tag not in {"meta", "link", "img", "br"}:
            self._open.append((tag, given.get("id") or ""))

    def handle_endtag(self, tag: str) -> None:
        """Close the tag, which must be the one that was opened last."""
        opened, _ = self._open.pop()
        assert opened == tag

    def handle_data(self, data: str) -> None:
        """Add text to the cell and to all that has an id around it."""
        if any(tag in {"script", "style"} for tag, _ in self._open):
            return
        if any(tag in {"td", "th"} for tag, _ in self._open):
            self._rows[-1][-1] += data
        for _, name in self._open:
            if name:
                self.texts[name] = self.texts.get(name, "") + data


def a_course(per_second: Mapping[int, int]) -> Course:
    """Return a latency over time, of as many values of 10 ms as are given for each second."""
    seconds = {second: Histogram() for second in per_second}
    for second, count in per_second.items():
        seconds[second].record(10_000, count)
    return course_of(seconds)


def a_report(**changes: object) -> RunReport:
    """Return the figures of a run with some of everything."""
    values = Histogram()
    values.record(10_000, 150)
    took = Histogram(LONG)
    took.record(2_000, 90)
    course = a_course({0: 100, 1: 50})
    operation = OperationReport(
        "simpleenroll",
        {**dict.fromkeys(KINDS, 0), "ok": 150, "deferred": 60, "server_error": 4},
        values.block(0.001),
        values.block(0.001),
        course,
        course,
    )
    parts = dict.fromkeys(("service", "told", "device", "backoff", "client", "generator"), 0.5)
    report = RunReport(
        name="fleet-20260101T000000Z",
        facts={"scenario": "fleet", "seed": "42", "version": "0.1.0", "started": "2026-01-01T00:00:00+00:00"},
        summary=None,
        scenario="version: 1\nname: fleet\n",
        ended_s=2.0,
        certificates=150,
        exchanges_per_certificate=1.43,
        failures=0.02,
        unfinished=10,
        time_to_certificate=Survival(took, _ages(10), 0),
        rates=Rates(1, (3.0, 1.0), (2.0, 1.0), (4.0, 2.0), (1, 1), {"server_error": (3, 1)}),
        operations=(operation,),
        deferral=DeferralFigures(
            60, {"seconds": 60}, 60, 0, 0.25, 0.75, 3, Synchrony(0.5, 0.4, 0.3, 2.0),
            Waits(3.0, 0.1, (60, 0), (50, 10)), Raster(3, 0.0, 1, 0.1, ((1, 2), (3, 4))),
        ),
        parts=(PartsFigures("enroll", 150, ((150, 3.0, parts),)),),
        error_kinds=1,
        errors=(("server_error", "", "busy", 4),),
        generator=GeneratorReport(values.block(0.001), course, ((1.0, 0.5, 2.0),), 10**8),
        handshakes=(("1.3, x25519", 214),),
    )  # fmt: skip
    return replace(report, **changes)  # type: ignore[arg-type]


def _ages(count: int, age_ms: int = 1_000) -> Counter[int]:
    return Counter({age_ms: count})


def test_tables_have_the_figures() -> None:
    """Requests by class where a class occurred, percentiles with n, and a dash for what the sample cannot support."""
    tables = Reader(page(a_report())).tables
    assert tables["operations"] == [
        ["operation", "requests", "ok", "deferred", "server error"],
        ["simpleenroll", "214", "150", "60", "4"],
    ]
    assert tables["latencies"] == [
        ["operation", "time", "n", "p50", "p90", "p95", "p99", "max"],
        ["simpleenroll", "service", "150", "10ms", "10ms", ABSENT, ABSENT, "10ms"],
        ["simpleenroll", "response", "150", "10ms", "10ms", ABSENT, ABSENT, "10ms"],
    ]
    assert ["synchronisation R", "0.50"] in tables["deferral"]
    assert tables["errors"][1] == ["server error", ABSENT, "busy", "4"]


def test_quantiles_that_were_not_reached_are_said_to_be_longer() -> None:
    """Open enrolments count; what stands on too few is not given at all."""
    texts = Reader(page(a_report(time_to_certificate=Survival(_hundred(), _ages(200, 9_000), 0)))).texts
    assert texts["tile-2"] == "> 9.00s"  # a third had one after 2 s; of the others no more is known
    few = Reader(page(a_report(time_to_certificate=Survival(Histogram(LONG), _ages(19), 0)))).texts
    assert few["tile-2"] == "needs n = 20"


def _hundred() -> Histogram:
    took = Histogram(LONG)
    took.record(2_000, 100)
    return took


@pytest.mark.parametrize(
    ("summary", "facts", "said"),
    [
        ({"verdict": "passed", "thresholds": [{"expression": "failures < 1%", "passed": True}]}, {}, "PASSED The thr"),
        ({"verdict": "failed", "thresholds": [{"expression": "failures < 1%", "why": "was 2%"}]}, {}, "was 2%"),
        (None, {}, "DID NOT END The run did not end: it was killed, or is still under way."),
        (None, {"ending": "finished"}, "NO SUMMARY The run came to its end (finished), but its summary.json"),
        ({}, {}, "NO VERDICT"),
    ],
)
def test_the_verdict_is_one_sentence(summary: object, facts: dict[str, str], said: str) -> None:
    """From the summary where there is one; a run without one is told by name."""
    assert said in Reader(page(a_report(summary=summary, facts=facts))).texts["verdict"]


def test_a_threshold_that_fails_stands_out() -> None:
    """Every threshold is a row; the failed one has a look of its own."""
    thresholds = [
        {"expression": "failures < 1%", "passed": True, "why": "was 0%"},
        {"expression": "enrolled_within.10s >= 95%", "passed": False, "why": "was 40%"},
    ]
    text = page(a_report(summary={"verdict": "failed", "thresholds": thresholds}))
    assert Reader(text).tables["thresholds"][1:] == [
        ["passed", "failures < 1%", "was 0%"],
        ["FAILED", "enrolled_within.10s >= 95%", "was 40%"],
    ]
    assert text.count('<tr class="failed">') == 1


def test_nothing_that_a_server_or_a_scenario_says_is_markup() -> None:
    """Hostile text in every place that takes text is shown as it is, and is nowhere a tag or a handler."""
    plain = page(a_report())
    hostile = page(
        a_report(
            name=HOSTILE,
            facts=dict.fromkeys(("scenario", "target", "id", "seed", "started", "version", "groups_offered"), HOSTILE),
            scenario=f"name: {HOSTILE}\n</pre>",
            summary={
                "verdict": HOSTILE,
                "thresholds": [{"expression": HOSTILE, "why": HOSTILE}],
                "certificates": {"findings": [HOSTILE]},
                "generator": {"why": HOSTILE},
                "run": {"openssl": HOSTILE},
            },
            errors=(("rejected", HOSTILE, HOSTILE, 4),),
            handshakes=((HOSTILE, 1),),
        )
    )
    found = Reader(hostile)
    assert found.tags <= Reader(plain).tags | {"ul", "li", "strong"}
    assert found.handlers == []
    assert "<script>alert(1)" not in hostile
    assert "\u202e" not in hostile
    visible = HOSTILE.replace("\u202e", "·")
    assert found.tables["errors"][1][2] == visible
    assert found.texts["scenario"] == f"name: {visible}\n</pre>"


def test_the_page_asks_nobody_for_anything() -> None:
    """No tag loads anything, no style does, and the page's own policy would forbid it."""
    text = page(a_report())
    found = Reader(text)
    assert found.loads == []
    assert found.tags.isdisjoint({"link", "iframe", "img", "object", "embed", "base", "form"})
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text[: text.index("<script")]


def test_what_there_is_none_of_is_left_out() -> None:
    """A run in which nothing happened has a page without charts of nothing."""
    nothing = Histogram().block(0.001)
    bare = a_report(
        rates=Rates(),
        operations=(),
        parts=(),
        errors=(),
        handshakes=(),
        deferral=DeferralFigures(0, {}, 0, 0, None, None, None, Synchrony(), None, None),
        generator=GeneratorReport(nothing, Course(0), (), None),
        time_to_certificate=Survival(Histogram(LONG), _ages(0), 0),
        exchanges_per_certificate=None,
        failures=None,
    )
    found = Reader(page(bare))
    assert not {"chart-latency", "chart-parts", "chart-waits", "chart-raster", "chart-generator"} & {*found.texts}
    assert "deferral" not in found.tables
    assert found.texts["tile-4"] == ABSENT
