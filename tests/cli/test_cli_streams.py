"""Standard streams that are closed, full, gone, or of an encoding that lacks half of what is printed: a run goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Final

import pytest
from cli_runs import COMMAND, DEADLINE_S, Done, at_once, ended, estsim, recorded, results_in, serving, started, until
from cli_runs import write_scenario as write

from estsim.cli.streams import LastingStream, make_streams_last

LATIN: Final = {"PYTHONIOENCODING": "iso-8859-1"}
ASCII: Final = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
SLOW_S: Final = 4 * DEADLINE_S
FULL: Final = "estsim: output cannot be written: No space left on device"
CLOSED: Final = "estsim: output cannot be written: Bad file descriptor"


def _shell(line: str, *words: str | Path, environment: Mapping[str, str] = {}, encoding: str = "utf-8") -> Done:
    """Run a line of bash in which ``estsim`` is the command with ``words``."""
    command = ["bash", "-c", line.replace("estsim", '"$@"'), "bash", *COMMAND, *map(str, words)]
    env = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, timeout=SLOW_S, check=False, env=env)
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert "Traceback" not in out + err, err
    assert "Exception ignored" not in out + err, err
    return Done(done.returncode, out, err)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Done, Path]]:
    """Run five devices with streams of each kind."""
    folder = tmp_path_factory.mktemp("streams")
    scenario = write(folder)

    def run(name: str, line: str, *words: str, environment: Mapping[str, str] = {}) -> Callable[[], Done]:
        encoding = "iso-8859-1" if environment is LATIN else "utf-8"
        wanted: tuple[str | Path, ...] = ("run", scenario, "--results", folder / name, *words)
        return partial(_shell, line, *wanted, environment=environment, encoding=encoding)

    commands = {
        "latin": run("latin", "estsim", environment=LATIN),
        "ascii": run("ascii", "estsim", environment=ASCII),
        "all closed": run("all closed", "estsim <&- >&- 2>&-"),
        "json closed": run("json closed", "estsim >&-", "--json"),
        "full": run("full", "estsim > /dev/full"),
        "gone": run("gone", "estsim | head -1; exit ${PIPESTATUS[0]}"),
    }
    return {name: (done, folder / name) for name, done in at_once(commands).items()}


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "code", "err"),
    [
        ("latin", 0, ""),
        ("ascii", 0, ""),
        ("all closed", 0, ""),
        ("json closed", 2, CLOSED),
        ("full", 0, FULL),
        ("gone", 0, ""),
    ],
)
def test_a_run_goes_on_whatever_becomes_of_what_it_prints(
    runs: dict[str, tuple[Done, Path]], name: str, code: int, err: str
) -> None:
    """To its end, with all rows and the page, and the verdict is the exit code; only figures asked for have to come."""
    done, folder = runs[name]
    run = results_in(folder)
    assert run.summary["verdict"] == "passed"
    assert run.one("SELECT COUNT(*) FROM exchanges WHERE cause != 'preflight'") == 10
    assert (run.folder / "report.html").is_file()
    assert (done.code, [line for line in done.mistakes if line.startswith(("estsim", err or "estsim"))]) == (
        code,
        [f"{err}; the results are in {run.folder}/summary.json"] if code else [err] if err else [],
    )


@pytest.mark.long
def test_what_a_locale_lacks_is_printed_as_something_else(runs: dict[str, tuple[Done, Path]]) -> None:
    """A dash for a dash, in the lines of the run as in its tables; what the locale has stays."""
    assert "| - req/s - cert/s | p99 -" in runs["latin"][0].out
    assert "5 issued · 5 verified" in runs["latin"][0].out
    assert "5 issued . 5 verified" in runs["ascii"][0].out
    assert runs["ascii"][0].out.isascii()


@pytest.mark.long
def test_the_first_line_is_what_a_reader_gets_that_wants_no_more(runs: dict[str, tuple[Done, Path]]) -> None:
    """And no word about it."""
    assert len(runs["gone"][0].out.splitlines()) == 1
    assert runs["gone"][0].err == ""


@pytest.mark.parametrize(
    ("line", "words", "code", "err"),
    [
        ("estsim > /dev/full", ["--help"], 2, FULL),
        ("estsim >&-", ["--version"], 2, ""),
        ("estsim | head -1; exit ${PIPESTATUS[0]}", ["run", "--help"], 0, ""),
        ("estsim > /dev/full", ["schema"], 2, FULL),
        ("estsim >&-", ["schema"], 2, CLOSED),
        ("estsim >&-", ["validate", "quickstart"], 0, ""),
        ("estsim > /dev/full", ["validate", "quickstart"], 2, FULL),
        ("estsim 2>&-", ["validate", "nothing-of-that-name"], 2, ""),
        ("estsim 2> /dev/full", ["validate", "nothing-of-that-name"], 2, ""),
        ("estsim >&- 2>&- <&-", ["recipe", "curl", "https://localhost"], 2, ""),
    ],
)
def test_other_verbs_say_what_they_could_not(line: str, words: list[str], code: int, err: str) -> None:
    """What was asked for and did not come is an error; words beside the work are not missed where stdout is closed."""
    done = _shell(line, *words)
    assert (done.code, done.err.strip()) == (code, err)


def test_help_is_printed_in_any_locale() -> None:
    """As are mistakes, with names that it cannot spell."""
    assert _shell("estsim", "run", "--help", environment=ASCII).out.isascii()
    done = _shell("estsim", "validate", "füße", environment=ASCII)
    assert done.code == 2
    assert done.err.isascii()


def test_a_descriptor_that_was_closed_is_nobody_s_afterwards(tmp_path: Path) -> None:
    """Else the first file that is opened would be standard output, and what is printed would go into it."""
    code = "import os; print('no'); import estsim.cli.app as app; app.make_streams_last(); print(os.open('x', 66))"
    line = f'cd {tmp_path}; {COMMAND[0]} -c "{code}; import sys; sys.stdout.flush()" >&- <&- 2> words; cat words x'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.stdout, done.stderr) == ("", "")


# -- the streams themselves


def _stream(descriptor: int) -> LastingStream:
    return LastingStream(os.fdopen(descriptor, "wb"), encoding="utf-8", line_buffering=True)


def test_a_stream_falls_silent_when_its_reader_has_gone() -> None:
    """It keeps why, and takes all that follows; while it is strict, it says so."""
    reads, writes = os.pipe()
    with _stream(writes) as stream:
        assert stream.write("first\n") == 6
        assert os.read(reads, 100) == b"first\n"
        os.close(reads)
        assert stream.write("second\n") == 7
        assert isinstance(stream.trouble, BrokenPipeError)
        assert stream.write("third\n") == 6
        stream.flush()


def test_a_strict_stream_raises() -> None:
    """For whoever prints what was asked for."""
    reads, writes = os.pipe()
    os.close(reads)
    with _stream(writes) as stream:
        stream.is_strict = True
        with pytest.raises(BrokenPipeError):
            stream.write("first\n")
        stream.write("second\n")


def test_streams_of_another_kind_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that last take the place of text files on descriptors; both are there at the end."""
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    make_streams_last()
    assert isinstance(sys.stdout, LastingStream)
    assert isinstance(sys.stderr, TextIOWrapper)
    assert (sys.stdout.fileno(), sys.stderr.fileno()) == (1, 2)


