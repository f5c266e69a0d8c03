"""TLS contexts: what many connections share, built once per key and never changed.

A context holds trust anchors, the chain above the certificate (pyOpenSSL sends the context's chain after a connection's
own leaf), versions, groups and the verification policy. New anchors need a new context: changing a used one would
affect open connections. A context never holds a device's private key or leaf; a server, which always presents the same
certificate, has a context of its own that holds it.
"""

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from OpenSSL import SSL, crypto

from estsim.est.certificate import read_certificate, read_shared_certificate
from estsim.net.groups import DEFAULT_GROUPS, set_groups
from estsim.net.openssl import (
    INVALID_PURPOSE,
    MODE_NO_AUTO_CHAIN,
    add_chain_certificate,
    dump_certificate,
    load_certificate,
    name_client_ca,
    use_certificate,
)
from estsim.net.server_checks import has_cmc_ra
from estsim.pki.credentials import Credential


class Role(StrEnum):
    """Which side of the handshake."""

    CLIENT = "client"
    SERVER = "server"


class TlsVersion(StrEnum):
    """A version of TLS; RFC 8996 forbids those below 1.2."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


class Verify(StrEnum):
    """Whether the peer needs a certificate. A client requires one; ``NONE`` makes an unauthenticated session."""

    NONE = "none"
    REQUEST = "request"
    REQUIRE = "require"


class RefuseAt(StrEnum):
    """Where a bad client certificate is refused: by OpenSSL with an alert, or above TLS with a status and a reason."""

    HANDSHAKE = "handshake"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class ContextKey:
    """What makes two contexts the same. Certificates are DER; ``chain`` is what follows the leaf, issuer first.

    ``cmc_ra`` (explicit anchors only) lets id-kp-cmcRA in the server's certificate stand for its host name (RFC 7030
    §3.6.1). ``cmc_ra_alone`` also accepts a certificate with no other purpose, which OpenSSL refuses with code 26; it
    costs a callback per handshake, so it is for servers known to need it.
    ``leaf_alone`` sends the leaf without a chain, whatever the trust store holds: a fault for tests of servers.
    ``tickets`` (server) hands out stateless session tickets.
    """

    role: Role
    anchors: tuple[bytes, ...] = ()
    chain: tuple[bytes, ...] = ()
    versions: tuple[TlsVersion, TlsVersion] = (TlsVersion.TLS_1_2, TlsVersion.TLS_1_3)
    groups: tuple[str, ...] = DEFAULT_GROUPS
    alpn: tuple[str, ...] = ("http/1.1",)
    verify: Verify = Verify.REQUIRE
    refuse_at: RefuseAt = RefuseAt.HANDSHAKE
    cmc_ra: bool = False
    cmc_ra_alone: bool = False
    leaf_alone: bool = False
    tickets: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class TlsContext:
    """A context of pyOpenSSL with the key it was built from; immutable once built, compared by identity."""

    key: ContextKey
    ssl: SSL.Context


class TlsContexts:
    """A cache of contexts; the least recently used is dropped beyond ``limit`` (24 KiB and 170 µs each)."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._contexts: OrderedDict[ContextKey, TlsContext] = OrderedDict()

    def get(self, key: ContextKey) -> TlsContext:
        """Return the one context of a key, built on first use; raises ``ValueError`` on certificates it cannot read."""
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = TlsContext(key, _build(key))
            if len(self._contexts) > self._limit:
                self._contexts.popitem(last=False)
        else:
            self._contexts.move_to_end(key)
        return context


def server_context(key: ContextKey, credential: Credential) -> TlsContext:
    """Return a context that presents ``credential`` on every connection, loaded once."""
    context = _build(key)
    use_certificate(
        context, credential.certificate_der
    )  # before the key: the other way round a mismatch goes unnoticed
    context.use_privatekey(credential.key)
    return TlsContext(key, context)


_NAMES_BYTES: Final = 32 * 1024  # of acceptable CAs; a request for a certificate has room for 64 KiB, or may name none

