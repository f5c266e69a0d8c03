"""The dashboard at every size."""

import math
import re
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from estsim.est.outcome import RetryAfterForm
from estsim.figures.snapshot import (
    CohortSnapshot,
    DeferralSnapshot,
    GeneratorSnapshot,
    OperationFigures,
    Quantiles,
    RunStage,
    Snapshot,
    WindowSnapshot,
)
from estsim.figures.text import quantity
from estsim.terminal.dashboard import View, Viewing, footer, render
from estsim.terminal.deferral import deferral, deferral_view
from estsim.terminal.errors import errors, errors_view
from estsim.terminal.fleet import cohorts_view, fleet
from estsim.terminal.generator import WIDTH as GENERATOR_WIDTH
from estsim.terminal.generator import generator
from estsim.terminal.header import header, marks, saturation_banner
from estsim.terminal.ink import width_of
from estsim.terminal.latency import latency, outcomes
from estsim.terminal.throughput import throughput

SIZES = [(80, 24), (100, 30), (127, 24), (200, 60)]
NOTHING = Quantiles()
SENTENCE = "schedule lag p99 340 ms above max_lag 50 ms from 0:12 to 0:22; response times are not the server's"

RUNNING = Snapshot(
    name="quickstart",
    target="https://127.0.0.1:41873/.well-known/est",
    stage=RunStage.RUNNING,
    elapsed_s=38.4,
    duration_s=60.0,
    devices=500,
    states={"fetching_ca": 3, "enrolling": 21, "deferred": 64, "operational": 405, "backing_off": 5, "gave_up": 2},
    requests=1834,
    certificates=1123,
    requests_per_s=(*range(59), 87),
    certificates_per_s=(*range(59), 43),
    operations=(
        OperationFigures(
            "cacerts", 500, {"ok": 500}, Quantiles(500, 3.1, 4.9, 12.3, 18.8), Quantiles(500, 3.3, 5.5, 14, 22)
        ),
        OperationFigures(
            "simpleenroll",
            634,
            {"ok": 480, "deferred": 142, "rejected": 12},
            Quantiles(480, 5.1, 9.9, 22.3, 48.8),
            Quantiles(480, 5.3, 11.5, 34.3, 71.8),
        ),
        OperationFigures("simplereenroll", 700, {"ok": 700}, Quantiles(700, 4.1, 8.9, 19.3, 1048), Quantiles()),
    ),
    waiting_deferred=64,
    exchanges_per_certificate=1.42,
    time_to_certificate_s=Quantiles(480, 0.012, 3.4, 4.02, 8.1),
    wakeups=(0,) * 22 + (41,) + (0,) * 36 + (3,),
    errors=(("rejected 403", 12), ("failed connect", 3), ("server_error 500", 2), ("malformed key", 1)),
    schedule_lag_ms=Quantiles(1000, 0.12, 2.1, 38.0, 44.0),
    loop_delay_p99_ms=1.3,
    cpu_share=0.45,
    max_cpu=0.9,
    max_lag_ms=50.0,
    rss_mib=123.4,
    in_flight=45,
    saturated=None,
    generator=GeneratorSnapshot(1.3, 0.45, 123.4, 1200, 28_232, 800, 1024),
)
EMPTY = Snapshot(
    name="",
    target="",
    stage=RunStage.PREPARING,
    elapsed_s=0.0,
    duration_s=None,
    devices=0,
    states={},
    requests=0,
    certificates=0,
    requests_per_s=(),
    certificates_per_s=(),
    operations=(),
    waiting_deferred=0,
    exchanges_per_certificate=None,
    time_to_certificate_s=NOTHING,
    wakeups=(),
    errors=(),
    schedule_lag_ms=NOTHING,
    loop_delay_p99_ms=None,
    cpu_share=0.0,
    max_cpu=0.9,
    max_lag_ms=20.0,
    rss_mib=0.0,
    in_flight=0,
    saturated=None,
)


def picture(snapshot: Snapshot, width: int = 80, height: int = 24, viewing: Viewing | None = None) -> list[str]:
    """Return the dashboard's lines as a terminal without colour shows them."""
    console = Console(file=StringIO(), width=width, height=height, record=True, force_terminal=True, _environ={})
    console.print(render(snapshot, width=width, height=height, viewing=viewing or Viewing()), end="")
    return console.export_text().removesuffix("\n").split("\n")


