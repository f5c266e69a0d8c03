"""The console that commands print on: rich's, with a sane size, and with Ctrl-Z on the alternate screen."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from rich.console import Console, ConsoleDimensions

_USUAL: Final = ConsoleDimensions(80, 25)  # if the terminal does not say
_LARGEST: Final = ConsoleDimensions(1000, 400)  # a larger frame would be megabytes, twice a second


class SizedConsole(Console):
    """A console with limits on its size, whatever COLUMNS, LINES or the terminal say."""

    @property
    def size(self) -> ConsoleDimensions:
        """The present size in cells."""
        width, height = super().size
        return ConsoleDimensions(
            min(width, _LARGEST.width) if width > 0 else _USUAL.width,
            min(height, _LARGEST.height) if height > 0 else _USUAL.height,
        )

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


@contextmanager
def lending_screen(console: Console) -> Generator[None]:
    """Leave the console's alternate screen while Ctrl-Z stops this process, and return to it on ``fg``.

    For the main thread. A SIGTSTP that is ignored or handled elsewhere stays so. The kernel does the stop: a process
    that no shell could continue is not stopped.
    """
    before = signal.getsignal(signal.SIGTSTP)
    if before is not signal.SIG_DFL:
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        is_ours = console.is_alt_screen
        if is_ours:
            _switch_screen(console, alternate=False)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)  # returns when somebody continues us
        signal.signal(signal.SIGTSTP, stop)
        if is_ours:
            _switch_screen(console, alternate=True)

    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


def _switch_screen(console: Console, *, alternate: bool) -> None:
    """Switch the screen, unless a line is being written at this moment."""
    with suppress(RuntimeError, OSError):
        console.set_alt_screen(alternate)
        console.show_cursor(not alternate)
