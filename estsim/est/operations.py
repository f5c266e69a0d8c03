"""The EST operations, their methods, paths and content types (RFC 7030 §3.2.2, as updated by RFC 8951)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

WELL_KNOWN: Final = "/.well-known/est"

PKCS7_MIME: Final = "application/pkcs7-mime"
PKCS10: Final = "application/pkcs10"
CSRATTRS_TYPE: Final = "application/csrattrs"
CERTS_ONLY: Final = f"{PKCS7_MIME}; smime-type=certs-only"


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """What the RFCs specify for an operation."""

    method: str
    sends: str | None  # the media type of the request's body; None without one
    answers: str  # the media type of a 200
    section: str  # of the response


class Operation(StrEnum):
    """An EST operation; the value is its path segment."""

    CACERTS = "cacerts"
    CSRATTRS = "csrattrs"
    SIMPLEENROLL = "simpleenroll"
    SIMPLEREENROLL = "simplereenroll"
    SERVERKEYGEN = "serverkeygen"
    FULLCMC = "fullcmc"

    @property
    def spec(self) -> OperationSpec:
        """What the RFCs specify for it."""
        return _SPECS[self]

    @property
    def method(self) -> str:
        """GET where there is nothing to send, else POST."""
        return _SPECS[self].method

    @property
    def seeks_certificate(self) -> bool:
        """Whether the answer may be a certificate, so that a 202 means a deferral (§4.2.3)."""
        return _SPECS[self].sends is not None


_SPECS: Final = {
    Operation.CACERTS: OperationSpec("GET", None, PKCS7_MIME, "RFC 7030 §4.1.3"),
    Operation.CSRATTRS: OperationSpec("GET", None, CSRATTRS_TYPE, "RFC 7030 §4.5.2"),
    Operation.SIMPLEENROLL: OperationSpec("POST", PKCS10, PKCS7_MIME, "RFC 7030 §4.2.3"),
    Operation.SIMPLEREENROLL: OperationSpec("POST", PKCS10, PKCS7_MIME, "RFC 7030 §4.2.3"),
    Operation.SERVERKEYGEN: OperationSpec("POST", PKCS10, "multipart/mixed", "RFC 7030 §4.4.2"),
    Operation.FULLCMC: OperationSpec("POST", f"{PKCS7_MIME}; smime-type=CMC-request", PKCS7_MIME, "RFC 7030 §4.3.2"),
}

OPERATION_NAMES: Final = frozenset(operation.value for operation in Operation)
"""The path segments that no label may be (§3.2.2)."""


def operation_path(operation: Operation, *, base: str = WELL_KNOWN, label: str | None = None) -> str:
    """Return the request path of an operation, with the arbitrary label where there is one (§3.2.2)."""
    parts = [base.rstrip("/"), *([label] if label else []), operation.value]
    return "/".join(parts)
