"""Returning memory to the system after thousands of connections have closed.

Two things retain it: glibc keeps what was freed below the top of its heap (``malloc_trim(3)`` returns the free pages;
with another C library this does nothing), and the interpreter keeps whole arenas for a few small objects, in its free
lists and among trio's expired deadlines.
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
_MANY: Final = 500  # closed connections: some 10 MiB
_FEW: Final = 100  # open connections: a collection takes a few milliseconds
_AGAIN_S: Final = (3.0, 15.0)  # after the first time, for stragglers and handshake deadlines
_MOST_DEADLINES: Final = 2000  # expired ones in trio, which drops them all when they are a thousand more than others


async def give_back_memory(connections: Connections) -> None:
    """Return memory whenever half of many connections have closed and no more close, until cancelled."""
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
    """Make trio drop its expired deadlines, and the interpreter empty its free lists.

    Trio drops them all at once, when there are many more than it needs; one more after that would retain memory.
    """
    first = _expired_deadline()
    for _ in range(_MOST_DEADLINES):
        if first() is None:
            break
        _expired_deadline()
    await trio.lowlevel.checkpoint()
    gc.collect()


def _expired_deadline() -> "weakref.ref[trio.CancelScope]":
    """Add an expired deadline to trio's, which stays until trio drops them."""
    with trio.move_on_after(_LOOK_S) as scope:  # noqa: ASYNC100 - its deadline is what matters
        pass
    return weakref.ref(scope)


def trim() -> None:
    """Return free memory to the system, where the C library can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
