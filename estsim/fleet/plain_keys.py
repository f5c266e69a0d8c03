"""Device keys made before a run in plain calls."""

from collections.abc import Iterable

from estsim.fleet.keys import KeyRing, fill
from estsim.net.io import run_through
from estsim.net.io_blocking import BlockingIo


def prepare_keys(rings: Iterable[KeyRing]) -> None:
    """Make before the run what is to be ready as it begins."""
    io = BlockingIo()
    for ring in rings:
        for batch in ring.batches():
            ring.add(batch.make())
        run_through(fill(ring, io))
