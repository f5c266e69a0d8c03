"""The page of a report: what it says in its tables, what it escapes, and that it asks nobody for anything."""

import json
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from estsim.figures.metric_kinds import Place
from estsim.figures.metrics import shown_in
from estsim.figures.summary import read_summary
from estsim.figures.text import ABSENT
from estsim.record.error_kinds import ErrorKind, ErrorKinds
from estsim.record.histograms import Histogram
from estsim.record.phases import Stretch
from estsim.report.canvas import Clock
from estsim.report.charts import fleet, generator, rates
from estsim.report.deferral import DeferralPictures, PartsFigures, Punctuality, Raster, Waits, Window
from estsim.report.generator import GeneratorReport, GeneratorWindow, Vital
from estsim.report.page import page
from estsim.report.run_report import OperationCourse, RunReport
from estsim.report.series import FleetCourse, Rates, RunMark
from estsim.report.windows import Course, course_of

FACTS = ("scenario", "target", "id", "seed", "started", "version", "groups_offered", "workers")
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
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self._open: list[tuple[str, str]] = []
        self._rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and what it refers to."""
        given = dict(attrs)
        self.tags.add(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
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


def a_statistic(count: int = 150, value: float = 10.0, **more: object) -> dict[str, object]:
    """Return a statistic block of values that are all the same, too few for p95 and above."""
    return {"count": count, "p50": value, "p90": value, "p95": None, "p99": None, "max": value, **more}


def figures(**changes: object) -> dict[str, object]:
    """Return what summary.json says of a run or of a part of it."""
    operation = {
        "requests": 214, **dict.fromkeys(KINDS, 0), "ok": 150, "deferred": 60, "server_error": 4,
        "service_ms": a_statistic(ci95={"p50": [9.5, 10.51], "p90": [9.9, None], "p99": None}),
        "response_ms": a_statistic(), "deferred_ms": a_statistic(60, 5.0), "failed_ms": a_statistic(0),
    }  # fmt: skip
    times = {"count": 90, "p50": 2.0, "p90": None, "p99": None, "unfinished": 10, "longer_than_s": {"p90": 9.0}}
    return {
        "operations": {"cacerts": {"requests": 0}, "simpleenroll": operation},
        "certificates": {"verified": 150, "expected_refusals": 0, "findings": []},
        "deferral": {
            "exchanges_per_certificate": 1.43, "polls": 60, "wasted_share": 0.25, "hit_rate": 0.75, "early_polls": 0,
            "period_s": 3, "synchronisation": 0.5, "lag_correlation": 0.4, "burstiness": 0.3, "drain_s": 12.0,
            "fairness": 0.9, "resync_s": 4.0, "time_to_certificate_s": times,
            "retry_after_s": {**a_statistic(60, 3.0), "forms": {"seconds": 60}}, "punctuality_s": a_statistic(60, 0.01),
            "non_conformance": {"PEM armour": {"count": 3, "rfc_section": "RFC 8951 §3"}},
        },
        "phases": {}, "cohorts": {}, "generator": {"saturated": False, "why": None}, "thresholds": [],
        **changes,
    }  # fmt: skip


def a_report(**changes: object) -> RunReport:
    """Return the figures of a run with some of everything."""
    values = Histogram()
    values.record(10_000, 150)
    course = a_course({0: 100, 1: 50})
    parts = dict.fromkeys(("service", "told", "device", "backoff", "client", "generator"), 0.5)
    window = GeneratorWindow(0, 12.0, 2.0, 0.5, 95.0, 12, 0, 0.6)
    report = RunReport(
        name="fleet-20260101T000000Z",
        facts={"scenario": "fleet", "seed": "42", "version": "0.1.0", "started": "2026-01-01T00:00:00+00:00"},
        summary=None,
        figures=read_summary(figures()),
        failures={("run", ""): 0.02},
        not_judged={},
        scenario="version: 1\nname: fleet\n",
        ended_s=2.0,
        phases=(),
        told=(),
        rates=Rates(1, (3.0, 1.0), (2.0, 1.0), (4.0, 2.0), (1, 1), {"server_error": (3, 1)}),
        fleet=FleetCourse(1, 2, {"north": {"off": (9, 4), "operational": (1, 6)}}),
        courses=(OperationCourse("simpleenroll", course, course),),
        deferral=DeferralPictures(
            Waits(3.0, 0.1, (60, 0), (50, 10)), Punctuality(-0.1, 0.1, (5, 55)),
            Raster(3, 0.0, 1, 0.1, ((1, 2), (3, 4))), (Window(0.0, 60, 0.5),),
        ),
        parts=(PartsFigures("enroll", 150, ((150, 3.0, parts),)),),
        errors=ErrorKinds((ErrorKind("simpleenroll", "server_error", "", "busy", 4, {"north": 4}),), 1, 4),
        expected={},
        generator=GeneratorReport(
            values.block(0.001), course, (Vital(1.0, 0.5, 2.0, 95.0, 12, 0),), 10**8, 20.0, 0.9, (window,)
        ),
        handshakes=(("1.3, x25519", 214),),
    )  # fmt: skip
    for part in {"summary", "figures"} & {name for name, change in changes.items() if isinstance(change, dict)}:
        changes[part] = read_summary(changes[part])  # type: ignore[arg-type]  # a block
    return replace(report, **changes)  # type: ignore[arg-type]


def test_tables_have_the_figures() -> None:
    """Requests by class where a class occurred, percentiles with n, and a dash for what the sample cannot support."""
    tables = Reader(page(a_report())).tables
    assert tables["operations"] == [
        ["operation", "requests", "ok", "deferred", "server error"],
        ["simpleenroll", "214", "150", "60", "4"],
    ]
    assert tables["latencies"] == [
        ["operation", "time", "n", "p50", "p90", "p95", "p99", "max"],
        ["simpleenroll", "service", "150", "10ms (9.5ms to 10.5ms)", "10ms (9.9ms to ?)", ABSENT, ABSENT, "10ms"],
        ["simpleenroll", "response", "150", "10ms", "10ms", ABSENT, ABSENT, "10ms"],
        ["simpleenroll", "deferred", "60", "5ms", "5ms", ABSENT, ABSENT, "5ms"],
    ]
    assert ["synchronisation R", "0.50"] in tables["deferral"]
    assert tables["punctuality"][2][1:3] == ["60", "10ms"]
    assert tables["errors"][1] == ["simpleenroll", "server error", ABSENT, "busy", "4"]
    assert tables["non-conformance"][1] == ["PEM armour", "RFC 8951 §3", "3"]
    assert tables["worst"][1] == ["0 s", "12ms", "2ms", "50%", "95 MiB", "12", ABSENT]


def test_cohorts_and_phases_stand_side_by_side() -> None:
    """Each with the figures of the whole run below it; one cohort alone has no table of its own."""
    halves = {name: figures() for name in ("north", "south")}
    report = a_report(
        figures=figures(cohorts=halves, phases={"warmup": figures()}),
        failures={("run", ""): 0.02, ("cohort", "north"): 0.5, ("phase", "warmup"): None},
        phases=(Stretch("warmup", 0.0, 1.0),),
    )
    tables = Reader(page(report)).tables
    assert [row[0] for row in tables["cohorts"]] == ["cohort", "north", "south", "whole run"]
    assert tables["cohorts"][1] == ["north", "214", "150", "50.0%", "1.43", "2.00s", "> 9.00s", ABSENT, "12.0s"]
    assert tables["cohort-latencies"][1] == ["north", "simpleenroll", "150", "10ms", "10ms", ABSENT]
    assert tables["cohort-deferral"][2][:4] == ["south", "60", "60", "25.0%"]
    assert [row[0] for row in tables["phases"]] == ["phase", "warmup", "whole run"]
    assert tables["errors"][1] == ["simpleenroll", "server error", ABSENT, "busy", "north 4", "4"]
    assert "cohorts" not in Reader(page(a_report(figures=figures(cohorts={"north": figures()})))).tables


def test_the_fleet_is_stacked_by_state_and_cohort() -> None:
    """All devices in one chart and each cohort's below: at each point the areas add up to the devices."""
    south = {"operational": (0, 7), "off": (7, 0)}
    course = FleetCourse(1, 2, {"north": {"off": (9, 4), "operational": (1, 6)}, "south": south})
    drawn = fleet(course, Clock(2.0))
    sums: dict[str, list[int]] = {}
    for trace in drawn.data:
        sums.setdefault(trace.meta, [0] * len(trace.y))
        sums[trace.meta] = [total + each for total, each in zip(sums[trace.meta], trace.y, strict=True)]
    assert sums == {"all": [17] * 3, "north": [10] * 3, "south": [7] * 3}
    assert len({trace.name for trace in drawn.data if trace.showlegend}) == 2


