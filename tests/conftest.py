"""What all tests share: hypothesis without a deadline, because the machines are noisy, and turns on the machine.

Tests run in several processes. One that is marked ``alone`` measures what others would disturb, so it waits for their
tests to end and lets none begin: a shared and an exclusive lock, with a gate in front, so that whoever waits
for the exclusive one is not passed by.
"""

import fcntl
import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job of a shell: commands would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
for ignored in (signal.SIGHUP, signal.SIGQUIT):  # as under nohup
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, signal.SIG_DFL)

settings.register_profile("estsim", deadline=None)
settings.load_profile("estsim")

_RUN: Final = os.environ.get("PYTEST_XDIST_TESTRUNUID")  # of workers that share the machine; None where there are none


@contextmanager
def _locked(name: str, how: int) -> Iterator[None]:
    """Hold a lock that the workers of this run share."""
    with (Path(tempfile.gettempdir()) / f"estsim-tests-{_RUN}-{name}").open("w") as file:
        fcntl.flock(file, how)
        yield


@contextmanager
def _beside_others() -> Iterator[None]:
    with ExitStack() as room:
        with _locked("gate", fcntl.LOCK_EX):
            room.enter_context(_locked("room", fcntl.LOCK_SH))
        yield


@contextmanager
def _alone() -> Iterator[None]:
    with _locked("gate", fcntl.LOCK_EX), _locked("room", fcntl.LOCK_EX):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Take a turn on the machine for the whole of a test, its fixtures included."""
    turn = nullcontext() if _RUN is None else _alone() if item.get_closest_marker("alone") else _beside_others()
    with turn:
        return (yield)
