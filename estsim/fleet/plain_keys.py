"""Device keys in plain calls; who has a loop to hold up makes the slow ones elsewhere (:mod:`estsim.fleet.keys`)."""

from collections.abc import Callable, Iterable

from estsim.device.identity import PrivateKey
from estsim.fleet.keys import SLOW, KeyRing
from estsim.scenario.plan import KeyKind
from estsim.server.ca import make_key

MakeSlow = Callable[[KeyKind], PrivateKey]


def take_key(ring: KeyRing, *, make_slow: MakeSlow = make_key) -> PrivateKey:
    """Return a key for a request, made now if it has to be: on the spot where it costs microseconds."""
    while ring.lacks:
        ring.go_round(_make(ring.kind, make_slow))
    return ring.ready() or _make(ring.kind, make_slow)


def prepare_keys(rings: Iterable[KeyRing]) -> None:
    """Make before the run what is to be ready as it begins."""
    for ring in rings:
        for batch in ring.batches():
            ring.add(batch.make())
        while ring.lacks:
            ring.go_round(make_key(ring.kind))


def _make(kind: KeyKind, make_slow: MakeSlow) -> PrivateKey:
    return make_slow(kind) if kind in SLOW else make_key(kind)
