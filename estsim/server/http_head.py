"""The checks of a request's head that h11 does not make (RFC 9110, RFC 9112). Pure.

h11 checks the syntax of lines and lengths. What a server must refuse or close on beyond that is checked here, before
the body is read.
"""

import re
from typing import Final

import h11

from estsim.est.messages import EstRequest
from estsim.server.answer import Refused

# Other values are not repeated: they may be a misplaced password, and the reason goes into the log.
_CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress"})
# RFC 9110 §7.2: uri-host [":" port]; an address in brackets, or a name as RFC 3986 §3.2.2 has it, which may be empty.
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
_CONTINUE: Final = "100-continue"


def check_head(request: EstRequest, version: str) -> None:
    """Refuse an unacceptable head; ``version`` follows ``HTTP/``. The connection is closed then."""
    if not version.startswith("1."):
        raise Refused(505, f"expected HTTP/1.1 (got HTTP/{version})")  # RFC 9110 §15.6.6
    if request.method == "CONNECT":
        raise Refused(501, "CONNECT is not implemented: this server is not a proxy")  # RFC 9110 §9.3.6
    host = _values(request, "host")
    if host and not _HOST.fullmatch(host[0]):  # RFC 9112 §3.2: "a server MUST respond with a 400"
        raise Refused(400, "expected a host and optional port in Host (RFC 9112 §3.2)")
    if version == "1.0" and _values(request, "transfer-encoding"):
        # RFC 9112 §6.1: "MUST treat the message as if the framing is faulty".
        raise Refused(400, "expected Content-Length from an HTTP/1.0 client (got Transfer-Encoding)")
    wanted = [word.strip().lower() for value in _values(request, "expect") for word in value.split(",")]
    if version != "1.0" and any(word not in ("", _CONTINUE) for word in wanted):  # RFC 9110 §10.1.1
        raise Refused(417, f"expected no Expect value other than {_CONTINUE} (RFC 9110 §10.1.1)")
    coding = ", ".join(_values(request, "content-encoding")).strip()
    if coding.lower() not in ("", "identity"):  # RFC 9110 §15.5.16
        got = coding if _CODINGS.issuperset(coding.lower().replace(" ", "").split(",")) else "another"
        text = f"expected an uncompressed body (got Content-Encoding: {got})"
        raise Refused(415, text, (("accept-encoding", "identity"),))


def has_two_lengths(request: EstRequest) -> bool:
    """Whether a request has both Content-Length and Transfer-Encoding, so that its connection must be closed.

    RFC 9112 §6.1: a server may "process such a request in accordance with the Transfer-Encoding alone. Regardless, the
    server MUST close the connection after responding to such a request to avoid the potential attacks."
    """
    names = {name for name, _ in request.headers}
    return "content-length" in names and "transfer-encoding" in names


def no_http(error: h11.RemoteProtocolError) -> Refused:
    """Return the refusal of what h11 cannot read, without the line, which may hold a password.

    The traceback is dropped: it refers to a frame that refers to the error, which would keep the connection in memory
    until the garbage collector runs.
    """
    error.__traceback__ = None
    return Refused(error.error_status_hint or 400, f"expected HTTP/1.1: {str(error).partition(': bytearray(')[0]}")


def _values(request: EstRequest, name: str) -> list[str]:
    return [value for key, value in request.headers if key == name]
