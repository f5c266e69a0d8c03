"""``estsim export`` and ``estsim device``: what can be read of runs that ended, and of one that was killed."""

import csv
import json
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cli_runs import COMMAND, DEADLINE_S, Results, at_once, estsim, recorded, results_in, started, until, write_scenario

DEFERRING = {"issue": {"mode": "deferred", "share": "50%", "delay": "500ms..900ms", "retry_after": {"seconds": 1}}}
RENEWING = {
    "devices": 8,
    "subject": "CN=meter-{index:3},O=Example",
    "renew": {"after": "1s", "times": 1, "then": "leave"},
    "deferral": {"spread": "10%..20%"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return a run of eight devices that renew once, half of whose requests were deferred."""
    folder = tmp_path_factory.mktemp("run")
    scenario = write_scenario(folder, cohort=RENEWING, sandbox=DEFERRING)
    done = estsim("run", scenario, "--results", folder / "results")
    assert done.code == 0, done.err + done.out
    return results_in(folder / "results")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was killed with -9 after thirty certificates."""
    folder = tmp_path_factory.mktemp("killed")
    busy = {"devices": 10, "boot": {"burst": "200ms"}, "renew": {"after": "300ms"}}
    scenario = write_scenario(folder, cohort=busy)
    issued = "SELECT COUNT(*) FROM enrolments WHERE end = 'issued'"
    with started("run", scenario, "--results", folder / "results", TMPDIR=str(folder)) as process:
        until(lambda: recorded(folder / "results", issued) > 30)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return results_in(folder / "results").folder


def rows_of(*words: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a CSV export."""
    done = estsim("export", *words)
    assert (done.code, done.err) == (0, "")
    return list(csv.DictReader(StringIO(done.out, newline="")))


def names_in(folder: Path) -> set[str]:
    """Return what lies in a folder."""
    return {entry.name for entry in folder.iterdir()}


# -- export


def test_all_exchanges_of_a_run(run: Results) -> None:
    """By its folder or its store, as CSV or JSON lines: as many as the store has, and nothing is left beside it."""
    before = names_in(run.folder)
    total = run.one("SELECT COUNT(*) FROM exchanges")
    rows = rows_of(run.folder)
    assert len(rows) == total
    assert {row["kind"] for row in rows} == {"ok", "deferred"}
    done = estsim("export", run.folder / "run.sqlite", "--format", "jsonl")
    entries = [json.loads(line) for line in done.out.splitlines()]
    assert [str(entry["ended_ns"]) for entry in entries] == [row["ended_ns"] for row in rows]
    assert names_in(run.folder) == before


def test_the_certificates_to_clean_up_are_those_of_the_sandbox(run: Results) -> None:
    """Serial by serial, as the CA itself has logged them."""
    rows = rows_of(run.folder, "--table", "certificates")
    assert len(rows) == 16
    assert {(row["device"], row["goal"]) for row in rows} == {
        (str(device), goal) for device in range(8) for goal in ("enroll", "renew")
    }
    served = run.log("SELECT serial FROM issued")
    assert {int(row["serial"], 16) for row in rows} == {int(row["serial"], 16) for row in served}


def test_percentiles_are_files_for_a_plotter(run: Results, tmp_path: Path) -> None:
    """One for each operation and kind, with as many values as ended ok; they are not written over unasked."""
    folder = tmp_path / "new" / "percentiles"
    command = ("export", run.folder, "--format", "hgrm", "--output", folder)
    done = estsim(*command)
    assert (done.code, done.out, done.err) == (0, "", "")
    operations = ("cacerts", "simpleenroll", "simplereenroll")
    assert names_in(folder) == {f"{name}.{kind}.hgrm" for name in operations for kind in ("service", "response")}
    ok = run.summary["operations"]["simpleenroll"]["response_ms"]
    text = (folder / "simpleenroll.response.hgrm").read_text()
    (end,) = (line for line in text.splitlines() if line.startswith("#[Max"))
    most, count = (float(part.split("=")[1].strip(" ]")) for part in end.split(","))
    assert count == ok["count"]
    assert most == pytest.approx(ok["max"], rel=2e-3)
    again = estsim(*command)
    assert (again.code, len(again.mistakes)) == (2, 1)
    assert "cacerts.response.hgrm: already exists; use --force to overwrite it" in again.err
    assert estsim(*command, "--force").code == 0


def test_a_file_is_written_whole_and_not_over_another(run: Results, tmp_path: Path) -> None:
    """As what standard output gets; a file that is there needs --force."""
    file = tmp_path / "rows.csv"
    command = ("export", run.folder, "--format", "csv", "--table", "enrolments", "--output", file)
    assert estsim(*command).code == 0
    assert len(file.read_text().splitlines()) == 17
    file.write_text("precious")
    refused = estsim(*command)
    assert (refused.code, refused.err) == (2, f"{file}: already exists; use --force to overwrite it\n")
    assert file.read_text() == "precious"
    assert estsim(*command, "--force").code == 0
    assert file.read_text() == estsim(*command[:-2]).out
    assert names_in(tmp_path) == {"rows.csv"}


def test_a_file_that_cannot_be_finished_is_not_there(run: Results, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    file = tmp_path / "rows.csv"
    done = estsim("export", run.folder, "--format", "csv", "--output", file, limit=("f", 4))
    assert (done.code, done.err) == (2, f"{file}: cannot be written: File too large\n")
    assert names_in(tmp_path) == set()


def test_a_reader_that_goes_away_is_no_error(run: Results) -> None:
    """Such as head."""
    command = [*COMMAND, "export", str(run.folder), "--format", "csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(DEADLINE_S) == 0


def test_mistakes_are_one_line_each(run: Results, tmp_path: Path) -> None:
    """Exit 2, the place and what was expected."""
    later = tmp_path / "later.sqlite"
    shutil.copy(run.folder / "run.sqlite", later)
    with later.open("r+b") as file:
        file.seek(60)  # user_version in the header of SQLite's format
        file.write((9).to_bytes(4, "big"))
    (tmp_path / "empty").mkdir()
    wrong: dict[str, tuple[Sequence[str | Path], str]] = {
        "no folder": ((tmp_path / "none", "--format", "csv"), "none: no such folder"),
        "no store": (
            (tmp_path / "empty", "--format", "csv"),
            "empty: expected a results folder (it contains no run.sqlite)",
        ),
        "version": ((later, "--format", "csv"), "later.sqlite: expected a run store of version 7 (got 9)"),
        "table": (
            (run.folder, "--format", "hgrm", "--table", "exchanges", "--output", tmp_path),
            "--table: hgrm requires series, the table with histograms (got exchanges)",
        ),
        "no output": (
            (run.folder, "--format", "hgrm"),
            "--output: hgrm requires a folder, it writes a file per operation",
        ),
        "no file": (
            (run.folder, "--format", "csv", "--output", tmp_path),
            "must be a regular file",
        ),
    }
    wrong["itself"] = (
        (run.folder, "--format", "csv", "--output", run.folder / "run.sqlite", "--force"),
        "run.sqlite: is the store of the run; choose another file",
    )
    for name, done in at_once({name: partial(estsim, "export", *words) for name, (words, _) in wrong.items()}).items():
        assert (done.code, done.out, len(done.mistakes)) == (2, "", 1), name
        assert done.mistakes[0].endswith(wrong[name][1]), name


def test_a_killed_run_is_exported_with_what_was_recorded(killed: Path, tmp_path: Path) -> None:
    """Without a summary, from the store and its log, of which nothing changes."""
    before = names_in(killed)
    assert {"run.sqlite", "run.sqlite-wal", "run.sqlite-shm", "scenario.yaml"} == before
    rows = rows_of(killed, "--table", "certificates")
    assert len(rows) > 30
    assert len({row["serial"] for row in rows}) == len(rows)
    assert estsim("export", killed, "--format", "hgrm", "--output", tmp_path).code == 0
    assert "simpleenroll.response.hgrm" in names_in(tmp_path)
    assert names_in(killed) == before


# -- device


def deferred_device(run: Results) -> int:
    """Return a device whose first certificate was deferred."""
    return int(run.one("SELECT MIN(device) FROM exchanges WHERE kind = 'deferred' AND operation = 'simpleenroll'"))


def test_a_device_s_story_is_found_by_number_cn_and_subject(run: Results) -> None:
    """One story, at most 80 columns wide, without a colour in a pipe, and all its exchanges are in it."""
    number = deferred_device(run)
    name = f"meter-{number:03}"
    names = (str(number), name, f"CN={name},O=Example", f"O=Example,CN={name}")
    stories = at_once({given: partial(estsim, "device", run.folder, given) for given in names})
    assert {(done.code, done.err) for done in stories.values()} == {(0, "")}
    (text,) = {done.out for done in stories.values()}
    lines = text.splitlines()
    assert lines[:2] == [f"device {number} of cohort meters", f"O=Example,CN={name}"]
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text
    for row in run.rows(f"SELECT * FROM exchanges WHERE device = {number} AND cause != 'preflight'"):  # noqa: S608 - a number
        assert any(f" {row['operation']} " in line and f" {row['kind']} {row['status']} " in line for line in lines)
    for row in run.rows(f"SELECT serial FROM enrolments WHERE device = {number}"):  # noqa: S608 - a number
        assert any(line.split() == ["serial", row["serial"]] for line in lines)
    words = " ".join(text.split())
    assert "deferred: Retry-After 1.00s, device spread 1" in words
    assert "until renewal" in words
    assert "of validity left on the replaced certificate" in words


def test_a_name_that_is_none_suggests_the_nearest(run: Results) -> None:
    """A slip in a name, a number too high, nothing at all, and a name of many."""
    wrong = {
        "meter-07": "meter-07: no such device (did you mean 'meter-007'?)\n",
        "CN=meter-07,O=X": "CN=meter-07,O=X: no such device (did you mean 'CN=meter-007,O=Example'?)\n",
        "8": "8: no such device (expected a number from 0 to 7)\n",
        "": "NAME: expected a device number, CN or Subject (got nothing)\n",
        "O=Example": "O=Example: matches several devices: 0, 1, 2, 3, 4, …\n",
        "%": "%: no such device\n",
    }
    for name, done in at_once({name: partial(estsim, "device", run.folder, name) for name in wrong}).items():
        assert (done.code, done.out, done.err) == (2, "", wrong[name])


def test_a_device_without_a_certificate_is_known_from_the_scenario(run: Results, tmp_path: Path) -> None:
    """Though the files that the scenario names are gone; without the scenario only what was recorded is known."""
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    with closing(sqlite3.connect(folder / "run.sqlite")) as store:
        store.execute("DELETE FROM enrolments WHERE device = 3")
        store.execute("DELETE FROM exchanges WHERE device = 3")
        store.commit()
    scenario = json.dumps(
        {
            "version": 1,
            "duration": "30s",
            "target": {"url": "https://gone.example", "trust": {"ca": "gone.pem"}},
            "authorities": {"gone": {"cert": "gone.pem", "key": "gone.pem"}},
            "cohorts": {
                "first": {"devices": 2, "subject": "CN=one-{index}", "boot": {"burst": "0s"}},
                "meters": {"devices": 6, "subject": "CN=meter-{index:3},O=Example", "boot": {"burst": "0s"}},
            },
        }
    )
    (folder / "scenario.yaml").write_text(scenario, encoding="utf-8")
    done = estsim("device", folder, "meter-003")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("device 3 of cohort meters\nO=Example,CN=meter-003\n")
    assert "no activity recorded" in done.out
    (folder / "scenario.yaml").unlink()
    assert estsim("device", folder, "meter-004").out.startswith("device 4 of cohort meters\n")
    assert estsim("device", folder, "3").err == "3: no such device\n"


def test_a_device_of_a_killed_run(killed: Path) -> None:
    """Its story up to there, and that nobody wrote an end; the folder stays as it was."""
    before = names_in(killed)
    done = estsim("device", killed, "0")
    assert (done.code, done.err) == (0, "")
    assert "no end recorded" in done.out
    assert "enrolment 1: issued" in done.out
    assert names_in(killed) == before
