"""The keys of the live dashboard.

They are read if display and standard input are terminals and this process is in the foreground; a background job that
touched the terminal would be stopped by SIGTTIN or SIGTTOU. Ctrl-C works as usual.
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
# The sequences of arrows and function keys (ECMA-48 §5.4), which contain digits.
_SEQUENCE: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]?|O?.?)", re.DOTALL)
_ENTER: Final = (b"\r", b"\n")
_AT_MOST: Final = 1024
_LOOK_S: Final = 0.5  # between checks whether we are in the foreground


def has_keys(display: Display) -> bool:
    """Whether keys can be pressed: there is a terminal to read them from, and a live display."""
    return isinstance(display, LiveDisplay) and _terminal() is not None


@contextmanager
def reading_keys(display: Display, *, on_enter: Callable[[], None] | None = None) -> Generator[None]:
    """Let keys control the display in the block, if there is a terminal to read them from.

    ``on_enter`` is called in the reader's thread. The terminal's settings are restored at the end of the block, and at
    the interpreter's exit if the block does not end.
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
                termios.tcflush(fd, termios.TCIFLUSH)  # keys pressed for us must not reach the shell

    atexit.register(restore)
    stopped, stop = os.pipe()
    reader = Thread(target=_read, args=(fd, stopped, Keys(display, on_enter)), name="keys", daemon=True)
    try:
        _key_by_key(fd)
        display.offer_keys()
        reader.start()
        yield
    finally:
        os.close(stop)
        if reader.ident is not None:
            reader.join()
        os.close(stopped)
        restore()
        atexit.unregister(restore)


class Keys:
    """The actions of the keys."""

    def __init__(self, display: LiveDisplay, on_enter: Callable[[], None] | None = None) -> None:
        self._display = display
        self._on_enter = on_enter
        self._asked_to_stop = False

    def press(self, key: bytes) -> None:
        """Do the action of a key; other keys are ignored."""
        if key in _VIEWS:
            self._display.show(_VIEWS[key])
        elif key == b" ":
            self._display.toggle_freeze()
        elif key in _ENTER and self._on_enter is not None:
            self._on_enter()
        elif key == b"q" and not self._asked_to_stop:
            self._asked_to_stop = True  # a second SIGINT would cut exchanges that the first one lets finish
            os.kill(os.getpid(), signal.SIGINT)


def keys_in(pressed: bytes) -> list[bytes]:
    """Return the single-byte keys in a terminal's input, without those that send a sequence."""
    return [bytes([key]) for key in _SEQUENCE.sub(b"", pressed)]


def _terminal() -> int | None:
    """Return the descriptor of standard input if it is a terminal and we are in the foreground."""
    try:
        fd = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # it is missing, closed, or not a file
        return None
    return fd if os.isatty(fd) and _in_foreground(fd) else None


def _in_foreground(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # the terminal is gone, or not ours
        return False


def _key_by_key(fd: int) -> None:
    """Read keys without Enter and echo; set again after a shell had the terminal in between."""
    if termios.tcgetattr(fd)[3] & termios.ICANON:
        tty.setcbreak(fd, termios.TCSANOW)


def _read(fd: int, stopped: int, keys: Keys) -> None:
    try:
        while True:
            ours = _in_foreground(fd)
            if ours:
                _key_by_key(fd)
            ready, _, _ = select.select([fd, stopped] if ours else [stopped], [], [], _LOOK_S)
            if stopped in ready:
                return
            if fd in ready and _in_foreground(fd):
                pressed = os.read(fd, _AT_MOST)
                if not pressed:
                    return
                for key in keys_in(pressed):
                    keys.press(key)
    except (OSError, termios.error):  # the terminal is gone; the run goes on
        return
