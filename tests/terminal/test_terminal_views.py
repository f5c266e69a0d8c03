"""The views of the dashboard beside the overview, and what all of them share."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from test_terminal_dashboard import EMPTY, RUNNING, SENTENCE, assert_fits, picture

from estsim.figures.snapshot import (
    CohortSnapshot,
    DeferralSnapshot,
    OperationFigures,
    Quantiles,
    RunStage,
    WindowSnapshot,
)
from estsim.figures.text import compact
from estsim.terminal.dashboard import View, Viewing, render
from estsim.terminal.synchrony import in_words, stretched
from estsim.terminal.waits import Scale, scale_of

SIZES = [(80, 24), (100, 30), (127, 40), (200, 60)]
MINUTE = Quantiles(480, 0.012, 3.4, 4.02, 8.1)


def cohort(name: str) -> CohortSnapshot:
    """Return a cohort of a hundred devices."""
    states = {
        "off": 10,
        "enrolling": 5,
        "deferred": 20,
        "operational": 50,
        "renewing": 5,
        "backing_off": 6,
        "gave_up": 4,
    }
    return CohortSnapshot(
        name=name,
        devices=100,
        states=states,
        requests=1834,
        certificates=1123,
        failures=0.012,
        errors=5,
        waiting_deferred=20,
        exchanges_per_certificate=1.42,
        time_to_certificate_s=MINUTE,
        response_ms=Quantiles(100, 3.3, 5.5, 14, 22),
    )


HERD = replace(
    RUNNING,
    window=WindowSnapshot(
        seconds=30,
        operations=(
            OperationFigures(
                "simpleenroll",
                41,
                {"ok": 39, "rejected": 2},
                Quantiles(39, 6.1, 7.7, 8.8, 9.1),
                Quantiles(39, 6.3, 7.9, 9.9, 11),
            ),
        ),
    ),
    deferral=DeferralSnapshot(
        told=(0, 0, 0, 40, 5, 1),
        kept=(2, 0, 1, 30, 9, 2, 1),
        forms={"seconds": 120, "http-date": 3},
        polls=1234,
        early_polls=12,
        wasted_share=0.38,
        hit_rate=0.62,
        punctuality_s=Quantiles(1234, 0.0015, 0.2, 0.4, 1.2),
        period_s=30,
        rhythm=(0, 40, 3, 0, 1, 0),
        synchronisation=0.83,
        lag_correlation=0.61,
        burstiness=1.33,
        fano=4.25,
        run_synchronisation=0.31,
    ),
    cohorts=(cohort("north-meters"), cohort("south")),
)
FIGURES = {
    View.OVERVIEW: (r"requests/s +87", r"operational +405", r"GENERATOR  (keeps up|SATURATED)", r"wake-ups +44"),
    View.DEFERRAL: (
        r"64 waiting · 1\.42 exchanges per certificate",
        r"peak \+22s +41",
        r"requested +46",
        r"peak at 3s +40",
        r"actual +45",
        r"┴0s─+┴2s─+┴4s─+┴6s─+┴8s─+┴10s─",
        r"period T 30s",
        r"R last window +0\.83 ━+╸?─+ +in step",
        r"R whole run +0\.31 ━+╸?─+ +loose",
        r"lag correlation +0\.61",
        r"burstiness +1\.33",
        r"Fano factor +4\.25",
        r"rhythm +44",
        r"1 234",
        r"12 early|early +12",
        r"38% wasted|wasted +38%",
        r"62% hit rate|hit rate +62%",
        r"p50 1\.5ms +p90 200ms +p99 400ms +max 1\.20s",
        r"seconds +120 +http-date +3",
    ),
    View.ERRORS: (
        r"18 in 1 834 requests · 4 kinds",
        r"12 +67%.*rejected 403",
        r"total and last 30 s",
        r"requests +500 +0 +634 +41 +700 +0",
        r"rejected +0 +0 +12 +2 +0 +0",
        r"server error +0 +0",
    ),
    View.COHORTS: (
        r"wait +oper\. +trouble +off +reqs +certs +fail +cert +p99 +p50 +p99",
        r"north-meters +25 +55 +10 +10 +1 ?834 +1 ?123 +1% +1\.42 +14ms +12ms +4\.02s",
    ),
}


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_figure_of_a_view_is_there_at_every_size(view: View, width: int, height: int) -> None:
    """All that a view promises, and the keys, also while the figures are spoiled."""
    for snapshot in (HERD, replace(HERD, saturated=SENTENCE)):
        lines = picture(snapshot, width, height, Viewing(view, keys=True))
        assert_fits(lines, width, height)
        for expected in FIGURES[view]:
            assert re.search(expected, "\n".join(lines)), expected
        assert f"[{view.key} {view.value}]" in lines[-1]
        assert "space: freeze  q: stop" in lines[-1]


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize(("width", "height"), [(20, 5), *SIZES])
def test_a_view_of_nothing_shows_dashes(view: View, width: int, height: int) -> None:
    """Before the run there is no R, no rhythm and no cohort."""
    lines = picture(EMPTY, width, height, Viewing(view))
    assert_fits(lines, width, height)
    text = "\n".join(lines)
    assert "nan" not in text.lower()
    if view in {View.OVERVIEW, View.DEFERRAL} and width >= 80:
        assert "–" in text  # noqa: RUF001 - the dash of an absent figure


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_moves_from_one_picture_to_the_next(view: View, width: int, height: int) -> None:
    """Titles stand in the same places with ten times the figures and no errors."""
    later = replace(
        HERD,
        requests=183_400,
        states={"operational": 500},
        wakeups=(0,) * 60,
        errors=(),
        deferral=replace(HERD.deferral, forms={"missing": 9}, synchronisation=None, rhythm=()),
    )
    places = [
        [(row, found.start(), found[0]) for row, line in enumerate(lines) for found in re.finditer(r"[A-Z-]{6,}", line)]
        for lines in (picture(snapshot, width, height, Viewing(view)) for snapshot in (HERD, later))
    ]
    assert places[0] == places[1]


@pytest.mark.parametrize("view", View)
def test_a_view_can_be_exported_as_svg(view: View) -> None:
    """For the README: well-formed, with the figures in it."""
    console = Console(file=StringIO(), width=80, height=24, record=True, force_terminal=True, _environ={})
    console.print(render(HERD, width=80, height=24, viewing=Viewing(view, keys=True)), end="")
    picture_ = ET.fromstring(console.export_svg(title="estsim run"))  # noqa: S314 - our own
    text = " ".join("".join(picture_.itertext()).split())
    for expected in ("quickstart", f"[{view.key} {view.value}]"):
        assert expected in text
    for expected in FIGURES[view][:2]:
        assert re.search(expected.replace(" +", " *"), text), expected


def test_the_last_window_stands_below_the_whole_run() -> None:
    """In the same columns, where the overview has the height for it."""
    text = "\n".join(picture(HERD, 127, 40))
    assert re.search(r"simpleenroll .* 5\.3ms +12ms +34ms +72ms.*\n +last 30 s .* 6\.3ms +7\.9ms +9\.9ms +11ms", text)
    assert re.search(r"simplereenroll .*\n +last 30 s +– +–", text)  # noqa: RUF001 - the dash of an absent figure


def test_what_the_run_waits_for_is_shown_with_the_keys() -> None:
    """In every view and at every size."""
    waiting = replace(HERD, awaiting="press Enter: cut the power of north")
    for view in View:
        for width, height in SIZES:
            last = picture(waiting, width, height, Viewing(view, keys=True))[-1]
            assert " ▶ press Enter: cut the power of north " in last
            assert "q: stop" in last
            assert ("1-4 views" if width < 120 else f"[{view.key} {view.value}]") in last


def test_marks_stand_in_the_header() -> None:
    """A line of their own where there is height; else the newest takes the target's place for a minute."""
    marked = replace(HERD, elapsed_s=100.0, marks=((12.0, "power cut: north"), (71.0, "power back: north")))
    tall = picture(marked, 100, 30)
    assert tall[1].startswith(" https://")
    assert tall[2].startswith(" ▼ 1:11 power back: north  ▼ 0:12 power cut: north")
    assert picture(marked)[1].startswith(" ▼ 1:11 power back: north")
    assert picture(replace(marked, elapsed_s=132.0))[1].startswith(" https://")
    many = replace(marked, marks=tuple((float(at), f"event {at}") for at in range(30)))
    assert re.match(r" ▼ 0:29 event 29 .* ▼ 0:25 event 25   25 earlier ", picture(many, 100, 30)[2])