def test_marks_are_lines_and_phases_bands() -> None:
    """On each panel of a chart over time, their words on the first; a notice is known beforehand and no line."""
    told = (
        RunMark(0.0, "notice", "resumed"),
        RunMark(1.0, "event", "power cut: <b>north</b>"),
        RunMark(1.5, "finding", "!"),
    )
    clock = Clock(2.0, (Stretch("calm", 0.0, 1.0), Stretch("later", 3.0, 4.0)), told)
    drawn = rates(a_report().rates, clock)
    assert [(shape.type, shape.x0) for shape in drawn.layout.shapes] == [
        ("rect", 0.0),
        ("line", 1.0),
        ("line", 1.5),
    ] * 2
    assert [text.text for text in drawn.layout.annotations] == ["calm", "power cut: &lt;b&gt;north&lt;/b&gt;", "!"]
    rows = Reader(page(a_report(told=told))).tables["told"]
    assert rows[2] == ["1.00s", "event", "power cut: <b>north</b>"]


def test_the_generator_s_limits_are_drawn_and_its_verdict_shown() -> None:
    """The limits are lines of their charts; one sentence says whether it kept up, and what it means if it did not."""
    report = a_report()
    drawn = generator(report.generator, Clock(2.0))
    assert [shape.y0 for shape in drawn.layout.shapes] == [20.0, 90.0]
    assert Reader(page(report)).texts["generator-verdict"] == (
        "The generator kept up: in any 10 s window, p99 schedule lag never exceeded 20ms (with fewer than 100 "
        "exchanges, the largest lag never exceeded 1.00s) and CPU never exceeded 90% of a core; no event-loop stall "
        "exceeded 1.00s."
    )
    late = figures(generator={"why": "schedule lag p99 was 99 ms"})
    said = Reader(page(a_report(figures=late))).texts
    sentence = (
        "The generator could not keep up, so these figures do not reflect the server. Schedule lag p99 was 99 ms."
    )
    assert said["generator-verdict"] == sentence
    assert said["verdict"].endswith(sentence)