def assert_fits(lines: list[str], width: int, height: int) -> None:
    """Assert that nothing wrapped: as many lines as the screen has, each exactly as wide."""
    assert [cell_len(line) for line in lines] == [width] * height


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_figure_is_on_the_screen_at_every_size(width: int, height: int) -> None:
    """All that the dashboard promises, at 80 by 24 as at 200 by 60."""
    lines = picture(RUNNING, width, height)
    assert_fits(lines, width, height)
    text = "\n".join(lines)
    for expected in (
        r"quickstart .* ● running  0:38 of 1:00",
        r"https://127\.0\.0\.1:41873/\.well-known/est .*━.* 64%",
        r"FLEET  500 devices",
        r"deferred +64 [━╸]",
        r"operational +405 ━",
        r"gave up +2 ╸",
        r"1 834 requests · 1 123 certificates",
        r"requests/s +87 .*█",
        r"certs/s +43 .*[▁-█]",
        r"service +p50 +p90 +p99 +max +response +p50 +p90 +p99 +max",
        r"simpleenroll .*5\.1ms +9\.9ms +22ms +49ms +5\.3ms +12ms +34ms +72ms",
        r"simplereenroll .*4\.1ms +8\.9ms +19ms +1\.05s +– +– +– +–",  # noqa: RUF001 - the dash of an absent figure
        r"64 waiting · 1\.42 exchanges per certificate",
        r"time to certificate +p50 12ms +p90 3\.40s +p99 4\.02s +max 8\.10s",
        r"wake-ups +44",
        r"┴now─+┴\+10s─+┴\+20s─+┴\+30s─+┴\+40s─+┴\+50s─+",
        r"ERRORS  18",
        r"12 rejected 403",
        r"GENERATOR  keeps up · 123 MiB · 45 in flight",
        r"lag p99 38ms +of 50ms +near lag p50 +120µs",
        r"CPU +45% +of 90% +ok +loop p99 +1\.3ms",
        r"ports 1200/28k +ok +fds 800/1024 +near",
    ):
        assert re.search(expected, text), expected


def test_the_radar_draws_a_wake_up_over_its_second() -> None:
    """A herd due in 22 s stands two columns right of the mark for 20 s."""
    lines = picture(RUNNING)
    ruler = next(row for row, line in enumerate(lines) if "┴now" in line)
    assert lines[ruler - 1].index("█") == lines[ruler].index("┴+20s") + 2


def test_the_states_on_the_screen_add_up_to_the_fleet() -> None:
    """Also a state that this version does not know."""
    snapshot = replace(RUNNING, states={**RUNNING.states, "hibernating": 7}, devices=507)
    rows = "\n".join(picture(snapshot)[3:7])
    assert re.search(r"other +7", rows)
    assert sum(int(number) for number in re.findall(r"[a-zA-Z] +(\d+) [━╸─]", rows)) == 507


def test_a_fleet_that_does_not_add_up_says_so() -> None:
    """The figure on the screen is never quietly wrong."""
    assert "501 devices · 500 with a known state" in "\n".join(picture(replace(RUNNING, devices=501)))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_run_that_has_not_begun_shows_dashes_not_zeros(width: int, height: int) -> None:
    """No time, no rate and no ratio is known yet."""
    lines = picture(EMPTY, width, height)
    assert_fits(lines, width, height)
    text = "\n".join(lines)
    assert "○ preparing" in text
    assert "runs until stopped" in text
    assert "no responses yet" in text
    assert "– exchanges per certificate" in text  # noqa: RUF001 - the dash of an absent figure
    assert "ERRORS  none" in text


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_huge_numbers_and_endless_names_do_not_overflow(width: int, height: int) -> None:
    """A million devices, a hundred thousand errors, and whatever a scenario is called."""
    million = (1_000_000,) * 60
    snapshot = replace(
        RUNNING,
        name="города 都市 " * 40,
        target="https://" + "a" * 300,
        devices=1_000_000,
        states={"operational": 1_000_000},
        requests=123_456_789_012,
        requests_per_s=million,
        wakeups=million,
        errors=tuple((f"kind {kind} " * 30, 99_999) for kind in range(40)),
        in_flight=10_000_000,
        generator=GeneratorSnapshot(1e6, 4.0, 99_999.0, 10**9, 10**9, 10**9, 10**9),
        saturated=f"{SENTENCE} " * 9,
    )
    lines = picture(snapshot, width, height)
    assert_fits(lines, width, height)
    text = "\n".join(lines)
    assert "1 000 000 devices" in text
    assert re.search(r"operational +1000000 ━", text)
    assert re.search(r"города 都市.*… +● running", text)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_saturation_is_shown_in_words(width: int, height: int) -> None:
    """The whole sentence, and the figures that caused it, marked without colour."""
    saturated = replace(RUNNING, saturated=SENTENCE, generator=replace(RUNNING.generator, cpu_share=0.97))
    lines = picture(saturated, width, height)
    assert_fits(lines, width, height)
    text = " ".join(" ".join(lines).split())
    assert f"▲ SATURATED: {SENTENCE}" in text
    assert "GENERATOR SATURATED" in text
    assert "CPU 97% of 90% OVER" in text
    assert "rejected 403" in text


