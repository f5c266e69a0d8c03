"""What faulty devices send in place of a sound request: a broken signature, another name, garbage, far too much."""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from estsim.device.faults import DeviceFault
from estsim.est.transfer import encode_body

_OVERSIZED_BYTES: Final = 768 * 1024  # 1 MiB in base64; a CSR with RSA-4096 and a hundred names is under 8 KiB
_GARBAGE_PIECES: Final = 8  # of 64 bytes
_STRANGER: Final = x509.RelativeDistinguishedName(
    [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "not what it was")]
)


def with_bad_signature(csr_der: bytes) -> bytes:
    """Flip the last bit of a request: of its signature, whose encoding stays sound."""
    return csr_der[:-1] + bytes([csr_der[-1] ^ 1])


def with_another_name(subject: x509.Name) -> x509.Name:
    """Return a Subject that is not the one that the certificate has."""
    return x509.Name([*subject.rdns, _STRANGER])


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