def test_expected_failures_are_shown_separately() -> None:
    """Its number stands beside the operation and above the errors."""
    found = Reader(text := page(a_report(expected={"simpleenroll": 3})))
    assert found.tables["operations"][0][-1] == "expected refusals"
    assert found.tables["operations"][1][-1] == "3"
    assert "3 expected failures are excluded." in text


def test_findings_are_loud() -> None:
    """Beside the verdict, also of a run that did not end."""
    found = figures(certificates={"findings": ["north-7 has an expired certificate and was issued one"]})
    assert "north-7 has an expired" in Reader(page(a_report(figures=found))).texts["findings"]


def test_quantiles_that_were_not_reached_are_said_to_be_longer() -> None:
    """Open enrolments count; what stands on too few is not given at all."""

    def tile(**times: object) -> str:
        deferral = {"time_to_certificate_s": {"p50": None, **times}}
        return Reader(page(a_report(figures=figures(deferral=deferral)))).texts["tile-2"]

    assert tile(count=100, unfinished=200, longer_than_s={"p50": 9.0}) == "> 9.00s"
    assert tile(count=0, unfinished=19) == "requires n = 20"


@pytest.mark.parametrize(
    ("summary", "facts", "said"),
    [
        ({"verdict": "passed", "thresholds": [{"expression": "failures < 1%", "passed": True}]}, {}, "PASSED The thr"),
        ({"verdict": "failed", "thresholds": [{"expression": "failures < 1%", "why": "actual 2%"}]}, {}, "actual 2%"),
        (None, {}, "DID NOT END The run has not ended: it was killed or is still running."),
        (None, {"ending": "finished"}, "NO SUMMARY The run ended (finished), but its summary.json"),
        ({}, {}, "NO VERDICT"),
    ],
)
def test_the_verdict_is_one_sentence(summary: object, facts: dict[str, str], said: str) -> None:
    """From the summary where there is one; a run without one is told by name."""
    assert said in Reader(page(a_report(summary=summary, facts=facts))).texts["verdict"]


def test_a_threshold_that_fails_stands_out() -> None:
    """Every threshold is a row; the failed one has a look of its own."""
    thresholds = [
        {"expression": "failures < 1%", "passed": True, "why": "actual 0%"},
        {"expression": "enrolled_within.10s >= 95%", "passed": False, "why": "actual 40%"},
    ]
    text = page(a_report(summary={"verdict": "failed", "thresholds": thresholds}))
    assert Reader(text).tables["thresholds"][1:] == [
        ["passed", "failures < 1%", "actual 0%"],
        ["FAILED", "enrolled_within.10s >= 95%", "actual 40%"],
    ]
    assert text.count('<tr class="failed">') == 1


