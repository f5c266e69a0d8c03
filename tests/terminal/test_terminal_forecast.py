"""What a dry run shows: charts that fit, needs in words, and that nothing was measured."""

import json
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from estsim.figures.forecast import FleetPoint, Forecast, Load, Need, forecast_json
from estsim.terminal.forecast import forecast_page, print_forecast

ENOUGH = Need("processor", 0.12, 1.0, "core", "600 enrolment exchanges in the 10 s from 3 s on, 2 ms each")
TOO_MUCH = Need("local ports", 40_000, 28_232, "", "connections within 60 s, for which their ports stay taken")


def made(
    *,
    ended_s: float = 34.0,
    polls: dict[int, int] | None = None,
    events: tuple[tuple[float, str], ...] = (),
    needs: tuple[Need, ...] = (ENOUGH, TOO_MUCH),
    name: str = "herd",
    thresholds: int = 2,
) -> Forecast:
    """Return the forecast of a plan of a minute that settles sooner."""
    first = {"cacerts": {0: 40, 1: 10}, "simpleenroll": {0: 40, 1: 10}}
    return Forecast(
        scenario=name,
        seed=1,
        devices=50,
        duration_s=max(60.0, ended_s),
        ended_s=ended_s,
        settled=True,
        server="the sandbox's rules and capacity (trust center default)",
        load=Load(first, {6: 30, 12: 20, 33: 1} if polls is None else polls),
        fleet=(
            FleetPoint(0.0, {"off": 50}),
            FleetPoint(9.0, {"deferred": 20, "operational": 30}),
            FleetPoint(ended_s, {"operational": 50}),
        ),
        outcomes={"ok": 100, "deferred": 51},
        ends={"issued": 50},
        open_at_end=3,
        certificates=50,
        certificate_exchanges=101,
        polls=51,
        wasted_polls=12,
        drain_s=33.2,
        period_s=6,
        synchronisation=0.97,
        needs=needs,
        events=events,
        assumptions=(
            "Each exchange takes 20ms; every device is authorised, key generation takes no time, and nothing is late.",
        ),
        notes=("meters: 10 faulty devices are treated as sound.",),
        thresholds=thresholds,
    )


def lines_of(forecast: Forecast, width: int = 80) -> list[str]:
    """Return the text of the page."""
    return ["".join(segment.text for segment in line) for line in forecast_page(forecast, width=width).lines]


def row(lines: list[str], start: str) -> str:
    """Return the line that begins so."""
    (found,) = [line for line in lines if line.startswith(start)]
    return found


_NAMES = st.text(max_size=60)
_EVENTS = st.lists(st.tuples(st.floats(0, 1e6), _NAMES), max_size=20).map(lambda events: tuple(sorted(events)))


@settings(max_examples=60, deadline=None)
@given(
    ended_s=st.floats(0, 1e6),
    polls=st.dictionaries(st.integers(0, 1_000_000), st.integers(1, 10**9), max_size=30),
    events=_EVENTS,
    name=_NAMES,
    width=st.integers(40, 200),
)
def test_no_line_is_wider_than_the_terminal(
    *, ended_s: float, polls: dict[int, int], events: tuple[tuple[float, str], ...], name: str, width: int
) -> None:
    """From 80 cells on, whatever the plan; nothing in it can move a cell or break a line."""
    lines = lines_of(made(ended_s=ended_s, polls=polls, events=events, name=name), width)
    assert max(map(cell_len, lines)) <= min(max(width, 80), 110)
    assert all(line.isprintable() for line in lines)


def test_rules_and_axis_are_exactly_as_wide_as_the_page() -> None:
    """Eighty cells: twenty of figures, sixty columns."""
    lines = lines_of(made())
    assert {cell_len(line) for line in lines if line.endswith("─")} == {80}
    assert row(lines, "                    ┴0:00").count("┴") == 6


def test_each_operation_has_its_chart_and_polls_stand_apart() -> None:
    """What is no poll by operation; a column for each second, and the figures beside it."""
    lines = lines_of(made())
    place = next(place for place, line in enumerate(lines) if line.startswith(" polls "))
    assert lines[place - 3].startswith(" simpleenroll")
    assert lines[place - 6].startswith(" cacerts")
    assert lines[place + 2][20:55].strip(".") and lines[place + 2][20 + 6] == "█"  # noqa: PT018 - one thing
    assert lines[place + 2].startswith(" peak /s        30")
    assert len(lines[place + 2]) == 20 + 35, "the chart ends with the run"
    assert row(lines, "OFFERED LOAD").startswith("OFFERED LOAD  151 exchanges · 1 column = 1s")


def test_a_long_run_has_wider_columns() -> None:
    """Sixty of them hold an hour, and the axis has its times."""
    lines = lines_of(made(ended_s=3599.0))
    assert "1 column = 1m" in row(lines, "OFFERED LOAD")
    assert "┴50:00" in row(lines, "                    ┴0:00")


