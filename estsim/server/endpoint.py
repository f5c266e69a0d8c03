"""The TLS endpoint that all trust centers share: its certificates, and the clients that its handshake admits.

The label of a request is known only after the handshake. So the handshake refuses clients that no trust center accepts,
and each trust center refuses the rest above TLS; if one of them refuses all of them there, the handshake admits all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from estsim.est.certificate import Certificate
from estsim.net import contexts
from estsim.net.contexts import ContextKey, Role, TlsVersion, Verify
from estsim.pki.authority import make_server_certificate
from estsim.pki.credentials import Credential
from estsim.pki.keys import KeyKind, make_key
from estsim.server.config import RefuseAt, RequireCertificate, SandboxConfig, TrustCenterConfig
from estsim.server.pki import Pki

_GROUPS: Final = ("x25519", "p-256", "p-384", "p-521")  # every common one
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_WRONG_NAME: Final = "wrong.invalid"  # RFC 6761 §6.4: never a real name


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the listener needs for handshakes; ``wrong`` is presented for a fault.

    ``verifies``: see :func:`is_verified`.
    """

    key: ContextKey
    credential: Credential
    wrong: Credential
    verifies: bool


def make_endpoint(
    config: SandboxConfig, pki: Pki, anchors: Mapping[str, tuple[Certificate, ...]], *, names: Iterable[str]
) -> Endpoint:
    """Make the endpoint; ``pki`` issues its certificate, ``anchors`` are those of each trust center.

    ``names`` are the server's names besides the local ones.
    """
    trusted = dict.fromkeys(anchor for group in anchors.values() for anchor in group)
    oldest, newest = config.tls.versions
    key = ContextKey(
        role=Role.SERVER,
        anchors=_der(trusted),
        chain=_der(reversed(pki.ca_certificates[1:])),
        versions=(TlsVersion(oldest), TlsVersion(newest)),
        groups=_GROUPS,
        tickets=config.tls.resume,
        verify=_verify(config),
        refuse_at=contexts.RefuseAt(_refuse_at(config.centers.values())),
    )
    return Endpoint(
        key, _credential(pki, *_LOCAL_NAMES, *names), _credential(pki, _WRONG_NAME), verifies=is_verified(config)
    )


def is_verified(config: SandboxConfig) -> bool:
    """Whether the only trust center accepts every client certificate that the handshake accepted."""
    if config.peer_from_header is not None:
        return False  # the handshake does not see certificates in a header
    return len(config.centers) == 1 and _refuse_at(config.centers.values()) is RefuseAt.HANDSHAKE


def _verify(config: SandboxConfig) -> Verify:
    if config.peer_from_header is not None:
        return Verify.REQUEST  # a proxy need not have a certificate of its own
    demanded = all(
        center.clients.require_certificate is RequireCertificate.ALWAYS
        and center.clients.refuse_at is RefuseAt.HANDSHAKE
        for center in config.centers.values()
    )
    return Verify.REQUIRE if demanded else Verify.REQUEST


def _refuse_at(centers: Iterable[TrustCenterConfig]) -> RefuseAt:
    lenient = any(center.clients.refuse_at is RefuseAt.APPLICATION for center in centers)
    return RefuseAt.APPLICATION if lenient else RefuseAt.HANDSHAKE


def _credential(pki: Pki, *hosts: str) -> Credential:
    key = make_key(KeyKind.EC_P256)
    names = tuple(dict.fromkeys(hosts))
    return Credential(make_server_certificate(pki.issuer, key.public_key(), names, now=datetime.now(UTC)).der, key)


def _der(certificates: Iterable[Certificate]) -> tuple[bytes, ...]:
    return tuple(certificate.der for certificate in certificates)