def test_the_environment_tells_of_workers_and_their_clocks() -> None:
    """How many there were, and how far each was off; what was not measured is left away, what cannot be read too."""
    facts = {"workers": "2", "clock_offsets": json.dumps({"0": [0.25, 0.004], "1": [None, None]})}
    rows = Reader(page(a_report(facts=facts))).tables["environment"]
    assert ["worker processes", "2"] in rows
    assert ["clock of worker 0", "+250.0 ms behind the master's, ±2.0ms"] in rows
    assert not any(row[0] == "clock of worker 1" for row in rows)
    broken = Reader(page(a_report(facts={"clock_offsets": "no JSON"}))).tables["environment"]
    assert ["worker processes", "1"] in broken


def test_text_of_servers_and_scenarios_is_never_markup() -> None:
    """Hostile text in every place that takes text is shown as it is, and is nowhere a tag or a handler."""
    plain = page(a_report())
    hostile = page(
        a_report(
            name=HOSTILE,
            facts={**dict.fromkeys(FACTS, HOSTILE), "clock_offsets": json.dumps({HOSTILE: [0.5, 0.001]})},
            scenario=f"name: {HOSTILE}\n</pre>",
            summary={
                "verdict": HOSTILE,
                "thresholds": [{"expression": HOSTILE, "why": HOSTILE}],
                "certificates": {"findings": [HOSTILE]},
                "generator": {"why": HOSTILE},
                "run": {"openssl": HOSTILE},
            },
            figures=figures(
                cohorts={HOSTILE: figures(), "other": figures()},
                phases={HOSTILE: figures()},
                deferral={"non_conformance": {HOSTILE: {"count": 1, "rfc_section": HOSTILE}}},
            ),
            phases=(Stretch(HOSTILE, 0.0, 1.0),),
            told=(RunMark(1.0, HOSTILE, HOSTILE),),
            fleet=FleetCourse(1, 1, {HOSTILE: {HOSTILE: (1,)}, "other": {"off": (1,)}}),
            errors=ErrorKinds((ErrorKind("simpleenroll", "rejected", HOSTILE, HOSTILE, 4, {HOSTILE: 4}),), 1, 4),
            handshakes=((HOSTILE, 1),),
        )
    )
    found = Reader(hostile)
    assert found.tags <= Reader(plain).tags | {"ul", "li"}
    assert found.handlers == []
    assert "<script>alert(1)" not in hostile
    assert "\u202e" not in hostile
    visible = HOSTILE.replace("\u202e", "·")
    assert found.tables["errors"][1][3] == visible
    assert found.texts["scenario"] == f"name: {visible}\n</pre>"


def test_the_page_loads_nothing() -> None:
    """No tag loads anything, no style does, and the page's own policy would forbid it."""
    text = page(a_report())
    found = Reader(text)
    assert all(each.startswith("#") and each[1:] in found.ids for each in found.loads), "from one part of it to another"
    assert found.tags.isdisjoint({"link", "iframe", "img", "object", "embed", "base", "form"})
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text[: text.index("<script")]


def test_the_page_begins_with_the_question_and_a_table_of_contents() -> None:
    """The scenario's description below its name, escaped; every section is linked, in its order, and no id is twice."""
    facts = {**a_report().facts, "description": "Does  it\nhold at <b>40/s</b>?"}
    found = Reader(text := page(a_report(facts=facts)))
    assert found.texts["description"] == "Does it hold at <b>40/s</b>?"
    assert text.index('id="description"') < text.index('id="verdict"') < text.index('id="contents"')
    assert found.loads == [f"#{each}" for each in found.ids if each.startswith("about-")]
    assert len(found.loads) == text.count("<h2>") >= 7
    assert len(set(found.ids)) == len(found.ids)
    assert "description" not in Reader(page(a_report())).ids


