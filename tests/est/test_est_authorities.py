"""Trust made of CA certificates that a stranger sends: what it costs, and which of them are roots."""

import random
import time
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estsim.est.authorities import CertificateAuthorities, authorities_of, is_root, newest_root_first
from estsim.est.certificate import Certificate, read_certificate
from estsim.est.der import BIT_STRING, NULL, OCTET_STRING, SEQUENCE, encode, encoded_oid
from estsim.est.public_keys import key_identifier
from estsim.est.signatures import signature_algorithm
from estsim.est.signing import extension, sign_certificate
from estsim.pki.names import common_name

NOW_S = 1_780_000_000.0
NAME = common_name("CA")
IS_CA = extension("2.5.29.19", bytes.fromhex("30030101ff"), critical=True)


@cache
def key(number: int) -> ec.EllipticCurvePrivateKey:
    """Return a key by its number, from zero."""
    assert number >= 0
    return ec.generate_private_key(ec.SECP256R1())


def spki(number: int) -> bytes:
    """Return the public part of a key."""
    return key(number).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def ca(
    number: int,
    by: int,
    *,
    subject: bytes = NAME,
    issuer: bytes = NAME,
    lasts_s: float = 1e6,
    identified: bool = False,
    meant: bytes | None = None,
) -> Certificate:
    """Return a CA certificate for a key, signed by another; with key identifiers, the issuer's perhaps a wrong one."""
    extensions = [IS_CA]
    if identified:
        extensions.append(extension("2.5.29.14", encode(OCTET_STRING, key_identifier(spki(number)))))
        issuer_key = key_identifier(spki(by)) if meant is None else meant
        extensions.append(extension("2.5.29.35", encode(SEQUENCE, encode(0x80, issuer_key))))
    der = sign_certificate(
        key(by),
        issuer_der=issuer,
        subject_der=subject,
        spki=spki(number),
        serial=number * 1000 + by + 1,
        not_before_s=NOW_S,
        not_after_s=NOW_S + lasts_s,
        extensions=tuple(extensions),
    )
    return read_certificate(der)


def leaf(by: int, issuer: bytes = NAME, *, identified: bool = False) -> Certificate:
    """Return a device's certificate, with its issuer's key identifier or without."""
    issuer_key = extension("2.5.29.35", encode(SEQUENCE, encode(0x80, key_identifier(spki(by)))))
    der = sign_certificate(
        key(by),
        issuer_der=issuer,
        subject_der=common_name("device"),
        spki=spki(0),
        serial=5,
        not_before_s=NOW_S,
        not_after_s=NOW_S + 60,
        extensions=(extension("2.5.29.19", b"\x30\x00"), *([issuer_key] if identified else [])),
    )
    return read_certificate(der)


def chain_of_one_name(length: int) -> list[Certificate]:
    """Return a root and CAs of its name, each signed by the one before."""
    return [ca(0, 0, lasts_s=2e6), *(ca(number, number - 1) for number in range(1, length))]


@pytest.mark.parametrize(("length", "order"), [(80, "root first"), (80, "root last"), (20, "shuffled")])
def test_a_chain_of_cas_of_one_name_is_found_to_its_end(length: int, order: str) -> None:
    """The last one's certificates chain through all; nobody has key identifiers."""
    trust = authorities_of(tuple(ordered(chain_of_one_name(length), order)))
    assert trust.unchained == ()
    found = trust.chain_of(leaf(length - 1))
    assert found is not None
    assert [each.serial for each in found] == [n * 1000 + max(n - 1, 0) + 1 for n in reversed(range(length))]


def test_more_of_one_name_in_no_order_are_told() -> None:
    """Eighty would take three thousand checks: it is said that some of them stay out, and what came before is used."""
    trust = authorities_of(tuple(ordered(chain_of_one_name(80), "shuffled")))
    assert trust.chain_of(leaf(0)) is not None
    assert 0 < len(trust.unchained) < 80
    assert {why.partition(" has ")[0] for _, why in trust.unchained} == {"issuer CN=CA"}
    assert {why.partition(" or more keys, ")[2] for _, why in trust.unchained} == {
        "too many to try for each certificate"
    }


