"""Ctrl-Z while something is drawn on the alternate screen: the shell gets its own screen back, and fg gives ours."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType

from rich.console import Console


@contextmanager
def lending_screen(console: Console) -> Generator[None]:
    """Leave the console's alternate screen inside whenever the terminal stops this process, and return to it after.

    To be entered in the main thread. Where SIGTSTP is ignored, or another's, it stays that. The stop itself is the
    kernel's: a process that no shell could continue is not stopped.
    """
    before = signal.getsignal(signal.SIGTSTP)
    if before is not signal.SIG_DFL:
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        is_ours = console.is_alt_screen
        if is_ours:
            _show(console, alternate=False)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)  # returns when somebody continues us
        signal.signal(signal.SIGTSTP, stop)
        if is_ours:
            _show(console, alternate=True)

    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


def _show(console: Console, *, alternate: bool) -> None:
    """Switch the screen; a line that is being written at this very moment comes first, and then there is no switch."""
    with suppress(RuntimeError, OSError):
        console.set_alt_screen(alternate)
        console.show_cursor(not alternate)