# -- the terminal hangs up


def _hung_up(folder: Path, *words: str) -> tuple[Done, Path]:
    scenario = write(folder, cohort={"renew": {"after": "1s"}}, duration="60s", until="settled")
    results = folder / "results"
    with started("run", scenario, "--results", results, *words) as process:
        until(lambda: recorded(results, "SELECT COUNT(*) FROM exchanges") > 5, SLOW_S)
        for _ in range(2):  # the shell's and the kernel's
            process.send_signal(signal.SIGHUP)
        return ended(process, SLOW_S), results


@pytest.mark.parametrize(
    "words", [[], pytest.param(["--workers", "2"], marks=pytest.mark.long)], ids=["alone", "with workers"]
)
def test_a_run_whose_terminal_hangs_up_saves_everything(tmp_path: Path, words: list[str]) -> None:
    """As with Ctrl-C, however often it is told."""
    done, results = _hung_up(tmp_path, *words)
    run = results_in(results)
    assert done.code == 130
    assert run.summary["verdict"] == "aborted"
    assert run.summary["generator"]["cpu_s"] > 0
    assert (run.folder / "report.html").is_file()
    assert run.one("SELECT COUNT(*) FROM exchanges WHERE kind = 'failed'") == 0


def test_a_sandbox_whose_terminal_hangs_up_stops_in_order(tmp_path: Path) -> None:
    """With its last words."""
    with serving(tmp_path / "box") as server:
        server.process.send_signal(signal.SIGHUP)
        done = ended(server.process)
    assert done.code == 0
    assert "Stopped after 0 exchanges" in done.out


def test_nohup_is_obeyed(tmp_path: Path) -> None:
    """SIGHUP stays ignored where it was when the command began; elsewhere it is listened to."""
    line = f"nohup {' '.join(COMMAND)} serve --port 0 --dir {tmp_path / 'box'} 2>&1 < /dev/null"
    with subprocess.Popen(["bash", "-c", f"exec {line}"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "Ctrl-C" not in process.stdout.readline():
            assert process.poll() is None
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
        process.terminate()
        out, _ = process.communicate(timeout=DEADLINE_S)
    assert ignored & 1 << (signal.SIGHUP - 1)
    assert "Stopped after" in out


def test_a_scenario_is_read_in_any_locale(tmp_path: Path) -> None:
    """It is UTF-8 whatever the locale says."""
    scenario = write(tmp_path, description="Größe → 40 %")
    assert estsim("validate", scenario).code == 0
    assert _shell("estsim", "validate", scenario, environment=ASCII).code == 0
