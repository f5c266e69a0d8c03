"""Memory that thousands of connections have left behind, given back to the system once they are gone.

Two keep it: glibc what was freed below the top of its heap (``malloc_trim(3)`` returns the free pages in the middle;
another C library does without, and there this does nothing), and the interpreter whole arenas for the sake of a few
small objects, in its lists of free objects and among the deadlines that trio has not forgotten yet.
"""

import ctypes
import gc
import weakref
from contextlib import suppress
from math import inf
from typing import Final

import trio

from estsim.server.connections import Connections

_LOOK_S: Final = 1.0
_MANY: Final = 500  # connections that have gone: some 10 MiB
_FEW: Final = 100  # that are still open: what the collector has to look at takes it a few milliseconds
_AGAIN_S: Final = (3.0, 15.0)  # after the first time: stragglers, and the deadlines of handshakes
_MOST_DEADLINES: Final = 2000  # that trio knows of ended scopes: a thousand more than of others make it forget them


async def give_back_memory(connections: Connections) -> None:
    """Give memory back whenever half of many connections have gone and no more go, until cancelled."""
    most = before = connections.take_most_open()
    again: list[float] = []
    while True:
        await trio.sleep(_LOOK_S)
        now, now_s = connections.open, trio.current_time()
        most = max(most, connections.take_most_open())
        if now >= before and most - now >= max(_MANY, most / 2):
            again = [now_s, *(now_s + later_s for later_s in _AGAIN_S)]
        if now_s >= min(again, default=inf):
            most = now
            again = [at_s for at_s in again if at_s > now_s]
            if now <= _FEW:
                await _tidy()
            # In a thread: it takes 10 ms and more, in which the interpreter's lock is free.
            await trio.to_thread.run_sync(trim)
        before = now


async def _tidy() -> None:
    """Let trio forget the deadlines that are over, and the interpreter empty its lists.

    Trio forgets all at once, when there are many more than it needs; one more after that would keep memory in use that
    could have gone.
    """
    forgotten = _over()
    for _ in range(_MOST_DEADLINES):
        if forgotten() is None:
            break
        _over()
    await trio.lowlevel.checkpoint()
    gc.collect()


def _over() -> "weakref.ref[trio.CancelScope]":
    """Have a deadline that is over, which trio knows until it forgets such."""
    with trio.move_on_after(_LOOK_S) as scope:  # noqa: ASYNC100 - its deadline is what matters
        pass
    return weakref.ref(scope)


def trim() -> None:
    """Give free memory back to the system, where the C library can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
