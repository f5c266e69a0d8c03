"""Whole runs against CAs whose certificates are odd: used and told, renewed, or refused with the reason."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from der_writer import (
    COMMON_NAME,
    COUNTRY,
    IS_CA,
    StringTag,
    attribute,
    common_name,
    dns_name,
    ip_address,
    name,
    null,
    policy_with_text,
    sequence,
    string,
    utc_time,
    validity,
)
from foreign_pki import RSA_MD5, RSA_SHA1, Asking, ForeignCA, Signing, certs_only, make_key, pem, spki_of, write_pem
from foreign_runs import RENEW_ONCE, ForeignRun, assert_issued, run_against
from odd_server import ServerTls, certificates_answer, est_server, odd_server

LATIN = policy_with_text("raíz".encode("latin-1"))


settled = partial(run_against, until="settled")


def summary_of(run: ForeignRun) -> Any:  # noqa: ANN401 - as JSON is
    """Return what a run's summary says."""
    assert run.results is not None
    return run.results.summary


def counts(run: ForeignRun) -> dict[str, int]:
    """Return how often each rule was broken, as the summary says."""
    return {rule: told["count"] for rule, told in summary_of(run)["deferral"]["non_conformance"].items()}


def test_an_unreadable_policy_is_used_and_renewed_everywhere(tmp_path: Path) -> None:
    """In the CA's certificate, the TLS server's and the devices'; nothing of Python's is seen, also where it warns."""
    country = attribute(COUNTRY, string("DEU", StringTag.PRINTABLE))
    ca = ForeignCA(
        name(country, attribute(COMMON_NAME, string("Geräte", StringTag.BMP))),
        extensions=(IS_CA, LATIN),
        serial=-9,
    )
    tls = ServerTls(
        san=sequence(dns_name(b"z\xe4hler"), ip_address(b"12345"), dns_name(b""), ip_address(bytes((127, 0, 0, 1)))),
        extensions=(LATIN,),
        ca=ForeignCA(extensions=(IS_CA, LATIN), serial=0),
    )

    def issue(asking: Asking) -> bytes:
        return certs_only(ca.issue(asking.subject, asking.spki, asking.san, extensions=(LATIN, LATIN)))

    with odd_server(est_server(ca, issue=issue), tmp_path / "server", tls=tls) as server:
        run = settled(server, tmp_path / "run", cohort={"renew": RENEW_ONCE, "sans": ["dns:m-{index}.example"]})
    assert_issued(run, 2)
    told = counts(run)
    assert told["serial number not positive"] == 2
    assert told["country not two letters"] >= 2
    assert told["extension text invalid for its string type"] == 2 + 4
    assert told["duplicate extension"] == 4
    assert any("certificatePolicies" in detail or "2.5.29.32" in detail for detail in run.details)


def test_a_ca_certificate_that_cannot_be_used_is_set_aside_and_named(tmp_path: Path) -> None:
    """Which one, and which part; where none is left, that is the answer's fault."""
    ca, odd = ForeignCA(), ForeignCA(valid=sequence(utc_time("999999999999Z"), utc_time("300101000000Z")))
    with odd_server(est_server(ca, cacerts=certs_only(odd.der, ca.der)), tmp_path / "server") as server:
        run = settled(server, tmp_path / "run")
    assert_issued(run)
    assert counts(run) == {"unusable CA certificate": 2}
    assert "certificate 1 of 2: notBefore cannot be read: expected a valid time, got 999999999999Z" in run.details[0]
    with odd_server(est_server(ca, cacerts=certs_only(odd.der)), tmp_path / "server 2") as server:
        run = settled(server, tmp_path / "run 2")
    assert run.code == 5
    assert "none usable: notBefore cannot be read" in run.done.err


