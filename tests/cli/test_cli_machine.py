"""The machine under a command: results that go away, damaged stores, no room, no working directory, odd terminals."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from bugs import bug_in
from cli_runs import COMMAND, DEADLINE_S, Done, Results, ended, estsim, recorded, results_in, started, until
from cli_runs import write_scenario as write

from estsim.cli.console import SizedConsole
from estsim.errors import UsageError
from estsim.figures.summary import read_summary
from estsim.fleet.own_processes import how_it_ended
from estsim.fleet.results import write_summary
from estsim.fleet.sandbox_folder import sandbox_folder

LASTING = {"renew": {"after": "300ms"}}


# -- what a run leaves


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["tables", "json"])
def test_results_that_are_removed_meanwhile_are_told_and_the_figures_printed(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A run that is over has its figures whatever became of its files: they are printed, and the exit code is 2."""
    results = tmp_path / "results"
    scenario = write(tmp_path, cohort=LASTING, duration="3s", until=None)
    with started("run", scenario, "--results", results, *words) as process:
        until(lambda: recorded(results, "SELECT COUNT(*) FROM exchanges") > 5)
        (run,) = results.iterdir()
        shutil.rmtree(results)
        done = ended(process)
    assert done.code == 2
    assert f"estsim: the summary was not saved: {run}/summary.json: cannot be written: No such file" in done.err
    if words:
        assert json.loads(done.out)["verdict"] == "passed"
    else:
        assert "PASSED" in done.out


def test_half_a_summary_is_never_left(tmp_path: Path) -> None:
    """What cannot be written whole leaves what was there, and no draft."""
    whole = read_summary({"verdict": "passed"})
    write_summary(tmp_path, whole)
    with pytest.raises(ValueError, match="JSON"):
        write_summary(tmp_path, replace(whole, schema_version=float("nan")))  # type: ignore[arg-type]  # no JSON
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == whole.as_dict()
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Run five devices."""
    folder = tmp_path_factory.mktemp("run")
    assert estsim("run", write(folder), "--results", folder / "results").code == 0
    return results_in(folder / "results")


def _damaged(run: Results, folder: Path, statement: str) -> Path:
    copy = folder / "run"
    shutil.copytree(run.folder, copy)
    with closing(sqlite3.connect(copy / "run.sqlite")) as store:
        store.execute(statement)
        store.commit()
    return copy


@pytest.mark.parametrize(
    ("words", "statement", "told"),
    [
        (
            ("device", "RUN", "1"),
            "UPDATE exchanges SET kind = 'eaten'",
            r"exchanges\.kind, row [0-9]+: expected one of ok, deferred, .*, abandoned \(got the text eaten\)",
        ),
        (
            ("report", "RUN"),
            "UPDATE run SET value = '[' WHERE key = 'phases'",
            r"run\.value, row 'phases': expected a JSON list of \[phase, first second, last second\] \(got \[\)",
        ),
        (
            ("export", "RUN", "--format", "jsonl", "--table", "series"),
            "UPDATE series SET service = '{'",
            r"series\.service, row 1: expected a JSON object of HdrHistograms \(V2, base64\) by operation \(got {\)",
        ),
        (
            ("export", "RUN", "--format", "hgrm", "--output", "OUT"),
            """UPDATE series SET service = '{"cacerts": "AAAA"}'""",
            r"""series\.service, row 1: expected a JSON object .* \(got {"cacerts": "AAAA"}\)""",
        ),
    ],
    ids=["device", "report", "jsonl", "hgrm"],
)
def test_a_damaged_run_is_the_file_s_fault(
    run: Results, tmp_path: Path, words: tuple[str, ...], statement: str, told: str
) -> None:
    """It is named, with the reason, and is no bug of ours: exit 2."""
    damaged = _damaged(run, tmp_path, statement)
    done = estsim(*({"RUN": damaged, "OUT": tmp_path / "out"}.get(word, word) for word in words))
    assert done.code == 2
    assert len(done.mistakes) == 1
    assert re.fullmatch(f"{damaged}/run.sqlite: unreadable content: {told}", done.mistakes[0])


# -- where it is run


def test_a_working_directory_that_was_deleted_is_told(tmp_path: Path) -> None:
    """Before anything is done in it, by whatever verb."""
    line = f'mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; exec "$@"'
    words = ["bash", "-c", line, "bash", *COMMAND, "validate", "here.yaml"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    told = "estsim: the working directory cannot be used: No such file or directory\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


def test_no_temporary_folder_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox of a run lives in one; the message names the place, the reason and the variable."""
    gone = tmp_path / "gone"
    monkeypatch.setattr(tempfile, "tempdir", str(gone))
    told = f"^{gone}: cannot create a folder for the sandbox: No such file or directory; set TMPDIR to use another"
    with pytest.raises(UsageError, match=told), sandbox_folder("", {}):
        pass


