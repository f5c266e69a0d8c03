"""Device keys in plain calls; who has a loop to hold up makes the slow ones elsewhere (:mod:`estsim.fleet.keys`)."""

from collections.abc import Callable, Iterable
from functools import partial

from estsim.device.identity import PrivateKey
from estsim.fleet.keys import SLOW, KeyRing
from estsim.scenario.plan import KeyKind
from estsim.server.ca import make_key

Make = Callable[[], PrivateKey]
Elsewhere = Callable[[Make], PrivateKey]


def _here(make: Make) -> PrivateKey:
    return make()


def take_key(ring: KeyRing, *, elsewhere: Elsewhere = _here) -> PrivateKey:
    """Return a key for a request, made now if it has to be; one that takes longer than microseconds ``elsewhere``."""
    while ring.lacks:
        ring.go_round(_make(ring.kind, elsewhere))
    return ring.ready() or _make(ring.kind, elsewhere)


def prepare_keys(rings: Iterable[KeyRing]) -> None:
    """Make before the run what is to be ready as it begins."""
    for ring in rings:
        for batch in ring.batches():
            ring.add(batch.make())
        while ring.lacks:
            ring.go_round(make_key(ring.kind))


def _make(kind: KeyKind, elsewhere: Elsewhere) -> PrivateKey:
    make = partial(make_key, kind)
    return elsewhere(make) if kind in SLOW else make()