@pytest.mark.parametrize(
    ("signing", "named"), [(RSA_SHA1, "SHA-1"), pytest.param(RSA_MD5, "MD5", marks=pytest.mark.long)]
)
def test_an_old_root_is_a_root_and_an_old_certificate_is_named(tmp_path: Path, signing: Signing, named: str) -> None:
    """RFC 5280 §6.1 for the one; for the other no word of a chain."""
    ca = ForeignCA(key=rsa.generate_private_key(65537, 2048), signing=signing)
    with odd_server(est_server(ca), tmp_path / "server") as server:
        assert_issued(settled(server, tmp_path / "run", devices=1))

    def issue(asking: Asking) -> bytes:
        return certs_only(ca.issue(asking.subject, asking.spki, asking.san, signing=signing))

    with odd_server(est_server(ca, issue=issue), tmp_path / "server 2") as server:
        run = settled(server, tmp_path / "run 2", devices=1)
    assert run.kinds == ["ok", "malformed"]
    assert run.details[1] == f"the certificate is signed with {named}, which is not accepted (RFC 7030 §4.2.3)"


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.long), 2])
def test_one_serial_for_many_certificates_is_told_of_the_fleet(tmp_path: Path, workers: int) -> None:
    """Of each but the first, whichever process got it: in the summary, the tables, and the rows."""
    ca = ForeignCA()

    def issue(asking: Asking) -> bytes:
        return certs_only(ca.issue(asking.subject, asking.spki, asking.san, serial=77))

    with odd_server(est_server(ca, issue=issue), tmp_path / "server") as server:
        run = settled(server, tmp_path / "run", "--workers", str(workers), devices=6)
    assert_issued(run)
    assert counts(run) == {"serial number issued twice": 5}
    assert "5 x serial number issued twice (RFC 5280 §4.1.2.2)" in run.done.out
    assert sum("serial 4d was already issued by CN=Foreign Root" in detail for detail in run.details) == 5


@pytest.mark.long
def test_a_certificate_given_out_twice_has_its_serial_once(tmp_path: Path) -> None:
    """A CA that answers a renewal of the same key with the same certificate has issued one."""
    ca, given = ForeignCA(), dict[bytes, bytes]()

    def issue(asking: Asking) -> bytes:
        der = given.setdefault(asking.spki, ca.issue(asking.subject, asking.spki, asking.san))
        return certs_only(der)

    with odd_server(est_server(ca, issue=issue), tmp_path / "server") as server:
        run = settled(server, tmp_path / "run", cohort={"renew": {**RENEW_ONCE, "rekey": False}})
    assert_issued(run, 2)
    assert counts(run) == {}


@pytest.mark.long
def test_a_ca_flag_is_told(tmp_path: Path) -> None:
    """A device that could issue certificates is used, and counted."""
    ca = ForeignCA()

    def issue(asking: Asking) -> bytes:
        return certs_only(ca.issue(asking.subject, asking.spki, asking.san, extensions=(IS_CA,)))

    with odd_server(est_server(ca, issue=issue), tmp_path / "server") as server:
        run = settled(server, tmp_path / "run")
    assert_issued(run)
    assert counts(run) == {"CA certificate issued to a device": 2}


@pytest.mark.long
def test_a_backdated_certificate_is_renewed_at_that_share_of_what_is_left(tmp_path: Path) -> None:
    """Of ten seconds two thirds, not at once and again at once; a notice says so."""
    ca = ForeignCA()

    def issue(asking: Asking) -> bytes:
        valid = validity(begins=timedelta(days=-30), ends=timedelta(seconds=10))
        return certs_only(ca.issue(asking.subject, asking.spki, asking.san, valid=valid))

    with odd_server(est_server(ca, issue=issue), tmp_path / "server") as server:
        run = run_against(server, tmp_path / "run", devices=5, duration="6s", cohort={"renew": {"at": "20%"}})
    renewals = len(run.rows("simplereenroll"))
    assert 5 <= renewals <= 5 * 5
    (notice,) = [text for text in summary_of(run)["run"]["notices"] if "renewal time" in text]
    assert "20% of the validity" in notice


def test_trust_files_and_bootstrap_files_may_be_as_odd(tmp_path: Path) -> None:
    """A CA in Teletex with a negative serial as ``trust.ca``; the certificate of a file, with a Latin-1 policy."""
    teletex = name(attribute(COMMON_NAME, string("Geräte-CA", StringTag.TELETEX)))
    ca = ForeignCA(teletex, serial=-1, extensions=(IS_CA, LATIN))
    key = make_key()
    born = ca.issue(name(attribute(COMMON_NAME, string("born", StringTag.TELETEX))), spki_of(key), extensions=(LATIN,))
    with odd_server(est_server(ca), tmp_path / "server") as server:
        both = tmp_path / "trust.pem"
        both.write_text(server.trust.read_text(encoding="ascii") + pem(ca.der), encoding="ascii")
        firmware = write_pem(tmp_path / "firmware.pem", born)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        firmware.write_bytes(firmware.read_bytes() + private)
        cohort = {"bootstrap": {"kind": "shared", "path": str(firmware)}, "enroll": {"cacerts": "never"}}
        run = settled(server, tmp_path / "run", trust=both, cohort=cohort)
    assert_issued(run)