def test_errors_without_a_line_of_their_own_are_summed_up() -> None:
    """The total above the list is the sum of the list."""
    text = "\n".join(picture(RUNNING))
    assert "3 failed connect" in text
    assert "3 other errors (2 kinds)" in text
    assert "1 malformed key" in "\n".join(picture(RUNNING, 200, 60))


def test_a_larger_terminal_shows_requests_by_class() -> None:
    """Classes that did not occur are left out."""
    text = "\n".join(picture(RUNNING, 100, 44))
    assert re.search(r"OUTCOMES +requests +ok +deferred +failed +rejected", text)
    assert re.search(r"simpleenroll +634 +480 +142 +0 +12", text)
    assert "overloaded" not in text


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20, 5), (79, 24), (80, 23), (200, 10)])
def test_a_terminal_that_is_too_small_shows_a_note(width: int, height: int) -> None:
    """It shows the part that fits."""
    lines = picture(RUNNING, width, height)
    assert_fits(lines, width, height)
    assert lines[-1].startswith(f" {width}x{height} is"[: width - 1])


TEXT = st.text(max_size=120)
COUNT = st.integers(min_value=0, max_value=10**13)
FIGURE = st.sampled_from([None, math.nan]) | st.floats(min_value=-10)
QUANTILES = st.builds(Quantiles, COUNT, FIGURE, FIGURE, FIGURE, FIGURE)
SERIES = st.lists(COUNT, max_size=61).map(tuple)
OPERATION = st.builds(
    OperationFigures,
    operation=TEXT,
    requests=COUNT,
    by_class=st.dictionaries(TEXT, COUNT, max_size=12),
    service_ms=QUANTILES,
    response_ms=QUANTILES,
)
BINS = st.lists(COUNT, max_size=150).map(tuple)
COHORT = st.builds(
    CohortSnapshot,
    name=TEXT,
    devices=COUNT,
    states=st.dictionaries(st.sampled_from(["off", "DEFERRED", "gave_up", "operational", "hibernating"]), COUNT),
    requests=COUNT,
    certificates=COUNT,
    failures=FIGURE,
    errors=COUNT,
    waiting_deferred=COUNT,
    exchanges_per_certificate=FIGURE,
    time_to_certificate_s=QUANTILES,
    response_ms=QUANTILES,
)
SNAPSHOT = st.builds(
    Snapshot,
    name=TEXT,
    target=TEXT,
    stage=st.sampled_from(RunStage),
    elapsed_s=st.floats(min_value=0, max_value=1e9),
    duration_s=st.none() | st.floats(min_value=0, max_value=1e9),
    devices=COUNT,
    states=st.dictionaries(st.sampled_from(["off", "DEFERRED", "operational"]) | TEXT, COUNT, max_size=14),
    requests=COUNT,
    certificates=COUNT,
    requests_per_s=SERIES,
    certificates_per_s=SERIES,
    operations=st.lists(OPERATION, max_size=7).map(tuple),
    waiting_deferred=COUNT,
    exchanges_per_certificate=FIGURE,
    time_to_certificate_s=QUANTILES,
    wakeups=SERIES,
    errors=st.lists(st.tuples(TEXT, COUNT), max_size=30).map(tuple),
    schedule_lag_ms=QUANTILES,
    loop_delay_p99_ms=FIGURE,
    cpu_share=st.floats(min_value=0),
    max_cpu=st.floats(min_value=0, max_value=1),
    max_lag_ms=st.floats(min_value=0, max_value=1e6),
    rss_mib=st.floats(min_value=0, max_value=1e7),
    in_flight=COUNT,
    saturated=st.none() | TEXT,
    window=st.builds(
        WindowSnapshot,
        seconds=st.floats(min_value=0, max_value=1e9),
        requests=COUNT,
        operations=st.lists(OPERATION, max_size=3).map(tuple),
    ),
    deferral=st.builds(
        DeferralSnapshot,
        told=BINS,
        kept=BINS,
        bin_s=st.floats(min_value=0.1, max_value=1e5),
        forms=st.dictionaries(st.sampled_from([form.value for form in RetryAfterForm]), COUNT),
        polls=COUNT,
        early_polls=COUNT,
        wasted_share=FIGURE,
        hit_rate=FIGURE,
        punctuality_s=QUANTILES,
        period_s=st.none() | st.integers(min_value=2, max_value=10**9),
        rhythm=BINS,
        synchronisation=FIGURE,
        lag_correlation=FIGURE,
        burstiness=FIGURE,
        fano=FIGURE,
        run_synchronisation=FIGURE,
    ),
    cohorts=st.lists(COHORT, max_size=40).map(tuple),
    generator=st.builds(
        GeneratorSnapshot,
        loop_delay_p99_ms=FIGURE,
        cpu_share=st.floats(min_value=0),
        rss_mib=st.floats(min_value=0, max_value=1e7),
        ports=COUNT,
        ports_limit=COUNT,
        descriptors=COUNT,
        descriptors_limit=COUNT,
    ),
    marks=st.lists(st.tuples(st.floats(min_value=0, max_value=1e9), TEXT), max_size=4).map(tuple),
    awaiting=st.none() | TEXT,
)
VIEWING = st.builds(Viewing, st.sampled_from(View), st.booleans(), st.booleans())


