"""Device keys: cheap ones are made on the spot, RSA keys in a thread, so that the loop never stands still."""

from typing import Final

import trio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from estsim.device.identity import PrivateKey
from estsim.scenario.plan import KeyKind

_CURVES: Final = {KeyKind.EC_P256: ec.SECP256R1(), KeyKind.EC_P384: ec.SECP384R1()}
_RSA_BITS: Final = {KeyKind.RSA_2048: 2048, KeyKind.RSA_3072: 3072, KeyKind.RSA_4096: 4096}


def make_key(kind: KeyKind) -> PrivateKey:
    """Make a key here and now; an RSA key takes 30 ms to seconds."""
    curve = _CURVES.get(kind)
    if curve is not None:
        return ec.generate_private_key(curve)
    if kind is KeyKind.ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS[kind])


async def make_key_beside(kind: KeyKind) -> PrivateKey:
    """Make a key without holding up the loop: on the spot where it costs microseconds, else in a thread."""
    if kind in _RSA_BITS:
        return await trio.to_thread.run_sync(make_key, kind)
    return make_key(kind)
