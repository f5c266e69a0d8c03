"""Contexts and what they offer: built once per key, and on the wire what the key says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from net_kit import TLS12, WORLD

from estsim.net.client_hello import check_offer, client_hello, offered_groups
from estsim.net.contexts import ContextKey, Role, TlsContexts, Verify
from estsim.net.groups import DEFAULT_GROUPS, KNOWN_GROUPS, UnknownGroup
from estsim.net.openssl import openssl_version, require_openssl
from estsim.net.tls import TlsSession


def client_key(*groups: str) -> ContextKey:
    """Return a client's key with these groups."""
    return ContextKey(Role.CLIENT, anchors=(WORLD.server_root.der,), groups=groups or DEFAULT_GROUPS)


def test_equal_keys_share_one_context() -> None:
    """A context is built once per key, and another key has another."""
    contexts = TlsContexts()
    assert contexts.get(client_key()) is contexts.get(client_key())
    assert contexts.get(client_key()) is not contexts.get(client_key("x25519"))


def test_the_context_not_asked_for_the_longest_is_dropped() -> None:
    """The cache is bounded; connections keep the context they have."""
    contexts = TlsContexts(limit=2)
    first = contexts.get(client_key("x25519"))
    second = contexts.get(client_key("p-256"))
    assert contexts.get(client_key("x25519")) is first
    contexts.get(client_key("p-384"))
    assert contexts.get(client_key("x25519")) is first
    assert contexts.get(client_key("p-256")) is not second


@pytest.mark.parametrize("groups", [DEFAULT_GROUPS, ("p-256",), ("p-521", "x25519"), tuple(reversed(DEFAULT_GROUPS))])
def test_the_client_hello_offers_the_groups_of_the_key(groups: tuple[str, ...]) -> None:
    """In the key's order, nothing more."""
    context = TlsContexts().get(client_key(*groups))
    assert offered_groups(client_hello(context)) == groups
    check_offer(context)


@pytest.mark.parametrize("group", KNOWN_GROUPS)
def test_every_group_that_has_a_name_can_be_offered(group: str) -> None:
    """The OpenSSL at hand knows all of them."""
    context = TlsContexts().get(client_key(group))
    assert offered_groups(client_hello(context)) == (group,)


def test_tls_1_2_offers_the_groups_too() -> None:
    """There the list also limits the curves of keys."""
    key = ContextKey(Role.CLIENT, versions=TLS12, groups=("x25519", "p-256"), verify=Verify.NONE)
    assert offered_groups(client_hello(TlsContexts().get(key))) == ("x25519", "p-256")


@pytest.mark.parametrize("groups", [("x25519", "p-255"), ("X25519 ",), ()])
def test_an_unknown_group_is_refused(groups: tuple[str, ...]) -> None:
    """With the names that are known."""
    key = ContextKey(Role.CLIENT, groups=groups)
    with pytest.raises(UnknownGroup, match="expected x25519, p-256"):
        TlsContexts().get(key)


def test_an_offer_that_differs_from_the_key_is_refused() -> None:
    """What an environment did to the offer is found before the run."""
    context = TlsContexts().get(client_key("p-256"))
    other = type(context)(client_key("x25519"), context.ssl)
    with pytest.raises(UnknownGroup, match=r"expected the ClientHello to offer x25519 \(got p-256\)"):
        check_offer(other)


def test_an_openssl_configuration_does_not_change_the_offer(tmp_path: Path) -> None:
    """A file in OPENSSL_CONF loses against the groups set per context."""
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(
        "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nGroups = P-521\n", encoding="ascii"
    )
    program = (
        "from estsim.net.contexts import *; from estsim.net.client_hello import *\n"
        "print(offered_groups(client_hello(TlsContexts().get(ContextKey(Role.CLIENT)))))"
    )
    environment = os.environ | {"OPENSSL_CONF": str(configuration)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == str(DEFAULT_GROUPS)


def test_the_openssl_at_hand_is_fit() -> None:
    """And says its version for the record."""
    require_openssl()
    assert openssl_version().startswith("OpenSSL 4")


def test_a_session_says_nothing_before_its_handshake() -> None:
    """All that is negotiated is None, closing is silent, empty input is harmless."""
    session = TlsSession(TlsContexts().get(client_key()), None, "localhost")
    assert (session.version, session.group, session.channel_binding(), session.session()) == (None, None, None, None)
    assert session.peer_chain == ()
    session.write(b"")
    session.close()
    assert session.outgoing() == b""