def test_a_frozen_picture_says_so() -> None:
    """With its time, in every view; the key that ends it stands below."""
    for view in View:
        lines = picture(HERD, viewing=Viewing(view, frozen=True, keys=True))
        assert "‖ FROZEN at 0:38 of 1:00" in lines[0]
        assert "space: resume" in lines[-1]


def test_the_keys_follow_the_stage() -> None:
    """Without a reader only Ctrl-C is offered; while a run ends, only what cuts it."""
    draining = replace(HERD, stage=RunStage.DRAINING)
    assert picture(HERD)[-1].strip() == "Ctrl-C: stop"
    assert picture(draining)[-1].strip() == "Ctrl-C: quit now"
    assert picture(draining, viewing=Viewing(keys=True))[-1].rstrip().endswith("space: freeze  Ctrl-C: quit now")


def test_errors_get_the_height_that_there_is() -> None:
    """Those without a line are summed up, with their share."""
    kinds = tuple((f"rejected {400 + kind}", 10) for kind in range(20))
    lines = picture(replace(HERD, errors=kinds), viewing=Viewing(View.ERRORS))
    assert next(line for line in lines if "other errors" in line).split()[:2] == ["140", "70%"]
    assert "rejected 419" in "\n".join(picture(replace(HERD, errors=kinds), 127, 40, Viewing(View.ERRORS)))


