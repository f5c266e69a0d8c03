"""The live view of the sandbox at every size."""

import math
import re
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from estsim.terminal.chart import GUTTER, SECONDS
from estsim.terminal.ink import width_of
from estsim.terminal.serving import (
    CenterFigures,
    ServingSnapshot,
    exchanges,
    header,
    keys,
    refusals,
    serving_view,
)
from estsim.terminal.throughput import throughput
from estsim.terminal.trust_centers import tables_in, trust_centers

SIZES = [(80, 24), (100, 30), (140, 45), (200, 60)]

DEFAULT = CenterFigures(
    label="default",
    requests=12345,
    issued=9876,
    deferred=1234,
    pending=64,
    awaiting_approval=0,
    refused=56,
    early_repeats=12,
    faults=7,
    queue=18,
    capacity="50/s",
)
FACTORY = CenterFigures("factory", 3041, 2890, 96, 3, 2, 55, 0, 0, 0, "no limit")
SERVING = ServingSnapshot(
    url="https://127.0.0.1:8443/.well-known/est",
    elapsed_s=3723.4,
    open_connections=37,
    connections=15994,
    failed_handshakes=41,
    requests_per_s=(*range(59), 87),
    certificates_per_s=(*range(59), 43),
    centers=(DEFAULT, FACTORY),
    refusals=(
        ("the CA is at capacity", 71),
        ("unknown_ca", 38),
        ("certificate_expired", 12),
        ("unknown user or wrong password", 3),
        ("expected a body of at most 65536 bytes", 1),
    ),
    recent=tuple(f"12:00:{at:02}Z 200 simpleenroll CN=meter-{at}: certificate 5f2a{at}" for at in range(40)),
    trouble=None,
    stopping=False,
)
IDLE = ServingSnapshot(
    url="https://localhost:40123/.well-known/est",
    elapsed_s=0.0,
    open_connections=0,
    connections=0,
    failed_handshakes=0,
    requests_per_s=(),
    certificates_per_s=(),
    centers=(
        CenterFigures("default", 0, 0, 0, 0, 0, 0, 0, 0, 0, "no limit"),
        CenterFigures("factory", 0, 0, 0, 0, 0, 0, 0, 0, 0, "2 signers, 20ms each"),
    ),
    refusals=(),
    recent=(),
    trouble=None,
    stopping=False,
)
HEADINGS = ("TRUST CENTERS", "WAITING NOW", "THROUGHPUT", "REFUSALS BY REASON", "EXCHANGES", " Ctrl-C")


def picture(snapshot: ServingSnapshot, width: int = 80, height: int = 24) -> list[str]:
    """Return the view's lines as a terminal without colour shows them."""
    console = Console(file=StringIO(), width=width, height=height, record=True, force_terminal=True, _environ={})
    console.print(serving_view(snapshot, width=width, height=height), end="")
    return console.export_text().removesuffix("\n").split("\n")


def assert_fits(lines: list[str], width: int, height: int) -> None:
    """Assert that nothing wrapped: as many lines as the screen has, each exactly as wide."""
    assert [cell_len(line) for line in lines] == [width] * height


