"""Who a client is, by its certificate, and whether a trust center takes it: in full handshakes and in resumed ones."""

from datetime import UTC, datetime
from functools import cache

import pytest
from server_sandbox import csr_for, new_key

from estsim.est.certificate import Certificate, read_certificate, serial_text
from estsim.est.csr import read_csr
from estsim.est.operations import Operation
from estsim.pki.authority import Authority, Issuer, make_authority
from estsim.pki.keys import KeyKind, spki_of
from estsim.pki.names import Names, common_name
from estsim.server.admission import Admission, identity_of
from estsim.server.answer import Refused
from estsim.server.config import ClientsConfig
from estsim.server.peer import Handshakes, Peer, PeerTrust, read_peer

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOW_S = NOW.timestamp()
LIFE_S = 3600


@cache
def authority(name: str, *, parent: str | None = None) -> Authority:
    """Return a CA of the tests by its name."""
    return make_authority(name, KeyKind.EC_P256, now=NOW, parent=None if parent is None else authority(parent))


def line() -> Authority:
    """Return a production line's CA under the manufacturer's."""
    return authority("line 1", parent="acme")


def device(issuer: Authority, name: str = "meter-1") -> Certificate:
    """Return a new certificate that lives for an hour from now: it was made within this second."""
    names = Names(common_name(name), None)
    return read_certificate(Issuer(issuer, LIFE_S).issue(spki_of(new_key()), names, NOW_S + 0.5).der)


def full(certificate: Certificate, *sent: Authority, problem: str | None = None) -> Peer:
    """Return the peer of a full handshake, which sent CA certificates along: OpenSSL tells its own one first."""
    chain = (certificate, *(ca.certificate for ca in sent))
    return read_peer(certificate, chain=chain, problem=problem, wall_now_s=NOW_S)


def resumed(certificate: Certificate, *, after_s: float = 1.0) -> Peer:
    """Return the peer of a resumed session: of what came in the full handshake OpenSSL knows only the first."""
    return read_peer(certificate, chain=(certificate,), resumed=True, wall_now_s=NOW_S + after_s)


def trusting(*anchors: Authority) -> PeerTrust:
    """Return the trust in some CAs."""
    return PeerTrust(tuple(anchor.certificate for anchor in anchors))


# -- who it is


def test_a_client_without_certificate_is_nobody() -> None:
    """But it may have met a fault on its way in."""
    peer = read_peer(None, problem="whatever", resumed=True, fault="wrong_server_name", wall_now_s=NOW_S)
    assert peer == Peer(fault="wrong_server_name")
    assert peer.identity is None


def test_the_facts_are_read_once() -> None:
    """Subject as text, serial in hexadecimal, the raw parts, and what the handshake knew."""
    certificate = device(line())
    peer = read_peer(
        certificate,
        chain=[certificate, line().certificate],
        problem="p",
        resumed=True,
        fault="f",
        wall_now_s=NOW_S,
    )
    assert peer == Peer(
        subject="CN=meter-1",
        serial=serial_text(certificate.serial),
        certificate=certificate,
        chain=(certificate, line().certificate),
        problem="p",
        fault="f",
    )


def test_an_identity_is_a_subject_under_an_issuer() -> None:
    """A renewed certificate with another key is the same client; another name or another CA is another."""
    same = [full(device(authority("acme"))).identity for _ in range(3)]
    others = [full(device(authority("acme"), "meter-2")).identity, full(device(line())).identity]
    assert len({*same}) == 1
    assert len({*same, *others}) == 3
    assert all(identity is not None and len(identity) == 32 for identity in [*same, *others])


def test_an_identity_does_not_depend_on_how_the_session_began() -> None:
    """Resumed, with a problem, with or without a chain: a repeat is recognised by it."""
    certificate = device(line())
    peers = (full(certificate), full(certificate, line(), problem="p"), resumed(certificate), resumed(certificate))
    assert len({peer.identity for peer in peers}) == 1


def test_identities_of_certificates_users_and_names_are_kept_apart() -> None:
    """A user named like a subject is somebody else; the certificate counts where there are several."""
    peer = full(device(authority("acme")))
    facts = read_csr(csr_for(new_key(), "meter-1"))
    identities = [
        identity_of(peer, "CN=meter-1", facts),
        identity_of(Peer(), "CN=meter-1", facts),
        identity_of(Peer(), "meter-1", facts),
        identity_of(Peer(), None, facts),
        identity_of(Peer(), None),
    ]
    assert len(set(identities)) == 5
    assert identities[0] == peer.identity