def test_what_openssl_cannot_read_is_said_before_the_run(tmp_path: Path) -> None:
    """A trust file with a name of no string type: exit 2 with the file, no traceback in the middle."""
    ca = ForeignCA(name(attribute(COMMON_NAME, null())))
    with odd_server(est_server(ca), tmp_path / "server") as server:
        trust = write_pem(tmp_path / "trust.pem", ca.der)
        run = settled(server, tmp_path / "run", trust=trust)
    assert run.code == 2
    assert "trust.pem: certificate 1 (CN=#0500) cannot be read by OpenSSL" in run.done.err


def test_a_certificate_that_openssl_cannot_read_is_refused_when_it_comes(tmp_path: Path) -> None:
    """Below a CA of such a name: it leads to the root by our reading, but no device could present it at its renewal."""
    root, key = ForeignCA(), make_key()
    odd = name(attribute(COMMON_NAME, null()))
    issuing = ForeignCA(odd, key, der=root.issue(odd, spki_of(key), extensions=(IS_CA,)))
    handler = est_server(issuing, cacerts=certs_only(root.der, issuing.der))
    with odd_server(handler, tmp_path / "server") as server:
        run = settled(server, tmp_path / "run", devices=1, cohort={"renew": RENEW_ONCE})
    assert (run.code, run.ends) == (3, ["refused"])
    assert "OpenSSL cannot read the issued certificate (RFC 5280 §4.1)" in run.details
    assert run.results is not None
    assert not (run.results.folder / "errors.log").exists()


def test_names_that_a_ca_changes_are_told_or_refused(tmp_path: Path) -> None:
    """A part dropped and the rest in another string type: used, renewed, counted by kind; or a failure, if required."""
    ca = ForeignCA()

    def issue(asking: Asking) -> bytes:
        (common,) = [each.value for each in asking.csr.subject if each.oid.dotted_string == COMMON_NAME]
        subject = name(attribute(COMMON_NAME, string(str(common), StringTag.PRINTABLE)))
        return certs_only(ca.issue(subject, asking.spki, asking.san))

    with odd_server(est_server(ca, issue=issue), tmp_path / "server") as server:
        run = settled(server, tmp_path / "run", cohort={"renew": RENEW_ONCE})
        strict = settled(server, tmp_path / "strict", cohort={"enroll": {"cacerts": "once", "names": "require"}})
    assert_issued(run, 2)
    assert counts(run) == {"names differ: Subject dropped": 2}
    said = "names differ: Subject requested O=Example,CN=dev-0, issued CN=dev-0"
    assert said in run.details
    assert strict.code == 3
    assert set(strict.ends) == {"refused"}
    assert f"{said} (RFC 7030 §4.2)" in strict.details


def test_created_and_an_older_root_are_used_and_told(tmp_path: Path) -> None:
    """201 in place of 200, another certificate beside the one issued, and two unrelated roots, issued by the older."""
    old, new = ForeignCA(common_name("Root old"), valid=validity(ends=timedelta(days=9))), ForeignCA()

    def issue(asking: Asking) -> bytes:
        beside = old.issue(common_name("EST RA"), spki_of(make_key()))
        return certs_only(beside, old.issue(asking.subject, asking.spki, asking.san))

    handler = est_server(
        old, cacerts=certs_only(new.der, old.der), issue=issue, wrap=partial(certificates_answer, status=201)
    )
    with odd_server(handler, tmp_path / "server") as server:
        run = settled(server, tmp_path / "run")
    assert_issued(run)
    assert counts(run) == {
        "201 used": 2,
        "extra certificates": 2,
        "issued under an older root than the newest": 2,
    }
    assert {row["status"] for row in run.rows("simpleenroll")} == {201}
    assert summary_of(run)["certificates"]["issued"] == 2
