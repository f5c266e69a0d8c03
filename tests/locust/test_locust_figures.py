"""The figures of deferral as the web UI has them, in words, bars and an HTML page."""

from dataclasses import replace
from html.parser import HTMLParser
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.figures.snapshot import DeferralSnapshot, Quantiles, RunStage, Snapshot
from estsim.locust.master.figures import ABSENT, bars, figures, seconds, trimmed
from estsim.locust.master.page import CALM_S, LIVELY_S, page

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def a_moment() -> Snapshot:
    """Return a moment of a run in which thirty of fifty devices wait."""
    moment = DeferralSnapshot(
        told=(0, 0, 30, *[0] * 60),
        kept=(0, 0, 18, 2, *[0] * 59),
        polls=20,
        early_polls=1,
        wasted_share=0.25,
        punctuality_s=Quantiles(20, 0.002, 0.1, 1.5, 2.0),
        period_s=2,
        synchronisation=0.912,
        run_synchronisation=0.8,
    )
    return Snapshot(
        name="herd",
        target="sandbox https://127.0.0.1:1",
        stage=RunStage.RUNNING,
        elapsed_s=12.4,
        duration_s=60.0,
        devices=54,
        states={"operational": 15, "renewing": 2, "deferred": 30, "backing_off": 3, "retired": 4},
        requests=90,
        certificates=17,
        requests_per_s=(),
        certificates_per_s=(),
        operations=(),
        waiting_deferred=30,
        exchanges_per_certificate=4.125,
        time_to_certificate_s=Quantiles(17, 0.0432, 12.34, None, None),
        wakeups=(1, 0, 8, *[0] * 57),
        errors=(),
        schedule_lag_ms=Quantiles(9, 1.0, 2.0, 3.4, 3.4),
        loop_delay_p99_ms=1.0,
        cpu_share=0.2,
        max_cpu=0.9,
        max_lag_ms=20.0,
        rss_mib=50.0,
        in_flight=0,
        saturated=None,
        deferral=moment,
    )


FIGURES = [
    ("waiting", "30", "deferred devices that have not polled again yet"),
    ("enrolled", "21 of 54", "operational 15, renewing 2, deferred 30, backing off 3, retired 4"),
    ("certificates", "17", "from 90 requests"),
    ("exchanges", "4.12", "20 polls, 25.0% of them deferred again"),
    ("ttc", f"43.2 ms, 12.3 s, {ABSENT}", "open enrolments are included"),
    ("synchrony", "0.91", "period 2 s; whole run 0.80"),
    ("wakeups", "▁·█" + "·" * 57, "9 in the next 60 s, at most 8 per second"),
    ("told", "··█" + "·" * 17, "30 Retry-After values in bins of 1 s"),
    ("kept", "··█▁" + "·" * 16, "20 waits"),
    ("punctuality", "1", "20 polls; after the Retry-After by 2 ms, 100 ms, 1.5 s"),
    ("generator", "keeps up", "last 10 s: 3 ms (limit 20 ms)"),
]


@pytest.mark.parametrize(("key", "value", "note"), FIGURES, ids=[key for key, *_ in FIGURES])
def test_a_figure_says_what_it_is(key: str, value: str, note: str) -> None:
    """Its value, and what there is to know of it."""
    found = {figure.key: figure for figure in figures(a_moment())}
    assert [*found] == [each for each, *_ in FIGURES]
    assert found[key].value == value
    assert note in found[key].note


def test_what_is_not_known_is_a_dash() -> None:
    """Not a zero."""
    empty = replace(
        a_moment(),
        exchanges_per_certificate=None,
        time_to_certificate_s=Quantiles(),
        wakeups=(),
        schedule_lag_ms=Quantiles(),
        deferral=DeferralSnapshot(),
        saturated="CPU was 99% of a core",
    )
    found = {figure.key: figure for figure in figures(empty)}
    assert {found[key].value for key in ("exchanges", "synchrony", "wakeups", "told", "kept")} == {ABSENT}
    assert found["ttc"].value == f"{ABSENT}, {ABSENT}, {ABSENT}"
    assert found["generator"].value == "CPU was 99% of a core"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ABSENT), (inf, ABSENT), (0.0, "0 ms"), (0.00123, "1.23 ms"), (0.9996, "1 s"), (1.0449, "1.04 s"),
        (99.96, "100 s"), (1234.5, "1234 s"), (-0.25, "-250 ms"),
    ],
)  # fmt: skip
def test_times_have_three_digits(value: float | None, text: str) -> None:
    """In milliseconds below a second."""
    assert seconds(value) == text


@given(st.lists(st.integers(0, 10**6), max_size=70))
def test_bars_show_what_is_there(counts: list[int]) -> None:
    """A cell each, nothing for nothing, the highest as high as can be, and none lower for a higher count."""
    drawn = bars(counts)
    if not any(counts):
        assert drawn == ABSENT
        return
    assert len(drawn) == len(counts)
    assert [cell == "·" for cell in drawn] == [count == 0 for count in counts]
    assert drawn[counts.index(max(counts))] == "█"
    heights = ["·▁▂▃▄▅▆▇█".index(cell) for cell in drawn]
    assert [height for _, height in sorted(zip(counts, heights, strict=True))] == sorted(heights)


@given(st.lists(st.integers(0, 3), max_size=90), st.lists(st.integers(0, 3), max_size=90))
def test_two_histograms_are_cut_at_the_same_place(bins: list[int], beside: list[int]) -> None:
    """Where neither has anything more, so far as there is room."""
    cut = trimmed(bins, beside)
    assert cut == tuple(bins[: len(cut)])
    assert len(cut) <= 60
    assert len(cut) == 60 or not any(bins[len(cut) :])


class Reader(HTMLParser):
    """Reads a page as a browser does: tags, what they would load, and texts by the id that they are in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.refresh = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and what it refers to."""
        given = dict(attrs)
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if given.get("http-equiv") == "refresh":
            self.refresh = given["content"] or ""


def test_the_page_draws_bars_and_comes_again() -> None:
    """Each count that is not zero is a bar; while the run lasts it is looked at each second, and less often after."""
    read = Reader(page(a_moment()))
    assert read.tags.count("svg") == 3
    assert read.tags.count("rect") == 2 + 1 + 2
    assert read.refresh == str(LIVELY_S)
    assert Reader(page(replace(a_moment(), stage=RunStage.DONE))).refresh == str(CALM_S)
    assert "No run yet" in page(None)


def test_the_page_asks_nobody_and_runs_nothing() -> None:
    """Whatever the names in it are."""
    read = Reader(page(replace(a_moment(), name=HOSTILE, target=HOSTILE, saturated=HOSTILE, states={HOSTILE: 1})))
    assert "script" not in read.tags
    assert "img" not in read.tags
    assert read.handlers == []
    assert read.loads == ["data:,"]