# -- the terminal


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (80, 25)),
        ({"COLUMNS": "0", "LINES": "0"}, (80, 25)),
        ({"COLUMNS": "1", "LINES": "1"}, (1, 1)),
        ({"COLUMNS": "10000", "LINES": "10000"}, (1000, 400)),
        ({"COLUMNS": "99999999999", "LINES": "99999999999"}, (1000, 400)),
        ({"COLUMNS": "-3", "LINES": "wide"}, (80, 25)),
    ],
)
def test_a_console_has_a_size_that_terminals_have(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], expected: tuple[int, int]
) -> None:
    """Of none at all it is the usual one, and the largest is bounded: every frame fills it."""
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device
        console = SizedConsole(file=nowhere, _environ=environment)
        assert (console.width, console.height) == expected


@pytest.mark.parametrize("columns", ["0", "99999999999"])
def test_figures_are_printed_at_any_width(run: Results, columns: str) -> None:
    """A width of nothing would print nothing."""
    with started("device", run.folder, "1", COLUMNS=columns) as process:
        done: Done = ended(process)
    assert done.code == 0
    assert "simpleenroll" in done.out


# -- what it runs out of

NO_MEMORY = """
    real = module.Conversation.answered

    def answered(self, response, **times):
        if self._device == 3:
            raise MemoryError
        return real(self, response, **times)

    module.Conversation.answered = answered
"""
NO_PROCESS = """
    async def nobody(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    module._start = nobody
"""
NO_MEMORY_FOR_A_PAGE = """
    def page(*_, **__):
        raise MemoryError

    module.page = page
"""


def _short(folder: Path, module: str, patch: str, *words: str) -> tuple[Done, Results]:
    scenario = write(folder)
    environment = bug_in(folder, module, patch)
    with started("run", scenario, "--results", folder / "results", *words, **environment) as process:
        done = ended(process)
    assert "internal error" not in done.out + done.err
    run = results_in(folder / "results")
    assert not (run.folder / "errors.log").exists()
    assert "internal_errors" not in run.summary
    return done, run


