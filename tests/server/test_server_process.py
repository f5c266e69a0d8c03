"""``estsim serve`` as others start it: a process with a command line, files and signals."""

import json
import os
import re
import select
import signal
import socket
import ssl
import stat
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from estsim.server.account import ReadableLines
from estsim.server.store import Exchange

DEADLINE_S = 15
COMMAND = [sys.executable, "-m", "estsim", "serve"]


@contextmanager
def serving(folder: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """Run ``estsim serve`` on a free port until the block ends."""
    command = [*COMMAND, "--port", "0", "--dir", str(folder), *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_with(process: "subprocess.Popen[str]", words: str) -> str:
    """Read its output up to a line with ``words``."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"it never said {words!r}")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_what_it_did(tmp_path: Path, how: signal.Signals) -> None:
    """Url, files, curl lines; on a signal it ends in order, with a count, and takes its announcement away."""
    with serving(tmp_path) as process:
        assert "https://127.0.0.1:" in line_with(process, "serves EST at")
        assert "--cert " in line_with(process, "simpleenroll")
        assert "Ctrl-C" in line_with(process, "Ctrl-C")
        announced = tmp_path / "sandbox.json"
        said = json.loads(announced.read_text())
        assert {"url", "trust", "bootstrap", "labels"} <= said.keys()
        assert all(Path(said[name]).is_file() for name in ("trust", "bootstrap"))
        process.send_signal(how)
        assert line_with(process, "Stopped").startswith("Stopped after 0 exchanges on 0 connections: 0 certificates")
        assert process.wait(DEADLINE_S) == 0
        assert not announced.exists()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_with_parent_it_lives_as_long_as_its_stdin(tmp_path: Path) -> None:
    """It says nothing, leaves Ctrl-C to its parent, and ends when the pipe does."""
    with serving(tmp_path, "--with-parent") as process:
        announced = tmp_path / "sandbox.json"
        while not announced.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        url = json.loads(announced.read_text())["url"]
        socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0])), DEADLINE_S).close()
        out, err = process.communicate(timeout=DEADLINE_S)  # closes its stdin
        assert (process.returncode, out, err) == (0, "", "")


def test_a_folder_that_was_there_keeps_its_files_and_its_mode(tmp_path: Path) -> None:
    """Even as ``--ephemeral``, which removes what the sandbox made: the PKI, and nothing of the user's."""
    folder = tmp_path / "project"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "src").mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / ".gitignore").write_text("build/\n")
    with serving(folder, "--with-parent", "--ephemeral") as process:
        while not (folder / "sandbox.json").exists():
            assert process.poll() is None
        process.communicate(timeout=DEADLINE_S)
    assert (stat.S_IMODE(folder.stat().st_mode), (folder / "notes.txt").read_text()) == (0o755, "mine")
    left = {path.name for path in folder.iterdir()}
    assert {"src", "notes.txt", "sandbox.sqlite"} <= left
    assert not left & {"pki", "bootstrap.pem", "trust.pem", "sandbox.json"}


def test_it_serves_on_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    """``estsim serve | head -1``: requests are answered, refused handshakes do no harm, and it stops in order."""
    with serving(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        while not (tmp_path / "sandbox.json").exists():
            assert process.poll() is None
        url = json.loads((tmp_path / "sandbox.json").read_text())["url"]
        good = ssl.create_default_context(cafile=str(tmp_path / "trust.pem"))
        for context in (good, ssl.create_default_context(), good):
            if context is good:
                with urllib.request.urlopen(f"{url}/cacerts", context=good, timeout=DEADLINE_S) as answer:  # noqa: S310
                    assert answer.status == 200
            else:
                with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
                    urllib.request.urlopen(f"{url}/cacerts", context=context, timeout=DEADLINE_S)  # noqa: S310
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_port_in_use_is_a_usage_error(tmp_path: Path) -> None:
    """Exit code 2 and one line, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*COMMAND, "--port", port, "--dir", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"cannot listen on 127.0.0.1 port {port}: the port is in use; choose another with --port "
        "(0 for any free port)\n"
    )


def test_mistakes_in_the_configuration_are_told_in_their_places(tmp_path: Path) -> None:
    """All at once, with what was expected."""
    config = tmp_path / "s.yaml"
    config.write_text("issue:\n  mode: manuel\ncapacity: {rate: 5}\nfaults: [{kind: rest}]\n")
    command = [*COMMAND, str(config), "--dir", str(tmp_path / "d")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    lines = [line.removeprefix(f"{config}:") for line in done.stderr.splitlines()]
    assert [line.split(": ")[0] for line in lines] == ["2:3", "3:12", "4:11"]
    assert "manual (got manuel)" in lines[0]
    assert "5/s" in lines[1]
    assert lines[2].endswith("or wrong_server_name: write reset (got rest)")


def test_lines_are_few_enough_to_read() -> None:
    """Two a second here; the rest is counted when its second is over."""
    lines = ReadableLines(per_s=2)
    exchange = Exchange(0.0, operation="cacerts", status=200, user="evil\x1b[2J")
    shown = [lines.of(exchange, 10.1) for _ in range(5)]
    assert [len(found) for found in shown] == [1, 1, 0, 0, 0]
    assert shown[0] == ["00:00:00Z 200 cacerts evil\N{REPLACEMENT CHARACTER}[2J"]
    assert lines.due(10.9) == []
    assert lines.due(11.0) == ["          … and 3 more"]


def test_on_a_terminal_it_draws_a_live_view_and_gives_the_screen_back(tmp_path: Path) -> None:
    """The trust centers and what was refused; after Ctrl-C the last words are on the ordinary screen."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    environment = {**os.environ, "TERM": "xterm-256color"}
    command = [*COMMAND, "--port", "0", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        screen = Screen(ours)
        try:
            screen.until("TRUST CENTERS")
            url = json.loads((tmp_path / "sandbox.json").read_text())["url"]
            context = ssl.create_default_context(cafile=str(tmp_path / "trust.pem"))
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{url}/nothing", context=context, timeout=DEADLINE_S)  # noqa: S310 - https
            refused.value.close()
            screen.until("404 expected one of cacerts, csrattrs")
            process.send_signal(signal.SIGINT)
            screen.until("Stopped after 1 exchanges")
            assert screen.seen.index(LEAVE_ALTERNATE_SCREEN) < screen.seen.index("Stopped after")
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
            os.close(ours)


LEAVE_ALTERNATE_SCREEN = "\x1b[?1049l"


class Screen:
    """What a terminal has been sent."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.seen = ""

    def until(self, words: str) -> None:
        """Read on until the words have come, whatever colours stand between them."""
        deadline_s = time.monotonic() + DEADLINE_S
        while words not in re.sub(r"\x1b\[[0-9;]*m", "", self.seen):
            assert time.monotonic() < deadline_s, self.seen
            ready, _, _ = select.select([self._descriptor], [], [], 0.2)
            if ready:
                with suppress(OSError):  # the other end has closed
                    self.seen += os.read(self._descriptor, 65_536).decode(errors="replace")
