"""The TLS side of hostile servers: sound certificates and odd ones, versions, groups, and handshakes that go wrong."""

import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Final

from der_writer import dns_name, sequence
from fuzz_certificates import Asked, Signer, odd_certificate, usual
from fuzz_draw import Draw
from fuzz_http import Answer
from fuzz_keys import elliptic_key, spki_of
from fuzz_mutations import mutated
from fuzz_names import plain_name
from fuzz_report import CpuWatch
from memory_wire import HostileServer
from OpenSSL import SSL, crypto

TLS_ROOT: Final = Signer(plain_name("Fuzz TLS Root"), elliptic_key(30))
_SERVER_KEY: Final = elliptic_key(31)
_ASKED: Final = Asked(plain_name("server"), spki_of(_SERVER_KEY), sequence(dns_name(b"localhost")))
_NO_TLS: Final = (
    b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x15\x03\x01\x00\x02\x02\x28", b"\x15\x03\x03\x00\x02\x01\x00",
    b"\x15\x03\x03\x00\x02\x02\xff", b"\x16\x03\x03\xff\xff" + bytes(99),
    b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", b"\x80\x2e\x01\x00\x02", bytes(5000), b"\x17\x03\x03\x00\x01x",
    b"\x14\x03\x03\x00\x01\x01", b"SSH-2.0-x\r\n",
)  # fmt: skip


class TlsServers:
    """Servers of both kinds; contexts with a sound certificate are made once."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        certificate = usual(_ASKED, TLS_ROOT, now, serial=5, ca=False).written()
        self._sound = (
            _context(certificate),
            _context(certificate),
            _context(certificate),
            _context(certificate, newest=SSL.TLS1_2_VERSION),
            _context(certificate, asks=True),
        )

    def server(self, draw: Draw, respond: Callable[[bytes], Answer | None], watch: CpuWatch) -> HostileServer:
        """Return a server for a connection: nine in ten shake hands as they should."""
        match int(draw.random() * 40):
            case 0 | 1 | 2:
                return HostileServer(self._odd(draw), respond, watch)
            case 3:
                said: list[bytes | None] = [None] * draw.one((0, 0, 1))
                return HostileServer(
                    self._sound[0], respond, watch, raw=[*said, draw.one((*_NO_TLS, draw.octets(200)))]
                )
            case 4:
                return HostileServer(draw.one(self._sound), respond, watch, leaves_after=draw.one((0, 1)))
            case 5:
                damaged = _damage(draw)
                return HostileServer(draw.one(self._sound), respond, watch, damage=damaged)
            case _:
                return HostileServer(draw.one(self._sound), respond, watch)

    def _odd(self, draw: Draw) -> SSL.Context:
        """Return a context with an odd certificate."""
        der = odd_certificate(draw, _ASKED, TLS_ROOT, self._now)
        try:
            return _context(der, newest=draw.one((SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)))
        except (SSL.Error, crypto.Error, ValueError):  # OpenSSL cannot show what it cannot read
            return self._sound[0]


def _damage(draw: Draw) -> Callable[[bytes], bytes]:
    """Return what damages one flight of the server's, and leaves the others."""
    left = draw.one((0, 1, 2))

    def damage(flight: bytes) -> bytes:
        nonlocal left
        left -= 1
        return mutated(draw, flight) if left == -1 else flight

    return damage


def _context(der: bytes, *, newest: int = SSL.TLS1_3_VERSION, asks: bool = False) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_max_proto_version(newest)
    with warnings.catch_warnings():  # only in this old way OpenSSL is given what the library cannot read
        warnings.simplefilter("ignore")
        context.use_certificate(crypto.load_certificate(crypto.FILETYPE_ASN1, der))
    context.use_privatekey(_SERVER_KEY)
    context.set_session_id(b"fuzz")
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if asks:
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    return context