def tenants(number: int) -> tuple[CenterFigures, ...]:
    """Return trust centers of which every later one is busier."""
    return tuple(replace(DEFAULT, label=f"tenant-{at}", requests=100 * at, queue=at) for at in range(number))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_figure_is_on_the_screen_at_every_size(width: int, height: int) -> None:
    """All that the sandbox counts, at 80 by 24 as at 200 by 60."""
    lines = picture(SERVING, width, height)
    assert_fits(lines, width, height)
    text = "\n".join(lines)
    assert text.casefold().count(" now ") == 1
    for expected in (
        r"estsim  https://127\.0\.0\.1:8443/\.well-known/est +● serving  1:02:03",
        r"connections +open 37 +total 15 994 +failed handshakes 41",
        r"TRUST CENTERS +requests +issued +deferred +refused +early +faults",
        r"default +12 345 +9 876 +1 234 +56 +12 +7",
        r"factory +3 041 +2 890 +96 +55 +0 +0",
        r"(?i:now) +pending +approval +queued +capacity",
        r" 64 +0 +18  50/s",
        r" 3 +2 +0  no limit",
        r"requests/s +87 .*█",
        r"certs/s +43 .*[▁-█]",
        r"REFUSALS BY REASON  125",
        r" 71 the CA is at capacity",
        r"12:00:39Z 200 simpleenroll CN=meter-39: certificate 5f2a39",
        r"Ctrl-C: stop · estsim pending list DIR",
    ):
        assert re.search(expected, text), expected


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_moves_from_one_picture_to_the_next(width: int, height: int) -> None:
    """An idle sandbox, a busy one, one in trouble and one that stops have their panes at the same lines."""
    pictures = [
        picture(snapshot, width, height)
        for snapshot in (
            IDLE,
            SERVING,
            replace(SERVING, trouble="the store cannot be written: disk full", recent=SERVING.recent[:2]),
            replace(SERVING, refusals=SERVING.refusals[:1], requests_per_s=(10**9,) * 60),
        )
    ]
    places = [[at for at, line in enumerate(lines) if line.startswith(HEADINGS)] for lines in pictures]
    assert len(places[0]) == len(HEADINGS) - 2 + tables_in(width)
    assert places == [places[0]] * len(pictures)
    columns = [lines[places[0][0]] for lines in pictures]
    assert columns == [columns[0]] * len(pictures)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_figure_ends_under_the_end_of_its_heading(width: int, height: int) -> None:
    """The columns of the table are columns."""
    lines = picture(SERVING, width, height)
    head = next(line for line in lines if line.startswith("TRUST CENTERS"))
    row = next(line for line in lines if line.startswith(" default"))
    for heading, figure in (("requests", "12 345"), ("issued", "9 876"), ("refused", "56"), ("faults", "7")):
        end = head.index(heading) + len(heading)
        assert row[:end].endswith(f" {figure}"), heading


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_sandbox_that_nobody_has_asked_yet(width: int, height: int) -> None:
    """No rate is known, nothing was refused, and there is nothing to approve."""
    lines = picture(IDLE, width, height)
    assert_fits(lines, width, height)
    text = "\n".join(lines)
    assert re.search(r"requests/s +– ", text)  # noqa: RUF001 - the dash of an absent figure
    assert "REFUSALS BY REASON  none yet" in text
    assert "EXCHANGES  none yet" in text
    assert "2 signers, 20ms each" in text
    assert lines[-1].rstrip() == " Ctrl-C: stop"


def test_the_seconds_before_the_start_are_blank() -> None:
    """A series of sixty zeros does not look like a minute without requests when it serves for two seconds."""
    lines = picture(replace(SERVING, elapsed_s=2.0, requests_per_s=(0,) * 58 + (0, 4)))
    charted = next(line for line in lines if "requests/s" in line)
    assert re.search(r"requests/s +4 {60}\.█$", charted)
    assert picture(replace(SERVING, elapsed_s=math.nan))[0].rstrip().endswith("–")  # noqa: RUF001 - the same dash


@pytest.mark.parametrize(("width", "height", "shown"), [(80, 24, 3), (80, 34, 5), (140, 24, 8)])
def test_more_trust_centers_than_fit_are_summed_up(width: int, height: int, shown: int) -> None:
    """The busiest keep their lines, in the order of the configuration, and the figures of all lines add up."""
    lines = picture(replace(SERVING, centers=tenants(30)), width, height)
    assert_fits(lines, width, height)
    named = [re.match(r" (tenant-\d+) ", line) for line in lines]
    labels = [match[1] for match in named if match]
    expected = [f"tenant-{at}" for at in range(30 - shown, 30)]
    assert labels == expected * tables_in(width)
    rest = [line for line in lines if line.startswith(f" … and {30 - shown} more ")]
    assert len(rest) == tables_in(width)
    requests = f"{sum(100 * at for at in range(30 - shown)):,}".replace(",", " ")
    assert f" {requests} " in rest[0]
    assert re.search(rf" {sum(range(30 - shown))} *$", rest[-1])
    assert "simpleenroll" in lines[-2] or "simpleenroll" in lines[-3]


def test_trust_centers_that_just_fit_have_a_line_each() -> None:
    """Nothing is summed up that has room."""
    text = "\n".join(picture(replace(SERVING, centers=tenants(4))))
    assert "more" not in text.partition("THROUGHPUT")[0]
    assert text.count("tenant-") == 8