def test_key_identifiers_find_a_chain_in_any_order() -> None:
    """Two hundred CAs of one name, shuffled, without a check to spare."""
    cas = [ca(number, max(number - 1, 0), identified=True, lasts_s=1e6 + (number == 0)) for number in range(200)]
    trust = CertificateAuthorities(ordered(cas, "shuffled"), most_checks=1)
    assert trust.unchained == ()
    found = trust.chain_of(leaf(199, identified=True))
    assert found is not None
    assert len(found) == 200


def test_a_ca_below_one_with_a_wrong_identifier_is_found() -> None:
    """The one is found at last, by its signature, and the other below it by its identifier."""
    root, wrong = ca(0, 0, identified=True), ca(1, 0, meant=b"wrong", identified=True)
    below = ca(2, 1, identified=True)
    for cas in ([root, wrong, below], [below, wrong, root]):
        assert CertificateAuthorities([root], cas).unchained == ()


def ordered(cas: list[Certificate], order: str) -> list[Certificate]:
    """Return CA certificates in another order."""
    if order == "shuffled":
        random.Random(1).shuffle(cas)
    return cas[::-1] if order == "root last" else cas


def spent_s(cas: list[Certificate]) -> float:
    """Return the CPU that it takes to make trust of CA certificates, the best of two."""
    best = float("inf")
    for attempt in range(2):
        again = [read_certificate(bytes(bytearray(each.der))) for each in cas[attempt:] + cas[:attempt]]
        is_root.cache_clear()
        authorities_of.cache_clear()
        began = time.process_time()
        authorities_of(tuple(again))
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.alone
@pytest.mark.parametrize(
    "signed_by",
    ["the one before", "themselves", "all of one", "nobody here", "one, each with a wrong identifier", "one of many"],
)
def test_trust_costs_so_much_a_certificate(signed_by: str) -> None:
    """Five hundred of one name against fifty, however they have signed each other."""

    def cas(count: int) -> list[Certificate]:
        signers = {
            "the one before": [0, *range(count)],
            "themselves": range(count),
            "all of one": [0] * count,
            "nobody here": [0, *[1000] * count],
            "one, each with a wrong identifier": [0] * count,
            "one of many": [0, *(number // 2 if number % 3 else 1000 for number in range(count))],
        }
        wrong = "wrong" in signed_by
        made = [
            ca(number, by, identified=wrong and number > 0, meant=b"%d" % number)
            for number, by in zip(range(count), signers[signed_by], strict=False)
        ]
        random.Random(2).shuffle(made)
        return made

    few_s, many_s = spent_s(cas(50)), spent_s(cas(500))
    assert many_s < 5.0
    assert many_s / few_s <= 20


@pytest.mark.parametrize("shuffled", [False, True])
def test_many_cas_below_one_are_all_found(*, shuffled: bool) -> None:
    """Two hundred of the root's own name: none is lost among the checks that the others cost."""
    cas = [ca(0, 0, lasts_s=2e6), *(ca(number, 0) for number in range(1, 200))]
    if shuffled:
        random.Random(3).shuffle(cas)
    assert authorities_of(tuple(cas)).unchained == ()


def test_a_key_identifier_points_at_the_issuer() -> None:
    """Of a hundred keys of one name the one that it names is asked first."""
    aki = extension("2.5.29.35", encode(SEQUENCE, encode(0x80, b"right")))
    ski = extension("2.5.29.14", encode(0x04, b"right"))
    roots = [ca(number, number) for number in range(90)]

    def made(number: int, by: int, *extensions: bytes) -> Certificate:
        der = sign_certificate(
            key(by),
            issuer_der=NAME,
            subject_der=NAME,
            spki=spki(number),
            serial=3,
            not_before_s=NOW_S,
            not_after_s=NOW_S + 60,
            extensions=extensions,
        )
        return read_certificate(der)

    trust = CertificateAuthorities([*roots, made(95, 95, IS_CA, ski)], most_checks=0)
    assert trust.chain_of(made(1, 95, aki)) == (made_root := trust.chain_of(made(1, 95, aki)))
    assert made_root is not None
    assert made_root[0].spki == spki(95)


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """Return an RSA key."""
    return rsa.generate_private_key(65537, 2048)


def rsa_signed(subject: bytes, issuer: bytes, algorithm: str, made: hashes.HashAlgorithm) -> Certificate:
    """Return a CA certificate for the RSA key, signed by it in an old way."""
    public = rsa_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    der = sign_certificate(
        rsa_key(),
        issuer_der=issuer,
        subject_der=subject,
        spki=public,
        serial=1,
        not_before_s=NOW_S,
        not_after_s=NOW_S + 60,
        extensions=(IS_CA,),
    )
    identifier = encode(SEQUENCE, encoded_oid(algorithm) + encode(NULL, b""))
    modern = encode(SEQUENCE, encoded_oid("1.2.840.113549.1.1.11") + encode(NULL, b""))
    tbs = read_certificate(der).tbs.replace(modern, identifier)
    signature = rsa_key().sign(tbs, padding.PKCS1v15(), made)
    return read_certificate(encode(SEQUENCE, tbs + identifier + encode(BIT_STRING, b"\0" + signature)))


OLD = [
    ("1.2.840.113549.1.1.5", hashes.SHA1(), "SHA-1"),  # noqa: S303 - what old roots have
    ("1.2.840.113549.1.1.4", hashes.MD5(), "MD5"),  # noqa: S303 - the same
]


@pytest.mark.parametrize(("algorithm", "made", "named"), OLD)
def test_a_root_may_have_signed_itself_in_an_old_way(algorithm: str, made: hashes.HashAlgorithm, named: str) -> None:
    """RFC 5280 §6.1: nobody checks an anchor's own signature; below it the same algorithm is refused by name."""
    root = rsa_signed(NAME, NAME, algorithm, made)
    assert is_root(root)
    assert authorities_of((root,)).chain_of(root) is None
    below = rsa_signed(common_name("below"), NAME, algorithm, made)
    assert not is_root(below)
    assert authorities_of((root, below)).unchained == ((below, f"signed with {named}, which is not accepted"),)


@pytest.mark.parametrize(("algorithm", "made", "named"), OLD)
def test_a_link_certificate_is_no_root_whatever_signed_it(
    algorithm: str, made: hashes.HashAlgorithm, named: str
) -> None:
    """OldWithNew has another key than the one that signed it (RFC 4210 §4.4)."""
    assert named in (signature_algorithm(rsa_signed(NAME, NAME, algorithm, made).algorithm_der).refusal or "")
    link = rsa_signed(NAME, NAME, algorithm, made)
    other_key = read_certificate(link.der.replace(link.spki, link.spki))
    changed = bytearray(other_key.der)
    at = changed.index(link.spki) + len(link.spki) - 40
    changed[at] ^= 1
    assert is_root(other_key)
    assert not is_root(read_certificate(bytes(changed)))


def test_the_message_names_the_issuer_that_was_looked_for() -> None:
    """Or says that its key has not signed, or why it cannot be used."""
    trust = authorities_of((ca(0, 0), ca(1, 9, subject=common_name("Lost"), issuer=common_name("Nobody"))))
    assert trust.why_not(leaf(0, common_name("Other"))) == "issuer CN=Other is not among the CA certificates"
    assert trust.why_not(leaf(3)) == "not signed by any key of issuer CN=CA"
    assert [why for _, why in trust.unchained] == ["issuer CN=Nobody is not among the CA certificates"]


def test_the_newest_root_comes_first_by_its_end() -> None:
    """Whichever order they came in."""
    old, new = ca(0, 0), ca(1, 1, lasts_s=5e6)
    assert newest_root_first((old, new)) == newest_root_first((new, old)) == (new, old)