def test_the_page_names_the_machine() -> None:
    """As the store has it, also of a run that was killed; a dash for what an older run did not say."""
    machine = {"cpu": "Example X1", "cores": "2 of 4", "os": "Debian 12, kernel 6.1", "python": "CPython 3.11.7"}
    known = Reader(page(a_report(facts={**a_report().facts, "machine": json.dumps(machine)}))).tables["machine"]
    assert known[1:] == [
        ["CPU", "Example X1"],
        ["cores", "2 of 4"],
        ["operating system", "Debian 12, kernel 6.1"],
        ["Python", "CPython 3.11.7"],
        ["OpenSSL", ABSENT],
        ["estsim", "0.1.0"],
    ]
    assert ["CPU", ABSENT] in Reader(page(a_report())).tables["machine"]


def test_the_page_of_a_run_without_a_request_is_small() -> None:
    """There is nothing to draw, so what draws is not in it."""
    idle = {**figures(), "operations": {"simpleenroll": {"requests": 0}}}
    found = Reader(text := page(a_report(figures=idle)))
    assert found.texts["nothing"] == "No device sent a request, so there is nothing to draw."
    assert len(text) < 20_000
    assert "<script" not in text
    assert "contents" not in found.ids, "of one section"
    assert [*found.tables] == ["machine", "environment"]
    warm = page(a_report(figures={**idle, "phases": {"warmup": figures()}}))
    assert 'id="chart-rates"' in warm


def test_phases_have_rates_and_the_cpu_of_an_enrolment_its_own() -> None:
    """What was asked for and had in a second, of each phase and of the whole run without its warm-up."""
    warmup = {**figures(), "lasted_s": 10.0, "requests_per_s": 21.4, "certificates_per_s": 0.0}
    whole = {**figures(), "run": {"lasted_s": 60.0}, "phases": {"warmup": warmup}}
    whole["generator"] = {"cpu_per_enrolment_ms": 2.4, "enrolments_per_s": 123.4}
    text = page(a_report(figures=whole, phases=(Stretch("warmup", 0.0, 10.0),)))
    assert Reader(text).tables["phase-rates"] == [
        ["phase", "length", "requests", "requests/s", "certificates", "certificates/s"],
        ["warmup", "10.0s", "214", "21.4", "150", "0.0"],
        ["whole run", "50.0s", "214", "4.3", "150", "3.0"],
    ]
    assert "CPU per enrolment: 2.4ms at 123 enrolments/s; it is higher at low rates" in text


def test_empty_parts_are_left_out() -> None:
    """A run in which little happened has a page without charts of nothing."""
    nothing = Histogram().block(0.001)
    bare = a_report(
        figures={"operations": {"cacerts": {"requests": 1}}},
        failures={},
        rates=Rates(),
        fleet=FleetCourse(),
        courses=(),
        parts=(),
        errors=ErrorKinds(),
        handshakes=(),
        deferral=DeferralPictures(),
        generator=GeneratorReport(nothing, Course(0), (), None, 20.0, 0.9),
    )
    found, some = Reader(text := page(bare)), page(a_report())
    charts = ("latency", "parts", "waits", "punctuality", "raster", "windows", "failures", "generator", "fleet")
    assert [name for name in charts if f'id="chart-{name}"' in some] == [*charts]
    assert not [name for name in charts if f'id="chart-{name}"' in text]
    assert "deferral" not in found.tables
    assert found.texts["tile-4"] == ABSENT


def test_every_metric_is_shown_where_its_table_says() -> None:
    """In the report, in its tiles, and in its comparison of cohorts, with its label; resync after events alone."""
    halves = {name: figures() for name in ("north", "south")}
    text = page(a_report(figures=figures(cohorts=halves), told=(RunMark(1.0, "event", "power cut"),)))
    tables = Reader(text).tables
    assert [row[0] for row in tables["deferral"][3:]] == [metric.long_label for metric in shown_in(Place.REPORT)]
    assert tables["cohort-deferral"][0][2:] == [metric.label for metric in shown_in(Place.COHORTS)]
    assert all(metric.label in text.partition('class="tiles"')[2] for metric in shown_in(Place.TILES))
    assert not any("resync" in row[0] for row in Reader(page(a_report())).tables["deferral"])


def test_shares_within_a_time_have_a_table() -> None:
    """Of those of which some are known, a column for each time."""
    shares = {"enrolled_within": {"1s": 0.5, "1m": None}, "recovered_within": {"1s": 1.0}}
    deferral = {**shares, "renewed_within": {"1s": None}}
    assert Reader(page(a_report(figures=figures(deferral=deferral)))).tables["within"] == [
        ["share", "1s", "1m"],
        ["enrolled within", "50.0%", ABSENT],
        ["recovered within", "100%", ABSENT],
    ]
    assert "within" not in Reader(page(a_report())).tables
