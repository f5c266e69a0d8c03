"""Boot times from a file: which files are read how, and mistakes with the line of the file."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from estsim.errors import ScenarioError, UnitError
from estsim.load.arrivals import Trace
from estsim.scenario.boot_model import read_trace
from estsim.scenario.loader import load_scenario


def _read(folder: Path, content: str | bytes) -> tuple[float, ...]:
    path = folder / "boots.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_trace(path)


@pytest.mark.parametrize(
    ("content", "times"),
    [
        ("1\n2.5\n3e1\n", (1.0, 2.5, 30.0)),
        ("3\n1\n2\n", (1.0, 2.0, 3.0)),
        ("0", (0.0,)),
        ("at\n2\n1\n", (1.0, 2.0)),
        (" at \n1\n", (1.0,)),
        ("device,at,note\na,4,x\nb,3,\n", (3.0, 4.0)),
        ('device,at\n"a, b",4\n', (4.0,)),
        ("1,a\n2,b\n", (1.0, 2.0)),
        ("1\r\n2\r\n", (1.0, 2.0)),
        ("\n1\n\n\n2\n\n", (1.0, 2.0)),
        ("\ufeffat\n1\n", (1.0,)),
        ("1\n1\n1\n", (1.0, 1.0, 1.0)),
    ],
)
def test_times_are_read_and_sorted(tmp_path: Path, content: str, times: tuple[float, ...]) -> None:
    """Alone, as the first column, or under a heading; with what spreadsheets put around them."""
    assert _read(tmp_path, content) == times


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "contains no boot times (got "),
        ("\n\n", "contains no boot times (got "),
        ("time\n1\n", "has no column 'at' (got time)"),
        ("a,b\n1,2\n", "has no column 'at' (got a, b)"),
        ("at\n1\nsoon\n", ":3: expected a boot time in seconds, 0 or more (got soon)"),
        ("1\n-2\n", ":2: expected a boot time in seconds, 0 or more (got -2)"),
        ("1\nnan\n", ":2: expected a boot time in seconds, 0 or more (got nan)"),
        ("1\ninf\n", ":2: expected a boot time in seconds, 0 or more (got inf)"),
        ("device,at\na,1\n\nb\n", ":4: expected a boot time in seconds, 0 or more (got )"),
        ("1\n2s\n", ":2: expected a boot time in seconds, 0 or more (got 2s)"),
        (b"\xff\xfe1\n", "cannot be read: 'utf-8' codec can't decode"),
        (b"1\n" + b"2" * 200_000, "cannot be read: field larger than field limit"),
    ],
)
def test_what_is_no_time_is_told_with_its_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    """Never a guess, never a row left out."""
    with pytest.raises(UnitError) as caught:
        _read(tmp_path, content)
    assert said in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(content=st.binary(max_size=60) | st.text(alphabet='0123456789.,;at\n\r"- e', max_size=60).map(str.encode))
def test_any_bytes_are_times_or_told(tmp_path: Path, content: bytes) -> None:
    """Ascending and not negative, or a UnitError."""
    try:
        times = _read(tmp_path, content)
    except UnitError:
        return
    assert list(times) == sorted(times)
    assert all(at_s >= 0 for at_s in times)


def _told(folder: Path, boot: str, devices: int = 2) -> str:
    path = folder / "fleet.yaml"
    path.write_text(
        "version: 1\nduration: 10s\n"
        f"cohorts:\n  a: {{devices: {devices}, bootstrap: {{kind: none}}, boot: {{trace: {boot}}}}}\n"
    )
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    (line,) = str(caught.value).replace(f"{folder}/", "").splitlines()
    return line


def test_a_cohort_boots_as_recorded(tmp_path: Path) -> None:
    """Its file lies beside the scenario; more times than devices are left alone."""
    _read(tmp_path, "1\n2\n3\n")
    path = tmp_path / "fleet.yaml"
    cohort = "{devices: 2, bootstrap: {kind: none}, boot: {trace: boots.csv}}"
    path.write_text(f"version: 1\nduration: 10s\ncohorts: {{a: {cohort}}}\n")
    assert load_scenario(path).cohorts[0].arrivals == Trace((1.0, 2.0, 3.0))


def test_a_trace_that_does_not_do_for_the_cohort_is_told_at_its_key(tmp_path: Path) -> None:
    """Too few, too late, not there, no time in it."""
    where = "fleet.yaml:4:51: cohorts.a.boot.trace: "
    _read(tmp_path, "1\n2\n10\n")
    assert _told(tmp_path, "boots.csv", 4) == f"{where}stops after 3 of 4 devices have booted"
    late = "the last of 3 devices boots at 10s, after the end of the run, 10s"
    assert _told(tmp_path, "boots.csv", 3) == f"{where}{late}"
    assert _told(tmp_path, "no.csv") == f"{where}cannot be read: No such file or directory (got no.csv)"
    assert _told(tmp_path, ".").startswith(f"{where}cannot be read: Is a directory")
    assert _told(tmp_path, '"a\\0b"').startswith(f"{where}cannot be read: embedded null byte")
    (tmp_path / "boots.csv").write_text("1\nx\n")
    assert _told(tmp_path, "boots.csv") == f"{where}boots.csv:2: expected a boot time in seconds, 0 or more (got x)"
