"""Device keys made beside the loop: slow ones in threads, which the library lets run at the same time."""

import os
from collections.abc import Iterable

import trio

from estsim.device.identity import PrivateKey
from estsim.fleet.keys import SLOW, KeyRing
from estsim.scenario.plan import KeyKind
from estsim.server.ca import make_key


async def take(ring: KeyRing) -> PrivateKey:
    """Return a key for a request, made now if it has to be."""
    if ring.lacks:
        await _fill(ring)
    return ring.ready() or await _make_beside(ring.kind)


async def prepare_keys(rings: Iterable[KeyRing]) -> None:
    """Make before the run what is to be ready as it begins, on all cores."""
    rings = tuple(rings)
    waiting = (batch for ring in rings for batch in ring.batches())

    async def work() -> None:
        for batch in waiting:
            batch.ring.add(await trio.to_thread.run_sync(batch.make, abandon_on_cancel=True))

    async with trio.open_nursery() as nursery:
        for _ in range(os.cpu_count() or 1):
            nursery.start_soon(work)
    for ring in rings:
        await _fill(ring)


async def _fill(ring: KeyRing) -> None:
    """Make the keys that go round."""
    while ring.lacks:
        ring.go_round(await _make_beside(ring.kind))


async def _make_beside(kind: KeyKind) -> PrivateKey:
    """Make a key without holding up the loop: on the spot where it costs microseconds, else in a thread."""
    if kind in SLOW:
        return await trio.to_thread.run_sync(make_key, kind)
    return make_key(kind)
