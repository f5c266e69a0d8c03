"""What faulty devices send in place of a sound request: a broken signature, another name, garbage, far too much."""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from estsim.device.faults import DeviceFault
from estsim.est.der import SEQUENCE, SET, UTF8_STRING, element, encode, encoded_oid
from estsim.est.transfer import encode_body

_OVERSIZED_BYTES: Final = 768 * 1024  # 1 MiB in base64; a CSR with RSA-4096 and a hundred names is under 8 KiB
_GARBAGE_PIECES: Final = 8  # of 64 bytes
_ANOTHER_UNIT: Final = encode(SET, encode(SEQUENCE, encoded_oid("2.5.4.11") + encode(UTF8_STRING, b"not what it was")))


def with_bad_signature(csr_der: bytes) -> bytes:
    """Flip the last bit of a request: of its signature, whose encoding stays sound."""
    return csr_der[:-1] + bytes([csr_der[-1] ^ 1])


def with_another_name(subject_der: bytes) -> bytes:
    """Return a Subject that is not the one that the certificate has: an organizational unit more."""
    _, start, end = element(subject_der, 0)
    return encode(SEQUENCE, subject_der[start:end] + _ANOTHER_UNIT)


def spoilt_body(fault: DeviceFault | None, device: int) -> bytes | None:
    """Return what a faulty device sends as the body of its requests, None where that is the request."""
    if fault is DeviceFault.GARBAGE_BODY:
        return _garbage(device)
    return _oversized() if fault is DeviceFault.OVERSIZED_BODY else None


def _garbage(device: int) -> bytes:
    """Return bytes that are neither base64 nor DER, the same each time for a device."""
    return b"".join(blake2b(f"{device}.{piece}".encode()).digest() for piece in range(_GARBAGE_PIECES))


@lru_cache(maxsize=1)
def _oversized() -> bytes:
    """Return base64 without end, nearly; one for the whole fleet."""
    return encode_body(bytes(_OVERSIZED_BYTES))