@pytest.mark.parametrize(
    ("is_resumed", "age_s", "problem", "expected"),
    [
        (True, 0, None, None),
        (True, LIFE_S - 1, None, None),
        (True, LIFE_S, None, None),  # RFC 5280 §4.1.2.5: "through notAfter, inclusive"
        (True, LIFE_S + 0.5, None, "certificate has expired"),
        (True, LIFE_S + 1, "another", "another"),
        (False, LIFE_S + 1, None, None),  # it was looked at by the handshake, if anybody wanted to know
        (False, LIFE_S + 1, "certificate has expired", "certificate has expired"),
    ],
)
def test_the_end_of_a_certificate_counts_in_a_resumed_session(
    is_resumed: bool,  # noqa: FBT001 - a table
    age_s: float,
    problem: str | None,
    expected: str | None,
) -> None:
    """There nobody else looks at it; in a full handshake OpenSSL has the word."""
    peer = read_peer(device(authority("acme")), problem=problem, resumed=is_resumed, wall_now_s=NOW_S + age_s)
    assert peer.problem == expected


def test_a_certificate_in_an_old_string_type_is_as_good_as_any() -> None:
    """OpenSSL lets a TeletexString in Latin-1 pass, as old CAs write it, and so do we."""
    good = device(authority("acme"), "ZZZZZZ").der
    assert good.count(b"\x0c\x06ZZZZZZ") == 1
    latin = read_certificate(good.replace(b"\x0c\x06ZZZZZZ", b"\x14\x06M\xe9ter1"))
    peer = read_peer(latin, wall_now_s=NOW_S)
    assert (peer.certificate, peer.subject, peer.problem) == (latin, "CN=Méter1", None)


# -- whether it is taken


def test_a_certificate_of_an_anchor_is_taken() -> None:
    """Of any of them, with nothing sent along."""
    trust = trusting(authority("acme"), authority("other maker"))
    assert trust.takes(full(device(authority("acme"))))
    assert trust.takes(full(device(authority("other maker"))))


def test_nobody_is_not_taken() -> None:
    """Whoever has no certificate may have a password; that is not asked here."""
    assert not trusting(authority("acme")).takes(Peer())


def test_an_intermediate_that_was_sent_along_leads_to_the_anchor() -> None:
    """Several of them too, in any order, among others that lead nowhere; without it nothing does."""
    shift = make_authority("shift 2", KeyKind.EC_P256, now=NOW, parent=line())
    certificate = device(shift)
    sent = [(shift, line()), (line(), shift), (authority("stranger"), line(), authority("acme"), shift)]
    assert [trusting(authority("acme")).takes(full(certificate, *path)) for path in sent] == [True] * 3
    assert [trusting(authority("acme")).takes(full(certificate, *path)) for path in [(), (shift,), (line(),)]] == [
        False
    ] * 3


def test_an_intermediate_may_be_the_anchor_itself() -> None:
    """Who trusts one production line does not trust the others."""
    trust = trusting(line())
    assert trust.takes(full(device(line())))
    assert not trust.takes(full(device(authority("acme"))))
    assert not trust.takes(full(device(authority("line 2", parent="acme")), authority("line 2", parent="acme")))


def test_a_stranger_is_not_taken() -> None:
    """Nor with its own CA sent along, self-signed or not, nor with ours."""
    stranger, below = authority("stranger"), authority("below", parent="stranger")
    trust = trusting(authority("acme"))
    for peer in (
        full(device(stranger)),
        full(device(stranger), stranger),
        full(device(below), below, stranger),
        full(device(stranger), authority("acme")),
    ):
        assert not trust.takes(peer)


def test_the_name_of_an_anchor_is_not_enough() -> None:
    """Signed by another key under the anchor's name."""
    forged = Authority(authority("acme").certificate, authority("stranger").key)
    assert not trusting(authority("acme")).takes(full(device(forged), authority("acme")))


def test_a_device_is_no_authority() -> None:
    """What it has signed is not taken, though it chains to the anchor by its signatures."""
    key = new_key()
    names = Names(common_name("meter-1"), None)
    own = read_certificate(Issuer(authority("acme"), LIFE_S).issue(spki_of(key), names, NOW_S + 0.5).der)
    assert not trusting(authority("acme")).takes(
        full(device(Authority(own, key)), Authority(own, key), authority("acme"))
    )


def test_a_refusal_is_not_held_against_a_client() -> None:
    """It forgot its chain, and sends it the next time."""
    trust, certificate = trusting(authority("acme")), device(line())
    assert [trust.takes(full(certificate, *sent)) for sent in [(), (line(),), ()]] == [False, True, False]


# -- what is remembered of a full handshake, for those who resume it


def again(met: Handshakes, certificate: Certificate) -> Peer:
    """Return the peer of a resumed session, with what is remembered of the full handshake it goes back to."""
    chain, problem = met.recall(certificate)
    return read_peer(certificate, chain=chain, problem=problem, resumed=True, wall_now_s=NOW_S + 1)


def met_with(certificate: Certificate, *sent: Authority, problem: str | None = None) -> Handshakes:
    """Return the memory of one full handshake; OpenSSL tells the client's own certificate first."""
    met = Handshakes()
    met.meet(certificate, (certificate, *(ca.certificate for ca in sent)), problem)
    return met


