"""EST requests and responses as values (RFC 7030 §3.2); what a response means is for :mod:`estsim.est.reading`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from estsim import __version__
from estsim.errors import UsageError
from estsim.est.operations import OPERATION_NAMES, WELL_KNOWN, Operation, operation_path
from estsim.est.transfer import encode_body

LARGE_BODY_BYTES: Final = 4096
LARGE_HEAD_FIELDS: Final = 512

# RFC 9110 §10.1.5 and §12.5.3. No content coding: every body here is base64 already.
_EVERY_REQUEST: Final = (("User-Agent", f"estsim/{__version__}"), ("Accept-Encoding", "identity"))


class BodyForm(StrEnum):
    """How the base64 of a request's body is written: each of two known servers refuses the other's form."""

    WRAPPED = "wrapped"
    ONELINE = "oneline"


_COLUMNS: Final = {BodyForm.WRAPPED: 64, BodyForm.ONELINE: None}


@dataclass(frozen=True, slots=True)
class EstRequest:
    """A request without what the transport adds: Host, Content-Length or chunks, Connection."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class EstResponse:
    """A whole response; the names of its headers are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of a header, None where it is missing."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def is_large(self) -> bool:
        """Whether reading it may take more than 5 ms of CPU, as a dozen CA certificates with their signatures do."""
        return len(self.body) > LARGE_BODY_BYTES or len(self.headers) > LARGE_HEAD_FIELDS


def build_request(
    operation: Operation,
    *,
    body_der: bytes | None = None,
    base: str = WELL_KNOWN,
    label: str | None = None,
    request_id: str | None = None,
    authorization: str | None = None,
    form: BodyForm = BodyForm.WRAPPED,
) -> EstRequest:
    """Build the request of an operation; ``body_der`` goes with POST and only there.

    Content-Transfer-Encoding means nothing since RFC 8951 §3, but some servers require it.
    """
    if label in OPERATION_NAMES:
        raise UsageError(f"a label must not be the name of an operation (got {label!r}; RFC 7030 §3.2.2)")
    content_type = operation.spec.sends
    if (body_der is None) != (content_type is None):
        raise UsageError(
            f"{operation.value} is a {operation.method}: a body is sent with POST, and with no other method"
        )
    headers = list(_EVERY_REQUEST)
    if content_type is not None:
        headers += [("Content-Type", content_type), ("Content-Transfer-Encoding", "base64")]
    if request_id is not None:
        headers.append(("X-Request-ID", request_id))
    if authorization is not None:
        headers.append(("Authorization", authorization))
    body = b"" if body_der is None else encode_body(body_der, columns=_COLUMNS[form])
    path = operation_path(operation, base=base, label=label)
    return EstRequest(operation.method, path, tuple(headers), body)
