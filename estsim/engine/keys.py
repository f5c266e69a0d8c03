"""Device keys: cheap ones are made on the spot, RSA keys in a thread, so that the loop never stands still."""

from typing import Final

import trio

from estsim.device.identity import PrivateKey
from estsim.scenario.plan import KeyKind
from estsim.server.ca import make_key

_SLOW: Final = frozenset({KeyKind.RSA_2048, KeyKind.RSA_3072, KeyKind.RSA_4096})  # 30 ms to seconds


async def make_key_beside(kind: KeyKind) -> PrivateKey:
    """Make a key without holding up the loop: on the spot where it costs microseconds, else in a thread."""
    if kind in _SLOW:
        return await trio.to_thread.run_sync(make_key, kind)
    return make_key(kind)
