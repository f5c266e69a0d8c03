"""Device keys made before a run: in threads, which the library lets run at the same time."""

import os
from collections.abc import Iterable

import trio

from estsim.fleet.keys import KeyRing, fill
from estsim.net.io_trio import TRIO


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
        await fill(ring, TRIO)