_METHODS: Final = {Role.CLIENT: SSL.TLS_CLIENT_METHOD, Role.SERVER: SSL.TLS_SERVER_METHOD}
_VERSIONS: Final = {TlsVersion.TLS_1_2: SSL.TLS1_2_VERSION, TlsVersion.TLS_1_3: SSL.TLS1_3_VERSION}
_VERIFY_MODES: Final = {
    Verify.NONE: SSL.VERIFY_NONE,
    Verify.REQUEST: SSL.VERIFY_PEER,
    Verify.REQUIRE: SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}


def _build(key: ContextKey) -> SSL.Context:
    """Build the context of a key."""
    context = SSL.Context(_METHODS[key.role])
    context.set_min_proto_version(_VERSIONS[key.versions[0]])
    context.set_max_proto_version(_VERSIONS[key.versions[1]])
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 46 KiB an open connection instead of 79, at no CPU
    set_groups(context, key.groups)
    _trust(context, key)
    _set_verification(context, key)
    if key.leaf_alone:
        context.set_mode(MODE_NO_AUTO_CHAIN)
    for der in key.chain:
        # What OpenSSL cannot read it cannot send; the peer will say what it lacks.
        with suppress(ValueError):
            add_chain_certificate(context, der)
    if key.role is Role.CLIENT:
        if key.alpn:
            context.set_alpn_protos([name.encode("ascii") for name in key.alpn])
    else:
        _set_up_server(context, key)
    return context


def _trust(context: SSL.Context, key: ContextKey) -> None:
    """Fill the trust store; a root, an intermediate and a leaf are all accepted as anchors."""
    store = context.get_cert_store()
    if store is None:  # pragma: no cover - a new context always has a store
        raise ValueError("the TLS context has no certificate store")
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    anchors = [load_certificate(der) for der in key.anchors]
    for anchor in anchors:
        store.add_cert(anchor)
    names_bytes = sum(len(read_shared_certificate(der).subject_der) for der in key.anchors)
    if key.role is Role.SERVER and names_bytes < _NAMES_BYTES:
        for anchor in anchors:
            name_client_ca(context, anchor)


def _set_verification(context: SSL.Context, key: ContextKey) -> None:
    """Set the policy. A callback costs 16 µs and cannot choose the alert, so it is set only where necessary."""
    mode = _VERIFY_MODES[key.verify]
    if key.role is Role.SERVER and key.refuse_at is RefuseAt.APPLICATION:
        context.set_verify(mode, _record_and_accept)
    elif key.verify is not Verify.NONE and (key.role is Role.SERVER or key.cmc_ra_alone):
        context.set_verify(mode, _forgive_purpose)
    else:
        context.set_verify(mode)


def _set_up_server(context: SSL.Context, key: ContextKey) -> None:
    """Set what only a server has. Without a session id context a resumption attempt would be fatal."""
    context.set_session_id(b"estsim")
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # else 10 KiB are kept per handshake
    if not key.tickets:
        context.set_options(SSL.OP_NO_TICKET)
    if key.alpn:
        ours = [name.encode("ascii") for name in key.alpn]

        def choose(_connection: SSL.Connection, offered: list[bytes]) -> bytes | SSL._NoOverlappingProtocols:
            common = next((name for name in ours if name in offered), None)
            return SSL.NO_OVERLAPPING_PROTOCOLS if common is None else common

        context.set_alpn_select_callback(choose)


def _record_and_accept(connection: SSL.Connection, peer: crypto.X509, code: int, depth: int, sound: int) -> bool:
    """Accept any certificate and note OpenSSL's verdict. Must never raise: it would hit another connection."""
    notes = connection.get_app_data()
    if code and isinstance(notes, list) and not _forgive_purpose(connection, peer, code, depth, sound):
        notes.append((depth, code))
    return True


def _forgive_purpose(_connection: SSL.Connection, peer: crypto.X509, code: int, depth: int, sound: int) -> bool:
    """Accept a leaf with the purpose id-kp-cmcRA instead of that of its side of TLS. Must never raise."""
    if sound or (depth, code) != (0, INVALID_PURPOSE):
        return bool(sound)
    try:
        return has_cmc_ra(read_certificate(dump_certificate(peer)))
    except Exception:  # noqa: BLE001 - an exception here would land on another connection
        return False