def test_the_last_exchange_is_the_lowest_and_more_room_shows_more() -> None:
    """They scroll like a log, and are what a larger terminal is spent on."""
    seen = {}
    for width, height in SIZES:
        numbers = [
            int(match[1]) for line in picture(SERVING, width, height) if (match := re.search(r"meter-(\d+)", line))
        ]
        assert numbers == list(range(40 - len(numbers), 40))
        seen[height] = len(numbers)
    assert seen[24] >= 4
    assert seen[24] < seen[45] < seen[60]


def test_few_exchanges_stand_at_the_top_of_their_pane() -> None:
    """A new line is written below the last one, and moves none."""
    lines = picture(replace(SERVING, recent=SERVING.recent[:1]))
    at = next(at for at, line in enumerate(lines) if line.startswith("EXCHANGES"))
    assert "meter-0" in lines[at + 1]
    assert not lines[at + 2].strip()


def test_reasons_without_a_line_of_their_own_are_summed_up() -> None:
    """The total above the list is the sum of the list."""
    text = "\n".join(picture(SERVING))
    assert re.search(r"38 unknown_ca\s+16 other reasons \(3\)", text)
    wide = "\n".join(picture(SERVING, 200, 60))
    assert "other reasons" not in wide
    assert " 1 expected a body of at most 65536 bytes" in wide


def test_a_line_too_long_ends_with_a_whole_word() -> None:
    """Only of a word so long that much of it can stay, such as a serial, the beginning is kept."""
    serial = f"12:00:01Z 200 simpleenroll CN=meter-000001,O=Example: certificate {'5f2ab9c0' * 5}"
    sentence = "12:00:01Z 403 simpleenroll CN=meter-1,O=Example: expected the Subject of the certificate presented"
    whole = "12:00:02Z 403 simpleenroll CN=a: " + "w" * 46
    text = [line.rstrip() for line in picture(replace(SERVING, recent=(serial, sentence, whole, "x" * 100)))]
    assert " 12:00:01Z 200 simpleenroll CN=meter-000001,O=Example: certificate 5f2ab9c05f2a…" in text
    assert " 12:00:01Z 403 simpleenroll CN=meter-1,O=Example: expected the Subject of the …" in text
    assert f" {whole}" in text
    assert f" {'x' * 78}…" in text


def test_trouble_is_shown_in_words_and_hides_nothing() -> None:
    """It stands in the line that is kept free for it."""
    calm, troubled = picture(SERVING), picture(replace(SERVING, trouble="the store cannot be written: disk full"))
    assert not calm[2].strip()
    assert troubled[2].startswith(" ▲ ERROR: the store cannot be written: disk full ")
    assert [*troubled[:2], *troubled[3:]] == [*calm[:2], *calm[3:]]


def test_a_sandbox_that_stops_says_so_and_how_to_hurry_it() -> None:
    """The first Ctrl-C lets it finish, the second one does not."""
    lines = picture(replace(SERVING, stopping=True))
    assert "◐ stopping  1:02:03" in lines[0]
    assert lines[-1].strip() == "Finishing current exchanges · press Ctrl-C again to quit now"


def test_the_way_to_approve_is_shown_where_something_awaits_it() -> None:
    """With the folder to look into, and only then."""
    waits = picture(replace(SERVING, directory="my-sandbox"))[-1]
    nothing = picture(replace(SERVING, centers=(DEFAULT,), directory="my-sandbox"))[-1]
    assert waits.strip() == "Ctrl-C: stop · estsim pending list my-sandbox"
    assert nothing.strip() == "Ctrl-C: stop"


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_endless_names_and_huge_numbers_keep_to_their_places(width: int, height: int) -> None:
    """They are cut or shortened, and what stands beside them stays readable."""
    center = CenterFigures("城市" * 40, *(123_456_789_012,) * 9, "signers " * 40)
    endless = replace(SERVING, url="https://" + "a" * 300, connections=123_456_789_012, centers=(center, DEFAULT))
    lines = picture(endless, width, height)
    assert_fits(lines, width, height)
    text = "\n".join(lines)
    assert "aaa… ● serving  1:02:03 " in lines[0]
    assert "total 123G " in text
    assert re.search(r"城市.*… {4,}123G +123G", text)
    assert re.search(r" 123G {2}signers signers s.*… *$", text, re.MULTILINE)