def test_errors_that_were_summed_up_before_are_in_the_one_last_line() -> None:
    """How many kinds they are is then a lower bound."""
    kinds = (*((f"rejected {400 + kind}", 10) for kind in range(20)), ("other errors (at least 480 kinds)", 100))
    text = "\n".join(picture(replace(HERD, errors=kinds), viewing=Viewing(View.ERRORS)))
    assert text.count("other errors (at least 15 kinds)") == text.count("other errors") == 1
    assert "at least 21 kinds" in text


def test_cohorts_that_find_no_line_are_counted() -> None:
    """Seventeen lines hold sixteen cohorts and the count of the others."""
    fleet = replace(HERD, cohorts=tuple(cohort(f"site-{number:02}") for number in range(40)))
    text = "\n".join(picture(fleet, viewing=Viewing(View.COHORTS)))
    assert text.count("site-") == 16
    assert "24 more cohorts not shown" in text


def test_a_cohort_has_a_bar_of_its_states_where_there_is_width() -> None:
    """A mark for each group of states, which the last line explains."""
    lines = picture(HERD, 200, 60, Viewing(View.COHORTS))
    bars = [re.search("█+░+!+·+", line) for line in lines if "south" in line]
    assert [found is not None and len(found[0]) for found in bars] == [60]
    assert "! backing off, expired, gave up" in lines[-2]


@pytest.mark.parametrize(
    ("value", "word"),
    [(0.7, "in step"), (0.69, "loose"), (0.2, "loose"), (0.19, "spread"), (0.0, "spread"), (None, "–")],  # noqa: RUF001
)
def test_synchrony_is_shown_in_words(value: float | None, word: str) -> None:
    """The bounds belong to the stronger word."""
    assert in_words(value) == word


def test_bins_are_stretched_and_folded_without_losing_any() -> None:
    """Onto sixty columns, whatever their number."""
    assert stretched((1, 2)) == [33, 33, 34] * 10 + [66, 67, 67] * 10
    for bins in (1, 7, 59, 60, 61, 600):
        assert sum(stretched(range(bins))) == 1000 * sum(range(bins))
        assert len(stretched(range(bins))) == 60
    assert stretched(()) == []


@pytest.mark.parametrize(
    ("last", "scale"),
    [(0, Scale(1, 10)), (5, Scale(1, 10)), (6, Scale(1, 5)), (59, Scale(1, 1)), (60, Scale(2, 1)), (599, Scale(10, 1))],
)
def test_requested_and_actual_waits_share_the_finest_scale(last: int, scale: Scale) -> None:
    """That shows the last bin which is not empty; empty ones behind it do not count."""
    bins = (*(0,) * last, 3, 0, 0)
    assert scale_of((1,), bins) == scale
    assert len(scale.columns(bins)) == 60
    assert max(scale.columns(bins)) == 3


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (99_999, "99999"), (100_000, "100k"), (524_288, "524k"), (1_048_576, "1.05M"), (None, "–")],  # noqa: RUF001
)
def test_a_compact_count_takes_five_cells(number: int | None, text: str) -> None:
    """Digits as long as they fit."""
    assert compact(number) == text