@pytest.mark.parametrize("words", [(), ("--workers", "2")], ids=["alone", "with workers"])
def test_a_device_for_which_there_is_no_memory_is_the_machine_s(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Not a bug, nor the server's: the others go on, the generator was the limit, and everything is saved."""
    done, run = _short(tmp_path, "estsim.device.exchange", NO_MEMORY, *words)
    assert (done.code, run.summary["verdict"]) == (4, "saturated")
    assert run.summary["generator"]["why"].startswith("this machine ran out of memory after ")
    assert run.summary["fleet"]["states"] == {"operational": 4, "lost": 1}
    assert run.summary["certificates"]["verified"] == 4
    assert run.one("SELECT detail FROM exchanges WHERE kind = 'abandoned'") == "this machine ran out of memory"
    assert run.one("SELECT COUNT(*) FROM enrolments WHERE end IS NULL") == 1
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "this machine ran out of memory after" in page


def test_a_machine_without_processes_is_told(tmp_path: Path) -> None:
    """A run that could not begin is saved with what it lacked."""
    done, run = _short(tmp_path, "estsim.engine.sandbox", NO_PROCESS)
    assert (done.code, run.summary["verdict"]) == (4, "saturated")
    assert "this machine ran out of processes or threads after 0.0 s" in run.summary["generator"]["why"]


def test_a_page_for_which_there_is_no_memory_leaves_the_verdict(tmp_path: Path) -> None:
    """The run went well, and has its files; the page can be made elsewhere."""
    done, run = _short(tmp_path, "estsim.report.page", NO_MEMORY_FOR_A_PAGE)
    assert (done.code, run.summary["verdict"]) == (0, "passed")
    assert done.mistakes == ["estsim: report.html was not created: this machine ran out of memory"]
    assert run.one("SELECT COUNT(*) FROM exchanges WHERE cause != 'preflight'") == 10


# -- signals


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
def test_whatever_would_end_a_run_stops_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """Everything is saved, and no core file with the fleet's keys is left; those that come again insist on nothing."""
    scenario = write(tmp_path, cohort=LASTING, duration="60s", until=None)
    results = tmp_path / "results"
    with started("run", scenario, "--results", results) as process:
        until(lambda: recorded(results, "SELECT COUNT(*) FROM exchanges") > 5)
        for _ in range(1 if number == signal.SIGQUIT else 3):
            os.killpg(process.pid, number)
        done = ended(process)
    run = results_in(results)
    assert (done.code, run.summary["verdict"]) == (130, "aborted")
    assert run.one("SELECT COUNT(*) FROM exchanges WHERE kind = 'failed'") == 0
    assert (run.folder / "report.html").is_file()


def test_a_job_s_signal_is_its_leader_s_to_answer(tmp_path: Path) -> None:
    """Batch systems send it to every process: workers and sandbox go on until the run has stopped in order."""
    scenario = write(tmp_path, cohort=LASTING, duration="60s", until=None)
    results = tmp_path / "results"
    with started("run", scenario, "--results", results, "--workers", "2") as process:
        until(lambda: recorded(results, "SELECT COUNT(*) FROM exchanges") > 5)
        for child in psutil.Process(process.pid).children(recursive=True):
            child.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGUSR1)
        done = ended(process)
    run = results_in(results)
    assert (done.code, run.summary["verdict"]) == (130, "aborted")
    assert run.summary["fleet"]["states"].get("lost", 0) == 0
    assert run.one("SELECT COUNT(*) FROM exchanges WHERE kind = 'failed'") == 0


@pytest.mark.parametrize("words", [(), ("--workers", "2")], ids=["alone", "with workers"])
def test_a_sandbox_of_the_run_that_dies_is_the_machine_s(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Killed for want of memory, say: told at once, and not judged as a server that fails."""
    scenario = write(tmp_path, cohort={**LASTING, "retry": {"base": "100ms"}}, duration="5s", until=None)
    results = tmp_path / "results"
    with started("run", scenario, "--results", results, *words) as process:
        until(lambda: recorded(results, "SELECT COUNT(*) FROM exchanges") > 5)
        children = psutil.Process(process.pid).children()
        (sandbox,) = [child for child in children if "serve" in child.cmdline()]
        sandbox.kill()
        done = ended(process)
    run = results_in(results)
    assert (done.code, run.summary["verdict"]) == (4, "saturated")
    assert run.summary["generator"]["why"].startswith("the run's sandbox was killed (SIGKILL) after ")
    assert "the run&#x27;s sandbox was killed" in (run.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (None, "stopped responding"),
        (3, "ended with code 3"),
        (-9, "was killed (SIGKILL)"),
        (-40, "was killed (signal 40)"),
    ],
)
def test_how_a_process_ended_is_told(code: int | None, expected: str) -> None:
    """Signals without a name have a number."""
    assert how_it_ended(code) == expected
