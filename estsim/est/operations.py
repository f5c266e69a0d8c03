"""The EST operations, their methods, paths and content types (RFC 7030 §3.2.2, as updated by RFC 8951)."""

from enum import StrEnum
from typing import Final

WELL_KNOWN: Final = "/.well-known/est"

PKCS7_MIME: Final = "application/pkcs7-mime"
PKCS10: Final = "application/pkcs10"
CSRATTRS_TYPE: Final = "application/csrattrs"
CERTS_ONLY: Final = f"{PKCS7_MIME}; smime-type=certs-only"


class Operation(StrEnum):
    """An EST operation; the value is its path segment."""

    CACERTS = "cacerts"
    CSRATTRS = "csrattrs"
    SIMPLEENROLL = "simpleenroll"
    SIMPLEREENROLL = "simplereenroll"
    SERVERKEYGEN = "serverkeygen"
    FULLCMC = "fullcmc"

    @property
    def method(self) -> str:
        """GET where there is nothing to send, else POST."""
        return "GET" if self in _READS else "POST"

    @property
    def seeks_certificate(self) -> bool:
        """Whether the answer may be a certificate, so that a 202 is a deferral and not an oddity (§4.2.3)."""
        return self not in _READS


_READS: Final = frozenset({Operation.CACERTS, Operation.CSRATTRS})


def operation_path(operation: Operation, *, base: str = WELL_KNOWN, label: str | None = None) -> str:
    """Return the request path of an operation, with the arbitrary label where there is one (§3.2.2)."""
    parts = [base.rstrip("/"), *([label] if label else []), operation.value]
    return "/".join(parts)