@settings(max_examples=80, deadline=None)
@given(SNAPSHOT, VIEWING, st.integers(min_value=1, max_value=260), st.integers(min_value=1, max_value=80))
def test_any_snapshot_fits_any_terminal(snapshot: Snapshot, viewing: Viewing, width: int, height: int) -> None:
    """It never raises and never overflows, whatever is looked at."""
    assert_fits(picture(snapshot, width, height, viewing), width, height)


@settings(max_examples=60, deadline=None)
@given(SNAPSHOT, VIEWING)
def test_no_pane_draws_more_than_its_width(snapshot: Snapshot, viewing: Viewing) -> None:
    """So that the last resort, cropping a finished line, never has to take a figure away."""
    panes = {
        80: [
            *header(snapshot, 80, frozen=viewing.frozen, marked=True),
            *saturation_banner(snapshot, 80),
            *marks(snapshot, 80),
            *fleet(snapshot, 80),
            *throughput(
                snapshot.requests_per_s,
                snapshot.certificates_per_s,
                80,
                elapsed_s=snapshot.elapsed_s,
                notes=[quantity(snapshot.requests, "request"), quantity(snapshot.certificates, "certificate")],
                height=2,
                cells=1,
                axes=True,
            ),
            *latency(snapshot.operations, 80, window=snapshot.window),
            *outcomes(snapshot.operations, 80),
            *deferral(snapshot, 80, height=3, cells=1),
            *deferral_view(snapshot, 80, 21),
            *errors_view(snapshot, 80, 21),
            *cohorts_view(snapshot, 80, 21),
            footer(snapshot, viewing, 80),
        ],
        127: [*deferral_view(snapshot, 127, 37), *errors_view(snapshot, 127, 37), *cohorts_view(snapshot, 127, 37)],
        200: [*deferral_view(snapshot, 200, 57), *errors_view(snapshot, 200, 57), *cohorts_view(snapshot, 200, 57)],
        GENERATOR_WIDTH: [*generator(snapshot, GENERATOR_WIDTH), *fleet(snapshot, GENERATOR_WIDTH, tall=True)],
        33: errors(snapshot, 33, rows=3),
    }
    for width, lines in panes.items():
        assert max(map(width_of, lines), default=0) <= width
