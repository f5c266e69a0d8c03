"""Commands that need not load estsim first: forked from a process that has, which saves each of them up to a second.

Such a command is a process as ever, with words, streams, environment, folder and exit code of its own, and it ends as
Python ends. What a start is itself about (signals, terminals, limits, what is loaded) is for ``cli_runs.started``. The
process that commands are forked from is this file, run as a script: it has no threads, and goes with the tests.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Final

from estsim.cli.app import _VERBS

_MOST_BYTES: Final = 1 << 17  # of a command's words and environment
_STARTING: Final = Lock()


# -- in the tests


def run_warm(words: Sequence[str], *, cwd: Path, within_s: float) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with nothing to read on stdin, and return what it said.

    Raises:
        TimeoutExpired: it did not end in time, and was killed.

    """
    request = json.dumps({"words": words, "cwd": str(cwd), "environment": dict(os.environ)}).encode()
    ours, theirs = os.pipe()
    with (
        Path(os.devnull).open("rb") as nothing,
        TemporaryFile("w+", encoding="utf-8") as out,
        TemporaryFile("w+", encoding="utf-8") as err,
        os.fdopen(ours, "rb", buffering=0) as told,
    ):
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        with _STARTING:  # one, whoever asks first
            control = _forker()
        socket.send_fds(control, [request], [*streams, theirs])
        os.close(theirs)
        pid = int(told.readline())
        if not select.select([told], [], [], within_s)[0]:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(words), within_s)
        code = int(told.readline())
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(list(words), code, out.read(), err.read())


@cache
def _forker() -> socket.socket:
    """Start the process that commands are forked from, and return the way to ask it; it ends when that is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, __file__, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# -- in the process that commands are forked from, and in those


def become_a_command(control: socket.socket) -> None:
    """Load estsim, and fork for each command that is asked for; return in its process, ready to be it."""
    for module, _ in _VERBS.values():
        import_module(module)
    gc.freeze()  # so that a command's collections leave these pages shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those below
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, _MOST_BYTES, 4)
        if not request:
            sys.exit()
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    control.close()
    *streams, teller = descriptors
    _fork_and_tell(teller)
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    wanted = json.loads(request)
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv[1:] = wanted["words"]
    sys.path[0] = wanted["cwd"]  # as with python -m


def _fork_and_tell(teller: int) -> None:
    """Fork, and return in the new process; in the old one tell its id and how it ended, and be gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(teller)
        return
    os.write(teller, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(teller, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


if __name__ == "__main__":
    become_a_command(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("estsim", run_name="__main__", alter_sys=True)
