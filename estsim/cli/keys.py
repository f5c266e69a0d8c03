"""The keys of the live dashboard: what a person at the terminal may press while a run lasts.

They are read where the display and standard input are terminals and this process is in the foreground; a background job
that touched the terminal would be stopped by SIGTTIN or SIGTTOU. Signals stay the terminal's: Ctrl-C works as ever.
"""

import atexit
import os
import re
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Final

from estsim.terminal.dashboard import View
from estsim.terminal.live import Display, LiveDisplay

_VIEWS: Final = {view.key.encode(): view for view in View}
# What arrows and function keys send (ECMA-48 §5.4), which has digits in it.
_SEQUENCE: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]?|O?.?)", re.DOTALL)
_ENTER: Final = (b"\r", b"\n")
_AT_MOST: Final = 1024
_LOOK_S: Final = 0.5  # for whether the terminal is ours, or ours again


def has_keys(display: Display) -> bool:
    """Whether somebody can press keys: there is a terminal to read them from, and a display that they steer."""
    return isinstance(display, LiveDisplay) and _terminal() is not None


@contextmanager
def reading_keys(display: Display, *, on_enter: Callable[[], None] | None = None) -> Generator[None]:
    """Let keys steer the display for as long as the block lasts, where there is a terminal to read them from.

    ``on_enter`` is called from the reader's thread. The terminal gets its settings back however the block ends, and at
    the interpreter's exit if it does not end.
    """
    fd = _terminal()
    if fd is None or not isinstance(display, LiveDisplay):
        yield
        return
    before = termios.tcgetattr(fd)

    def restore() -> None:
        if _in_foreground(fd):
            with suppress(termios.error):
                termios.tcsetattr(fd, termios.TCSANOW, before)
                termios.tcflush(fd, termios.TCIFLUSH)  # what was pressed for us is not for the shell

    atexit.register(restore)
    told_to_stop, stop = os.pipe()
    reader = Thread(target=_read, args=(fd, told_to_stop, Keys(display, on_enter)), name="keys", daemon=True)
    try:
        _key_by_key(fd)
        display.offer_keys()
        reader.start()
        yield
    finally:
        os.close(stop)
        if reader.ident is not None:
            reader.join()
        os.close(told_to_stop)
        restore()
        atexit.unregister(restore)


class Keys:
    """What each key does."""

    def __init__(self, display: LiveDisplay, on_enter: Callable[[], None] | None = None) -> None:
        self._display = display
        self._on_enter = on_enter
        self._asked_to_stop = False

    def press(self, key: bytes) -> None:
        """Do what the key is for; any other is ignored."""
        if key in _VIEWS:
            self._display.show(_VIEWS[key])
        elif key == b" ":
            self._display.toggle_freeze()
        elif key in _ENTER and self._on_enter is not None:
            self._on_enter()
        elif key == b"q" and not self._asked_to_stop:
            self._asked_to_stop = True  # a second SIGINT would cut what the first one lets end
            os.kill(os.getpid(), signal.SIGINT)


def keys_in(pressed: bytes) -> list[bytes]:
    """Return the keys of one byte each among what a terminal has sent, without those that send a sequence."""
    return [bytes([key]) for key in _SEQUENCE.sub(b"", pressed)]


def _terminal() -> int | None:
    """Return the descriptor of standard input if it is a terminal that we may touch."""
    try:
        fd = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # there is none, it was closed, or it is no file
        return None
    return fd if os.isatty(fd) and _in_foreground(fd) else None


def _in_foreground(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # the terminal has gone, or is not ours
        return False


def _key_by_key(fd: int) -> None:
    """Let keys through without Enter and without echo, again after a shell had the terminal in between."""
    if termios.tcgetattr(fd)[3] & termios.ICANON:
        tty.setcbreak(fd, termios.TCSANOW)


def _read(fd: int, told_to_stop: int, keys: Keys) -> None:
    try:
        while True:
            ours = _in_foreground(fd)
            if ours:
                _key_by_key(fd)
            ready, _, _ = select.select([fd, told_to_stop] if ours else [told_to_stop], [], [], _LOOK_S)
            if told_to_stop in ready:
                return
            if fd in ready and _in_foreground(fd):
                pressed = os.read(fd, _AT_MOST)
                if not pressed:
                    return
                for key in keys_in(pressed):
                    keys.press(key)
    except (OSError, termios.error):  # the terminal has gone; the run does not need it
        return
