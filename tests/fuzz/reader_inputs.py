"""Encodings for readers, thousands a second: few are written anew, most are changed copies of those of their block.

An input's block has a pool of encodings of each kind, which follow from the seed and the block's number: whoever plays
an input again makes that pool again, and nothing else.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from fuzz_certificates import ISSUING, ROOT, Asked, odd_certificate
from fuzz_csrs import any_key, odd_csr
from fuzz_draw import Draw
from fuzz_extensions import odd_extension
from fuzz_keys import elliptic_key, spki_of
from fuzz_messages import ca_certificates, certs_only, csr_attributes, issued, odd_certs_only, transferred
from fuzz_mutations import mutated
from fuzz_names import odd_name, plain_name, san
from fuzz_trees import changed

NOW: Final = datetime(2026, 12, 1, tzinfo=UTC)
ASKED: Final = Asked(plain_name("dev", "Example"), spki_of(elliptic_key(20)))
BLOCK: Final = 512
_OF_A_KIND: Final = 6  # in a block's pool


def _certificate(draw: Draw) -> bytes:
    asked = Asked(ASKED.subject, ASKED.spki, san(draw, b"localhost") if draw.chance(0.3) else None)
    return odd_certificate(draw, asked, draw.one((ROOT, ISSUING)), NOW, ca=draw.chance(0.2))


def _request(draw: Draw) -> bytes:
    return odd_csr(draw, ASKED.subject, any_key(draw, 0), san(draw) if draw.chance(0.3) else None)


def _pem(draw: Draw) -> bytes:
    blocks = [transferred(draw, each) for each in ca_certificates(draw, NOW)]
    label = draw.one(
        (b"CERTIFICATE", b"CERTIFICATE", b"TRUSTED CERTIFICATE", b"X509 CERTIFICATE", b"CERTIFICATE REQUEST", b"x")
    )
    return b"\n".join(
        [b"-----BEGIN " + label + b"-----\n" + each + b"\n-----END " + label + b"-----" for each in blocks]
    )


_MAKERS: Final[dict[str, Callable[[Draw], bytes]]] = {
    "certificate": _certificate,
    "cacerts": lambda draw: odd_certs_only(draw, ca_certificates(draw, NOW)),
    "issued": lambda draw: odd_certs_only(draw, issued(draw, ASKED, NOW)),
    "plain": lambda draw: certs_only(issued(draw, ASKED, NOW)),
    "attributes": csr_attributes,
    "request": _request,
    "name": odd_name,
    "names": san,
    "extension": odd_extension,
    "pem": _pem,
}
KINDS: Final = tuple(_MAKERS)


class Pool:
    """The encodings that the inputs of a block are made from."""

    def __init__(self, seed: int, block: int) -> None:
        self._seed = seed
        self.block = block
        self._made: dict[tuple[str, int], bytes] = {}

    def of(self, kind: str, place: int) -> bytes:
        """Return one of the pool's encodings of a kind, made when it is first asked for."""
        made = self._made.get((kind, place))
        if made is None:
            draw = Draw.of(self._seed, f"pool/{kind}", self.block * _OF_A_KIND + place)
            made = self._made[kind, place] = _MAKERS[kind](draw)
        return made

    def take(self, draw: Draw, kind: str) -> bytes:
        """Return an encoding of a kind, changed mostly."""
        source = self.of(kind, int(draw.random() * _OF_A_KIND))
        choice = draw.random()
        if choice < 0.15:
            return source
        if choice < 0.6 or len(source) > 20_000:
            return mutated(draw, source, (self.of(kind, int(draw.random() * _OF_A_KIND)),))
        return changed(draw, source)
