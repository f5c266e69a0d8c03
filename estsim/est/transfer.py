"""The transfer encoding of every EST body: base64 of DER, both ways (RFC 8951 §3).

Content-Transfer-Encoding and its value are ignored, as RFC 8951 says. Reading is tolerant of white space and of PEM
armour. Writing gives lines of 64 characters or one line: some peers accept only one of them.
"""

import binascii
import re
from typing import Final

from estsim.errors import EstsimError
from estsim.est.outcome import NonConformance

PEM_ARMOUR: Final = NonConformance("PEM armour", "RFC 8951 §3")
NO_PADDING: Final = NonConformance("base64 without padding", "RFC 4648 §3.2")

_WHITE_SPACE: Final = b"\r\n \t"
_DASHES: Final = b"-----"
_BEGIN: Final = re.compile(rb"-----BEGIN [^\r\n-]{1,64}-----")
_END: Final = re.compile(rb"-----END [^\r\n-]{1,64}-----")
_DER_SEQUENCE: Final = re.compile(rb"\x30[\x80-\x84]")  # the second byte cannot occur in base64


class TransferError(EstsimError):
    """A body that is not base64."""


def encode_body(der: bytes, *, columns: int | None = 64) -> bytes:
    """Return DER as base64 in lines of at most ``columns`` characters, each ended by LF, or as one bare line."""
    line = binascii.b2a_base64(der, newline=False)
    if columns is None:
        return line
    return b"".join(line[at : at + columns] + b"\n" for at in range(0, len(line), columns))


def decode_body(body: bytes) -> tuple[bytes, tuple[NonConformance, ...]]:
    """Return the bytes that a body carries, and what was wrong with it; raises :class:`TransferError`.

    "Receivers SHOULD be tolerant of whitespace": CR, LF, space and tab may stand anywhere.
    """
    notes: tuple[NonConformance, ...] = ()
    if _DASHES in body:
        body, notes = _armoured(body), (PEM_ARMOUR,)
    packed = body.translate(None, _WHITE_SPACE)
    if not packed:
        raise TransferError("expected base64, got an empty body")
    if len(packed) % 4 in (2, 3) and not packed.endswith(b"="):
        packed, notes = packed + b"=" * (-len(packed) % 4), (*notes, NO_PADDING)
    if _DER_SEQUENCE.match(body):
        raise TransferError("expected base64, got bare DER")
    if len(packed) % 4 or packed.endswith(b"==="):  # of which Python 3.11's strict mode lets some pass
        raise TransferError("expected base64: wrong padding")
    try:
        return binascii.a2b_base64(packed, strict_mode=True), notes
    except binascii.Error as error:
        raise TransferError(f"expected base64: {error}") from error


def _armoured(body: bytes) -> bytes:
    """Return what the first PEM armour holds; raises :class:`TransferError`.

    The first dashes after a BEGIN line have to be its END line, so the search is linear.
    """
    begin = _BEGIN.search(body)
    if begin is not None:
        at = body.find(_DASHES, begin.end())
        if at >= 0 and _END.match(body, at):
            return body[begin.end() : at]
    raise TransferError("expected base64, got PEM armour without its BEGIN or END line")