def test_a_resumed_session_has_the_chain_of_its_full_handshake() -> None:
    """Without it nothing leads to the anchor."""
    trust, certificate = trusting(authority("acme")), device(line())
    assert not trust.takes(resumed(certificate))
    peer = again(met_with(certificate, line()), certificate)
    assert (peer.chain, peer.problem) == ((line().certificate,), None)
    assert trust.takes(peer)


def test_what_one_certificate_has_shown_counts_for_no_other() -> None:
    """Of the same subject, from the same line: its handshake is not known."""
    met = met_with(device(line()), line())
    peer = again(met, device(line()))
    assert (peer.chain, peer.problem is None) == ((), False)


def test_the_last_full_handshake_counts() -> None:
    """It forgot its chain the first time; or the other way round."""
    certificate = device(line())
    met = met_with(certificate, problem="unable to get local issuer certificate")
    met.meet(certificate, (certificate, line().certificate), None)
    assert again(met, certificate).problem is None
    met.meet(certificate, (certificate,), "p")
    assert again(met, certificate).problem == "p"


def test_of_too_many_the_one_not_met_for_longest_is_forgotten() -> None:
    """A forgotten client needs a full handshake, and is not taken for a trusted one."""
    met = Handshakes(remembered=2)
    devices = [device(line(), f"meter-{n}") for n in range(3)]
    for certificate in (devices[0], devices[1], devices[0], devices[2]):
        met.meet(certificate, (certificate, line().certificate), None)
    assert [again(met, certificate).problem is None for certificate in devices] == [True, False, True]
    assert "connect without resuming it" in (again(met, devices[1]).problem or "")


def test_who_comes_back_is_not_forgotten_before_others() -> None:
    """A device that resumes every day outlives one that was met after it and never came again."""
    met = Handshakes(remembered=2)
    devices = [device(line(), f"meter-{n}") for n in range(3)]
    for certificate in devices[:2]:
        met.meet(certificate, (certificate,), None)
    again(met, devices[0])
    met.meet(devices[2], (devices[2],), None)
    assert [again(met, certificate).problem is None for certificate in devices] == [True, False, True]


def test_of_who_is_refused_nothing_but_the_reason_is_kept() -> None:
    """Strangers may send chains of 100 KB, each another one, fifty thousand times."""
    stranger = device(authority("stranger"))
    met = met_with(stranger, authority("stranger"), problem="unable to get local issuer certificate")
    assert met.recall(stranger) == ((), "unable to get local issuer certificate")


# -- what admission makes of it, where the handshake lets everybody in


def admission(*anchors: Authority) -> Admission:
    """Return the checks of a trust center that refuses above TLS."""
    certificates = tuple(anchor.certificate for anchor in anchors)
    return Admission(ClientsConfig(), authority("est").certificate.subject_der, certificates, verified=False)


def answer(checks: Admission, operation: Operation, peer: Peer) -> str:
    """Return why a client may not use an operation, or ``welcome``."""
    try:
        checks.authorize(operation, peer, None)
    except Refused as refused:
        return f"{refused.status} {refused}"
    return "welcome"


def test_a_resumed_session_with_an_expired_certificate_is_refused() -> None:
    """What it once proved helps no longer."""
    checks, certificate = admission(authority("acme")), device(authority("acme"))
    assert answer(checks, Operation.SIMPLEENROLL, full(certificate)) == "welcome"
    assert answer(checks, Operation.SIMPLEENROLL, resumed(certificate, after_s=LIFE_S)) == "welcome"
    late = answer(checks, Operation.SIMPLEENROLL, resumed(certificate, after_s=LIFE_S + 1))
    assert late == "403 expected a valid client certificate (got CN=meter-1: certificate has expired)"


def test_who_was_refused_in_a_full_handshake_is_not_let_in_by_resuming_it() -> None:
    """OpenSSL found its purpose wrong, say, and does not look again: the ticket must not wash it clean."""
    checks, certificate = admission(authority("acme")), device(authority("acme"))
    problem = "unsuitable certificate purpose"
    assert answer(checks, Operation.SIMPLEENROLL, full(certificate, problem=problem)).startswith("403")
    assert answer(
        checks, Operation.SIMPLEENROLL, again(met_with(certificate, problem=problem), certificate)
    ).startswith("403")


def test_who_fetched_the_ca_certificates_first_may_enroll_in_the_resumed_session() -> None:
    """The usual order: the full handshake with the chain is that of cacerts, which asks for nobody."""
    checks, certificate = admission(authority("acme")), device(line())
    assert answer(checks, Operation.CACERTS, full(certificate, line())) == "welcome"
    assert answer(checks, Operation.SIMPLEENROLL, again(met_with(certificate, line()), certificate)) == "welcome"