def test_words_of_clients_are_harmless() -> None:
    """No escape sequence, line break or override of theirs reaches the terminal."""
    evil = "a\x1b[2Jb\nc\u202ed\u200de"
    snapshot = replace(
        SERVING,
        url=evil,
        centers=(replace(FACTORY, label=evil, capacity=evil),),
        refusals=((evil, 1),),
        recent=(evil,),
        trouble=evil,
        directory=evil,
    )
    text = "\n".join(picture(snapshot, 140, 45))
    assert text.count("a·[2Jb·c·d·e") == 7
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20, 5), (79, 24), (80, 23), (200, 10)])
def test_a_terminal_that_is_too_small_shows_a_note(width: int, height: int) -> None:
    """It shows the part that fits."""
    lines = picture(SERVING, width, height)
    assert_fits(lines, width, height)
    assert lines[-1].startswith(f" {width}x{height} is"[: width - 1])


TEXT = st.text(max_size=60) | st.text(min_size=1, max_size=9).map(lambda text: text * 60)
COUNT = st.integers(min_value=0, max_value=10**13)
SERIES = st.lists(COUNT, max_size=61).map(tuple)
CENTER = st.builds(
    CenterFigures,
    label=TEXT,
    requests=COUNT,
    issued=COUNT,
    deferred=COUNT,
    pending=COUNT,
    awaiting_approval=COUNT,
    refused=COUNT,
    early_repeats=COUNT,
    faults=COUNT,
    queue=COUNT,
    capacity=TEXT,
)
SNAPSHOT = st.builds(
    ServingSnapshot,
    url=TEXT,
    elapsed_s=st.floats(min_value=0) | st.just(math.nan),
    open_connections=COUNT,
    connections=COUNT,
    failed_handshakes=COUNT,
    requests_per_s=SERIES,
    certificates_per_s=SERIES,
    centers=st.lists(CENTER, max_size=40).map(tuple),
    refusals=st.lists(st.tuples(TEXT, COUNT), max_size=30).map(tuple),
    recent=st.lists(TEXT, max_size=80).map(tuple),
    trouble=st.none() | TEXT,
    stopping=st.booleans(),
    directory=TEXT,
)


@settings(max_examples=60, deadline=None)
@given(SNAPSHOT, st.integers(min_value=1, max_value=260), st.integers(min_value=1, max_value=80))
def test_any_snapshot_fits_any_terminal(snapshot: ServingSnapshot, width: int, height: int) -> None:
    """It never raises and never overflows."""
    assert_fits(picture(snapshot, width, height), width, height)


@settings(max_examples=60, deadline=None)
@given(SNAPSHOT, st.integers(min_value=80, max_value=260))
def test_no_pane_draws_more_than_its_room(snapshot: ServingSnapshot, width: int) -> None:
    """So that the last resort, cropping a finished line, never has to take a figure away."""
    panes = [
        (3, header(snapshot, width)),
        (5 * tables_in(width), trust_centers(snapshot.centers, width, rows=4)),
        (
            4,
            throughput(
                snapshot.requests_per_s,
                snapshot.certificates_per_s,
                width,
                elapsed_s=1e6,
                height=1,
                cells=(width - GUTTER) // SECONDS,
                axes=True,
                dashes=True,
            ),
        ),
        (4, refusals(snapshot, width, rows=3)),
        (6, exchanges(snapshot, width, rows=5)),
        (1, [keys(snapshot, width)]),
    ]
    for rows, lines in panes:
        assert len(lines) <= rows
        assert max(map(width_of, lines)) <= width


@pytest.mark.parametrize("centers", [0, 1, 5, 200])
@pytest.mark.parametrize("width", [80, 160])
def test_every_line_of_the_screen_is_given_to_a_pane(width: int, centers: int) -> None:
    """The newest exchange stands right above the keys, but for the air of a tall terminal."""
    snapshot = replace(SERVING, centers=tenants(centers), recent=SERVING.recent * 4)
    for height in (*range(24, 64), 130):
        *lines, last = picture(snapshot, width, height)
        assert last.startswith(" Ctrl-C")
        under_the_table = next(at for at, line in enumerate(lines) if line.startswith("THROUGHPUT")) - 1
        airy = not lines[under_the_table].strip()
        assert "CN=meter-39" in lines[-2 if airy else -1]
