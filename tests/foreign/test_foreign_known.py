"""What real servers were seen to send, in the smallest form, and what is to come of it."""

import time
from pathlib import Path

from der_writer import COMMON_NAME, COUNTRY, IS_CA, StringTag, attribute, common_name, name, string
from foreign_pki import Asking, ForeignCA, certificate, certs_only, make_key, spki_of, write_pem
from foreign_runs import Played, play_against
from odd_server import ServerTls, answer, est_server, odd_server

MOST_S = 4.0  # of CPU, in which a device has its answer: what was quadratic or cubic took more than 20


def issued(played: Played) -> bool:
    """Say whether the device has its certificate, and nothing failed on the way."""
    return {row[2] for row in played.story[0]} == {"ok"} and "enroll" in played.story[0][-1][0]


async def test_an_issuer_in_teletex(tmp_path: Path) -> None:
    """A CA whose name holds a Latin-1 byte, trusted by file: names are compared as they are (RFC 5280 §7.1)."""
    latin = string("Geräte-CA", StringTag.TELETEX)
    ca = ForeignCA(name(attribute(COUNTRY, string("DE", StringTag.PRINTABLE)), attribute(COMMON_NAME, latin)))
    tls = ServerTls()
    with odd_server(est_server(ca), tmp_path, tls=tls) as server:
        server.trust = write_pem(tmp_path / "both.pem", tls.ca.der, ca.der)
        played = await play_against("trio", server, tmp_path, devices=1, cohort={"enroll": {"cacerts": "never"}})
    assert issued(played)


async def test_a_subject_in_another_string_type(tmp_path: Path) -> None:
    """Many CAs write our UTF8String as PrintableString: the same name by value (RFC 5280 §7.1), nothing to tell."""
    ca = ForeignCA()

    def printable(asking: Asking) -> bytes:
        parts = [(each.oid.dotted_string, string(str(each.value), StringTag.PRINTABLE)) for each in asking.csr.subject]
        return certs_only(ca.issue(name(*(attribute(*part) for part in parts)), asking.spki, asking.san))

    with odd_server(est_server(ca, issue=printable), tmp_path) as server:
        played = await play_against("trio", server, tmp_path, devices=1)
    assert issued(played)


async def test_a_certificate_of_the_registration_authority_before_the_issued_one(tmp_path: Path) -> None:
    """A SET has no order: the issued certificate is the one with the request's key."""
    ca = ForeignCA()

    def with_ra(asking: Asking) -> bytes:
        ra = ca.issue(common_name("EST RA"), spki_of(make_key()))
        return certs_only(ra, ca.issue(asking.subject, asking.spki, asking.san))

    with odd_server(est_server(ca, issue=with_ra), tmp_path) as server:
        played = await play_against("trio", server, tmp_path, devices=1)
    assert issued(played)


async def test_armour_without_end(tmp_path: Path) -> None:
    """A body of nothing but BEGIN lines is malformed, and is so at once."""
    body = b"-----BEGIN a-----" * (256 * 1024 // 17)
    endless = answer(200, body, content_type="application/pkcs7-mime")
    begun_s = time.process_time()
    with odd_server(lambda _: endless, tmp_path) as server:
        played = await play_against("trio", server, tmp_path, devices=1)
    assert played.story[0][0][2] == "malformed"
    assert "PEM armour without its BEGIN or END line" in played.words[0][0]
    assert time.process_time() - begun_s < MOST_S


async def test_a_chain_of_cas_of_one_name(tmp_path: Path) -> None:
    """80 CA certificates of one name, each signed by the one before: they are read at once."""
    ca = ForeignCA(common_name("A"))
    chain, signer = [ca.der], ca.key
    for _ in range(79):
        key = make_key()
        chain.append(certificate(issuer=ca.name, subject=ca.name, spki=spki_of(key), key=signer, extensions=(IS_CA,)))
        signer = key
    begun_s = time.process_time()
    with odd_server(est_server(ca, cacerts=certs_only(*chain)), tmp_path) as server:
        played = await play_against("trio", server, tmp_path, devices=1)
    assert issued(played)
    assert time.process_time() - begun_s < MOST_S
