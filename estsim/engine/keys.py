"""Device keys: made before the run, made when needed, or a few used again and again (``keys`` of a cohort).

RSA keys take 30 ms to seconds and are made in threads, which the library lets run beside the loop; the others are made
on the spot. Keys wait as DER: a tenth of what a loaded one takes.
"""

import os
from collections import deque
from collections.abc import Iterable
from typing import Final

import trio

from estsim.device.identity import PrivateKey, dump_key, load_key
from estsim.scenario.plan import KeyKind, Keys
from estsim.server.ca import make_key

_SLOW: Final = frozenset({KeyKind.RSA_2048, KeyKind.RSA_3072, KeyKind.RSA_4096})
_BATCH: Final = 256  # cheap keys, 10 ms of work


async def make_key_beside(kind: KeyKind) -> PrivateKey:
    """Make a key without holding up the loop: on the spot where it costs microseconds, else in a thread."""
    if kind in _SLOW:
        return await trio.to_thread.run_sync(make_key, kind)
    return make_key(kind)


class KeyRing:
    """Where the keys of a cohort's devices come from. ``births`` are the keys that they are born with.

    ``plan.prepare`` keys are used once each, in the order of need, then keys are made on demand. With ``plan.reuse``
    so many go round for ever, as in tests of servers that a key's making would outweigh.
    """

    __slots__ = ("_filling", "_kind", "_ready", "_reuse", "_round", "_to_prepare")

    def __init__(self, kind: KeyKind, plan: Keys = Keys(), *, births: int = 0) -> None:  # noqa: B008 - frozen
        self._kind = kind
        self._ready: deque[bytes] = deque()
        self._to_prepare = plan.prepare + (births if kind in _SLOW else 0)
        self._reuse = plan.reuse or 0
        self._round: deque[PrivateKey] = deque()
        self._filling = trio.Lock()

    def born(self) -> PrivateKey:
        """Return a key that a device is born with; a slow one was prepared, if anything was."""
        if self._kind in _SLOW and self._ready:
            return load_key(self._ready.popleft())
        return make_key(self._kind)

    async def take(self) -> PrivateKey:
        """Return a key for a request, made now if it has to be."""
        if self._reuse:
            return await self._next_in_turn()
        if self._ready:
            return load_key(self._ready.popleft())
        return await make_key_beside(self._kind)

    def batches(self) -> Iterable["Batch"]:
        """Cut what is to be prepared into pieces for threads."""
        size = 1 if self._kind in _SLOW else _BATCH
        left, self._to_prepare = self._to_prepare, 0
        while left > 0:
            yield Batch(self, self._kind, min(size, left))
            left -= size

    def add(self, keys: Iterable[bytes]) -> None:
        """Take prepared keys."""
        self._ready.extend(keys)

    async def fill(self) -> None:
        """Make the keys that go round."""
        async with self._filling:
            while len(self._round) < self._reuse:
                self._round.append(await make_key_beside(self._kind))

    async def _next_in_turn(self) -> PrivateKey:
        if len(self._round) < self._reuse:
            await self.fill()
        self._round.rotate(-1)
        return self._round[-1]


class Batch:
    """A few keys to be made in a thread for a ring."""

    __slots__ = ("_count", "_kind", "_ring")

    def __init__(self, ring: KeyRing, kind: KeyKind, count: int) -> None:
        self._ring = ring
        self._kind = kind
        self._count = count

    async def make(self) -> None:
        """Make them, and hand them over."""
        self._ring.add(await trio.to_thread.run_sync(self._made, abandon_on_cancel=True))

    def _made(self) -> list[bytes]:
        return [dump_key(make_key(self._kind)) for _ in range(self._count)]


async def prepare_keys(rings: Iterable[KeyRing]) -> None:
    """Make before the run what is to be ready as it begins, on all cores."""
    rings = tuple(rings)
    waiting = (batch for ring in rings for batch in ring.batches())

    async def work() -> None:
        for batch in waiting:
            await batch.make()

    async with trio.open_nursery() as nursery:
        for _ in range(os.cpu_count() or 1):
            nursery.start_soon(work)
    for ring in rings:
        await ring.fill()