@pytest.mark.parametrize(
    ("days", "column", "ticks"),
    [
        (1.2, "30m", ["0d", "0d05h", "0d10h", "0d15h", "0d20h", "1d01h"]),
        (2, "1h", ["0d", "0d10h", "0d20h", "1d06h", "1d16h", "2d02h"]),
        (10, "6h", ["0d", "2d12h", "5d", "7d12h", "10d", "12d12h"]),
        (29, "12h", ["0d", "5d", "10d", "15d", "20d", "25d"]),
        (100, "2d", ["0d", "20d", "40d", "60d", "80d", "100d"]),
    ],
)
def test_over_days_the_axis_has_days(days: float, column: str, ticks: list[str]) -> None:
    """And hours, where 1 column = less than a day; events stand there in the same words."""
    lines = lines_of(made(ended_s=days * 86_400, events=((90_000.0, "power cut"), (91_800.0, "mark"))))
    assert f"1 column = {column}" in row(lines, "OFFERED LOAD")
    axis = next(line for line in lines if "┴0d" in line)
    assert [part.rstrip("─") for part in axis.split("┴")[1:]] == ticks
    assert any(line.split() == ["1", "1d01h", "power", "cut"] for line in lines)
    assert any(line.split() == ["2", "1d01:30", "mark"] for line in lines)
    assert f"{days:g}d" in lines[1] or "1d04:48" in lines[1]


def test_a_run_of_hours_has_the_times_of_a_clock() -> None:
    """Twenty hours are no day yet."""
    lines = lines_of(made(ended_s=14 * 3600.0))
    assert [part.rstrip("─") for part in next(line for line in lines if "┴0:00" in line).split("┴")[1:]][1:3] == [
        "2:30:00",
        "5:00:00",
    ]


def test_events_are_marked_under_the_axis() -> None:
    """By their numbers, and told below."""
    lines = lines_of(made(events=((10.0, "power cut: 40% of city"), (20.0, "calm again"))))
    marks = row(lines, " events")
    assert (marks[20 + 10], marks[20 + 20]) == ("1", "2")
    assert row(lines, "  1  0:10").endswith("power cut: 40% of city")
    many = lines_of(made(events=tuple((float(i), f"event {i}") for i in range(15))))
    assert any("and 3 more" in line for line in many)


def test_a_shortage_is_shown_in_words() -> None:
    """Not by a colour alone."""
    lines = lines_of(made())
    assert "insufficient local ports" in row(lines, "RESOURCES")
    assert row(lines, " SHORT").split() == ["SHORT", "local", "ports", "40", "000", "28", "232"]
    assert row(lines, " ok ").split() == ["ok", "processor", "0.12", "1", "core"]
    assert "this machine has enough" in row(lines_of(made(needs=(ENOUGH,))), "RESOURCES")


def test_it_says_that_nothing_was_measured() -> None:
    """What it rests on, what is left out, and who judges thresholds."""
    text = " ".join(" ".join(lines_of(made())).split())
    for words in (
        "DRY RUN",
        "No device was started, nothing was measured",
        "sandbox's rules",
        "Each exchange takes 20ms",
        "10 faulty devices are treated as sound",
        "The 2 thresholds are evaluated in a real run only",
    ):
        assert words in text
    assert "The threshold is evaluated" in "\n".join(lines_of(made(thresholds=1)))


@pytest.mark.parametrize(
    "words", ["exchanges/certificate 2.02", "drain                 33.2s", "wasted share          23.5%"]
)
def test_the_figures_are_those_of_the_metrics(words: str) -> None:
    """Under their own names."""
    assert any(words in line for line in lines_of(made()))


def test_it_prints_without_a_terminal() -> None:
    """Plain text, nothing folded."""
    out = StringIO()
    print_forecast(Console(file=out, width=80), made())
    assert "\x1b" not in out.getvalue()
    assert "OFFERED LOAD" in out.getvalue()


def test_the_json_holds_the_same_figures() -> None:
    """By the names of a summary, with counts by the second as pairs, and the scenario as run."""
    forecast = made(events=((10.0, "calm"),))
    said = json.loads(forecast_json(forecast, resolved="version: 1\n", problems=["too big"]))
    assert said["dry_run"] is True
    assert said["load"]["per_second"]["polls"] == [[6, 30], [12, 20], [33, 1]]
    assert said["load"]["busiest_10s"] == {"from_s": 0, "exchanges": 130}
    assert said["deferral"]["exchanges_per_certificate"] == pytest.approx(2.02)
    assert said["deferral"]["drain_s"] == 33.2
    assert [need["is_met"] for need in said["needs"]] == [True, False]
    assert said["fleet"]["states"] == {"operational": 50}
    assert (said["scenario"], said["problems"]) == ("version: 1\n", ["too big"])
